#include "fields.h"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace nibble::python {

namespace nb = nanobind;

namespace {

template <typename T>
void put(void* object, std::size_t offset, T value) {
  std::memcpy(static_cast<char*>(object) + offset, &value, sizeof(value));
}

/// A value as T; the error says which one and what was wanted.
template <typename T>
T cast_field(const Field& field, nb::handle value, const char* wanted) {
  T out{};
  if (nb::try_cast<T>(value, out)) return out;
  throw nb::type_error((std::string(field.name) + ": " + wanted + " is wanted").c_str());
}

/// No string ends early: a zero byte in a name would name another file.
std::string cast_text(const Field& field, nb::handle value) {
  auto text = cast_field<std::string>(field, value, "a string");
  if (text.find('\0') != std::string::npos)
    throw nb::value_error((std::string(field.name) + ": holds a zero character").c_str());
  return text;
}

void fill_field(void* object, const Field& field, nb::handle value, FieldStrings& strings) {
  switch (field.type) {
    case FieldType::kInt32:
      put(object, field.offset,
          nb::isinstance<nb::bool_>(value) ? static_cast<std::int32_t>(nb::cast<bool>(value))
                                           : cast_field<std::int32_t>(field, value, "a whole number of 32 bits"));
      return;
    case FieldType::kInt64:
      put(object, field.offset, cast_field<std::int64_t>(field, value, "a whole number of 64 bits"));
      return;
    case FieldType::kUInt64:
      put(object, field.offset, cast_field<std::uint64_t>(field, value, "a whole number from 0 to 2^64 - 1"));
      return;
    case FieldType::kFloat:
      put(object, field.offset, static_cast<float>(cast_field<double>(field, value, "a number")));
      return;
    case FieldType::kDouble:
      put(object, field.offset, cast_field<double>(field, value, "a number"));
      return;
    case FieldType::kText:
      put(object, field.offset, strings.keep(cast_text(field, value)));
      return;
    case FieldType::kTexts: {
      std::vector<const char*> list;
      for (const nb::handle item : value) list.push_back(strings.keep(cast_text(field, item)));
      const std::vector<const char*>& kept = strings.keep(std::move(list));
      put(object, field.offset, kept.data());
      put(object, field.count_offset, kept.size());
      return;
    }
  }
}

}  // namespace

void fill(void* object, std::span<const Field> fields, const nb::dict& values, FieldStrings& strings) {
  for (const auto& [key, value] : values) {
    const auto name = nb::cast<std::string>(key);
    const auto field = std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return name == f.name; });
    if (field == fields.end()) throw nb::type_error(("unknown option \"" + name + "\"").c_str());
    if (!value.is_none()) fill_field(object, *field, value, strings);
  }
}

}  // namespace nibble::python
