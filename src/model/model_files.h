// ModelFiles: a checkpoint seen as a language model, in Hugging Face terms whatever the container: its configuration,
// its weights under their published names in their published row order, its tokenizer and chat template.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "io/checkpoint.h"
#include "model/arch/architecture.h"
#include "model/model_layout.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

class ModelFiles {
 public:
  using Ptr = std::shared_ptr<const ModelFiles>;

  /// Opens a GGUF file or a Hugging Face folder whose architecture Nibble implements, and checks that every weight the
  /// architecture needs is there with the shape its configuration asks for.
  static Result<Ptr> open(const std::filesystem::path& path);

  const Checkpoint& checkpoint() const { return *checkpoint_; }
  const Checkpoint::Ptr& checkpoint_ptr() const { return checkpoint_; }
  const Architecture& architecture() const { return *architecture_; }
  /// config.json; for a GGUF file the one that says the same.
  const Json& config_json() const { return config_json_; }
  const ModelConfig& config() const { return config_; }
  const ModelLayout& layout() const { return layout_; }
  std::string path() const { return checkpoint_->path().string(); }

  /// The matrix of a linear, rows in Hugging Face order.
  Result<MatrixPtr> matrix(LinearId id) const;
  /// Its bias in the same order; empty when it has none.
  Result<std::vector<float>> bias(LinearId id) const;
  /// A norm's weight as Hugging Face stores it.
  Result<std::vector<float>> vector(VectorId id) const;

  /// Numbers of weights, all linears and vectors together (a tied head counts once).
  std::int64_t parameters() const;

 private:
  ModelFiles() = default;
  Status check_weights() const;
  /// The tensor or module name in the container for a Hugging Face one.
  std::string stored_name(const std::string& hf_name, GgufTransform* transform) const;
  Result<std::vector<float>> stored_vector(const std::string& hf_name, std::int64_t size) const;

  Checkpoint::Ptr checkpoint_;
  const Architecture* architecture_ = nullptr;
  Json config_json_;
  ModelConfig config_;
  ModelLayout layout_;
};

}  // namespace nibble
