// TensorSet and the reading of plain tensors as floats.
#include "io/stored_tensor.h"

#include "base/utf8.h"
#include "format/ggml_types.h"

namespace nibble {

std::int64_t StoredTensor::elements() const {
  std::int64_t count = 1;
  for (const std::int64_t dimension : shape) count *= dimension;
  return count;
}

Status TensorSet::add(StoredTensor tensor) {
  const auto [place, is_new] = by_name_.emplace(tensor.name, tensors_.size());
  if (!is_new)
    return fail(ErrorCode::kCorrupt, "{}: the tensor \"{}\" appears twice", tensor.file ? tensor.file->path() : "",
                printable(tensor.name));
  tensors_.push_back(std::move(tensor));
  return {};
}

const StoredTensor* TensorSet::find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

Result<std::vector<float>> read_floats(const StoredTensor& tensor) {
  const std::string where = tensor.file ? tensor.file->path() : std::string("tensor");
  if (const GgmlTypeInfo* type = find_ggml_type(tensor.ggml_type); type != nullptr && type->block_values > 1)
    return fail(ErrorCode::kUnsupported, "{}: tensor \"{}\" is {}, expected plain numbers", where,
                printable(tensor.name), type->name);
  if (tensor.element == ElementType::kBool)
    return fail(ErrorCode::kUnsupported, "{}: tensor \"{}\" is bool, expected numbers", where, printable(tensor.name));
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  if (values.empty()) return values;  // there may be no buffer to point to
  if (tensor.element == ElementType::kF4) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto pair = std::to_integer<std::uint8_t>(tensor.bytes[i / 2]);
      values[i] = e2m1_to_f32(static_cast<std::uint8_t>(i % 2 == 0 ? pair & 0xF : pair >> 4));
    }
  } else {
    decode_elements(tensor.element, tensor.bytes.data(), values.size(), values.data());
  }
  if (tensor.file) NIBBLE_TRY_STATUS(tensor.file->check_intact());
  return values;
}

}  // namespace nibble
