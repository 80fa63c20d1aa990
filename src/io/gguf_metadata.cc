// GgufMetadata: typed access to GGUF's key-value pairs.
#include <algorithm>
#include <cstring>

#include "base/utf8.h"
#include "io/gguf_format.h"

namespace nibble {
namespace {

std::string describe(const GgufValue& value) {
  if (value.type != GgufType::kArray) return std::string(gguf_type_name(value.type));
  return fmt::format("an array of {}", gguf_type_name(std::get<GgufArray>(value.value).element));
}

Error wrong_type(const GgufMetadata& metadata, std::string_view key, const GgufValue& value,
                 std::string_view expected) {
  return fail(ErrorCode::kCorrupt, "{}: {} is {}, expected {}", metadata.what(), printable(key), describe(value),
              expected);
}

std::optional<std::int64_t> as_integer(const GgufValue& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value.value)) return *number;
  const auto* number = std::get_if<std::uint64_t>(&value.value);
  if (number == nullptr || *number > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
  return static_cast<std::int64_t>(*number);
}

template <typename T>
T element_at(const GgufArray& array, std::size_t i) {
  T value;
  std::memcpy(&value, array.bytes.data() + i * sizeof(T), sizeof(T));
  return value;
}

/// Nothing when the element is no integer, or above 2^63 - 1.
std::optional<std::int64_t> integer_at(const GgufArray& array, std::size_t i) {
  switch (array.element) {
    case GgufType::kU8:
    case GgufType::kBool:
      return element_at<std::uint8_t>(array, i);
    case GgufType::kI8:
      return element_at<std::int8_t>(array, i);
    case GgufType::kU16:
      return element_at<std::uint16_t>(array, i);
    case GgufType::kI16:
      return element_at<std::int16_t>(array, i);
    case GgufType::kU32:
      return element_at<std::uint32_t>(array, i);
    case GgufType::kI32:
      return element_at<std::int32_t>(array, i);
    case GgufType::kI64:
      return element_at<std::int64_t>(array, i);
    case GgufType::kU64: {
      const auto value = element_at<std::uint64_t>(array, i);
      if (value > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
      return static_cast<std::int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

std::size_t GgufArray::size() const {
  const std::size_t each = gguf_type_bytes(element);
  return each == 0 ? strings.size() : bytes.size() / each;
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  for (const auto& entry : entries_)
    if (entry.first == key) return &entry.second;
  return nullptr;
}

Result<std::optional<std::int64_t>> GgufMetadata::integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::int64_t>{};
  const auto number = as_integer(*value);
  if (!number) return wrong_type(*this, key, *value, "an integer below 2^63");
  return number;
}

Result<std::optional<double>> GgufMetadata::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<double>{};
  const auto* number = std::get_if<double>(&value->value);
  if (number == nullptr) return wrong_type(*this, key, *value, "f32 or f64");
  return std::optional<double>(*number);
}

Result<std::optional<bool>> GgufMetadata::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<bool>{};
  const auto* flag = std::get_if<bool>(&value->value);
  if (flag == nullptr) return wrong_type(*this, key, *value, "bool");
  return std::optional<bool>(*flag);
}

Result<std::optional<std::string>> GgufMetadata::string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::string>{};
  const auto* text = std::get_if<std::string>(&value->value);
  if (text == nullptr) return wrong_type(*this, key, *value, "a string");
  return std::optional<std::string>(*text);
}

Result<std::optional<std::vector<std::string>>> GgufMetadata::strings(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::vector<std::string>>{};
  const auto* array = std::get_if<GgufArray>(&value->value);
  if (array == nullptr || (array->element != GgufType::kString && array->size() != 0))
    return wrong_type(*this, key, *value, "an array of strings");
  return std::optional(array->strings);
}

Result<std::optional<std::vector<std::int64_t>>> GgufMetadata::integers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::vector<std::int64_t>>{};
  std::vector<std::int64_t> out;
  const auto* array = std::get_if<GgufArray>(&value->value);
  const std::size_t count = array == nullptr ? 1 : array->size();
  out.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto number = array == nullptr ? as_integer(*value) : integer_at(*array, i);
    if (!number) return wrong_type(*this, key, *value, "integers below 2^63");
    out.push_back(*number);
  }
  return std::optional(std::move(out));
}

Result<std::optional<std::vector<double>>> GgufMetadata::numbers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::vector<double>>{};
  if (const auto* number = std::get_if<double>(&value->value)) return std::optional(std::vector<double>{*number});
  const auto* array = std::get_if<GgufArray>(&value->value);
  const bool is_f32 = array != nullptr && array->element == GgufType::kF32;
  const bool is_f64 = array != nullptr && array->element == GgufType::kF64;
  if (array == nullptr || (!is_f32 && !is_f64 && array->size() != 0))
    return wrong_type(*this, key, *value, "an array of f32 or f64");
  std::vector<double> out;
  out.reserve(array->size());
  for (std::size_t i = 0; i < array->size(); ++i)
    out.push_back(is_f32 ? static_cast<double>(element_at<float>(*array, i)) : element_at<double>(*array, i));
  return std::optional(std::move(out));
}

void GgufMetadata::set(std::string key, GgufValue value) {
  remove(key);
  entries_.emplace_back(std::move(key), std::move(value));
}

void GgufMetadata::set_u32(std::string key, std::uint32_t value) {
  set(std::move(key), {GgufType::kU32, std::uint64_t{value}});
}
void GgufMetadata::set_f32(std::string key, float value) {
  set(std::move(key), {GgufType::kF32, static_cast<double>(value)});
}
void GgufMetadata::set_bool(std::string key, bool value) { set(std::move(key), {GgufType::kBool, value}); }
void GgufMetadata::set_string(std::string key, std::string value) {
  set(std::move(key), {GgufType::kString, std::move(value)});
}

void GgufMetadata::remove(std::string_view key) {
  std::erase_if(entries_, [key](const auto& entry) { return entry.first == key; });
}

}  // namespace nibble
