// StoredTensor: one named tensor as a container holds it. Containers (safetensors, GGUF, PyTorch) give these; families
// group them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "format/element_type.h"

namespace nibble {

/// A view of one tensor's bytes: in a mapped file, or in a copy that lives as long as `file`.
struct StoredTensor {
  std::string name;
  std::vector<std::int64_t> shape;  ///< row-major: [out, in] for a weight (GGUF's order reversed)
  ElementType element = ElementType::kF32;
  int ggml_type = -1;  ///< >= 0: a GGUF tensor of this type id; `element` then says nothing for block types
  std::span<const std::byte> bytes;  ///< alignment is not promised
  MappedFile::Ptr file;
  std::size_t file_offset = 0;

  std::int64_t elements() const;  ///< product of the shape; containers have checked that it fits
};

/// The tensors of a checkpoint by name, in file order.
class TensorSet {
 public:
  /// Fails with kCorrupt when the name is taken.
  Status add(StoredTensor tensor);
  const StoredTensor* find(std::string_view name) const;
  const std::vector<StoredTensor>& all() const { return tensors_; }

 private:
  std::vector<StoredTensor> tensors_;
  std::unordered_map<std::string, std::size_t> by_name_;
};

/// Values of a plain (not block-quantized) tensor as float32. Errors: kUnsupported for types without a float meaning.
Result<std::vector<float>> read_floats(const StoredTensor& tensor);

}  // namespace nibble
