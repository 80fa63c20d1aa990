// Checked access to the tensors of a module.
#include "io/module_tensors.h"

#include <algorithm>
#include <cstring>

#include "base/byte_reader.h"

namespace nibble {
namespace {

std::string element_list(std::initializer_list<ElementType> elements) {
  std::string text;
  for (const ElementType element : elements) {
    if (!text.empty()) text += " or ";
    text += element_info(element).safetensors;
  }
  return text;
}

}  // namespace

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

const StoredTensor* ModuleTensors::find(std::string_view suffix) const {
  return input_->tensors.find(module_ + std::string(suffix));
}

Status ModuleTensors::check_bytes(const StoredTensor& tensor) const {
  std::uint64_t count = 1;
  for (const std::int64_t extent : tensor.shape)
    if (extent < 0 || extent > kMaxExtent || !checked_multiply(count, static_cast<std::uint64_t>(extent), count))
      return fail(ErrorCode::kCorrupt, "{}: tensor \"{}\": the shape {} is not possible", input_->what,
                  printable(tensor.name), shape_text(tensor.shape));
  const auto bytes = element_bytes(tensor.element, count);
  if (!bytes || *bytes != tensor.bytes.size())
    return fail(ErrorCode::kCorrupt, "{}: tensor \"{}\": {} {} does not take {} bytes", input_->what,
                printable(tensor.name), shape_text(tensor.shape), element_info(tensor.element).safetensors,
                tensor.bytes.size());
  return {};
}

Result<const StoredTensor*> ModuleTensors::need(std::string_view suffix, std::initializer_list<ElementType> elements) {
  const StoredTensor* tensor = find(suffix);
  if (tensor == nullptr)
    return fail(ErrorCode::kCorrupt, "{}: tensor \"{}{}\" is missing; the checkpoint may be incomplete", input_->what,
                printable(module_), suffix);
  NIBBLE_TRY_STATUS(check_bytes(*tensor));
  if (std::find(elements.begin(), elements.end(), tensor->element) == elements.end())
    return fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" is {}, expected {}", input_->what, printable(tensor->name),
                element_info(tensor->element).safetensors, element_list(elements));
  if (std::find(consumed_.begin(), consumed_.end(), tensor) == consumed_.end()) consumed_.push_back(tensor);
  return tensor;
}

Result<const StoredTensor*> ModuleTensors::need(std::string_view suffix, std::initializer_list<ElementType> elements,
                                                std::initializer_list<std::int64_t> shape) {
  NIBBLE_TRY(const StoredTensor* tensor, need(suffix, elements));
  const bool fits =
      tensor->shape.size() == shape.size() &&
      std::equal(shape.begin(), shape.end(), tensor->shape.begin(),
                 [](std::int64_t want, std::int64_t is) { return want == is || (want == kAnyExtent && is >= 1); });
  if (!fits) {
    std::string want = shape_text(shape);
    for (std::size_t at; (at = want.find("-1")) != std::string::npos;) want.replace(at, 2, "n");
    return fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" has the shape {}, expected {}", input_->what,
                printable(tensor->name), shape_text(tensor->shape), want);
  }
  return tensor;
}

Result<const StoredTensor*> ModuleTensors::need_count(std::string_view suffix,
                                                      std::initializer_list<ElementType> elements, std::int64_t count) {
  NIBBLE_TRY(const StoredTensor* tensor, need(suffix, elements));
  std::int64_t elements_held = 1;
  for (const std::int64_t extent : tensor->shape) elements_held *= extent;
  if (elements_held != count)
    return fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" has the shape {}, expected {} elements", input_->what,
                printable(tensor->name), shape_text(tensor->shape), count);
  return tensor;
}

std::vector<std::string> modules_with(const TensorSet& tensors, std::string_view suffix) {
  std::vector<std::string> modules;
  for (const StoredTensor& tensor : tensors.all())
    if (tensor.name.size() > suffix.size() && tensor.name.ends_with(suffix))
      modules.push_back(tensor.name.substr(0, tensor.name.size() - suffix.size()));
  return modules;
}

float scalar_value(const StoredTensor& tensor) {
  float value = 0.0f;
  decode_elements(tensor.element, tensor.bytes.data(), 1, &value);
  return value;
}

std::int64_t integer_element(const StoredTensor& tensor, std::int64_t index) {
  if (tensor.element == ElementType::kI64) {
    std::int64_t value;
    std::memcpy(&value, tensor.bytes.data() + index * 8, 8);
    return value;
  }
  std::int32_t value;
  std::memcpy(&value, tensor.bytes.data() + index * 4, 4);
  return value;
}

std::optional<std::pair<std::int64_t, std::int64_t>> extent_pair(const Json& json) {
  if (!json.is_array() || json.size() != 2) return std::nullopt;
  std::int64_t extents[2] = {};
  for (std::size_t i = 0; i < 2; ++i) {
    if (!json[i].is_number_integer()) return std::nullopt;
    extents[i] = json[i].get<std::int64_t>();  // unsigned numbers from 2^63 on become negative
    if (extents[i] < 1 || extents[i] > kMaxExtent) return std::nullopt;
  }
  return std::pair(extents[0], extents[1]);
}

}  // namespace nibble
