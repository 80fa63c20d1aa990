// Statistics that an earlier run saved, read group by group in place of running the model.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "io/stored_tensor.h"
#include "model/model_layout.h"
#include "quant/calibration/input_gram.h"

namespace nibble {

class SavedStatistics {
 public:
  using Ptr = std::shared_ptr<const SavedStatistics>;

  /// Refuses a file that is not whole, or of a model with other linears or another fingerprint.
  static Result<Ptr> open(const std::filesystem::path& path, const ModelLayout& layout, std::string_view fingerprint);

  /// What the linears' common input was like. Refuses numbers that no inputs give: not finite, not symmetric, no
  /// tokens, negative squares or magnitudes.
  Result<InputGram> gram(std::span<const LinearId> linears) const;

 private:
  SavedStatistics(std::filesystem::path path, const ModelLayout& layout) : path_(std::move(path)), layout_(layout) {}
  const LinearInfo& info(LinearId id) const { return layout_.linears[static_cast<std::size_t>(id)]; }
  const StoredTensor& tensor(LinearId first, std::size_t part) const;
  Error wrong(const StoredTensor& tensor, std::string_view why) const;
  Status read_second_moments(const StoredTensor& stored, InputGram& gram) const;
  Result<std::vector<double>> read_sums(const StoredTensor& stored, std::int64_t tokens, bool negative) const;

  std::filesystem::path path_;
  const ModelLayout& layout_;
  TensorSet tensors_;
};

/// What the inputs are known as once every column was divided by a factor. No factors: as they were.
InputGram with_columns_divided(InputGram gram, std::span<const float> factors);

}  // namespace nibble
