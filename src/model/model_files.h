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
#include "model/model_weights.h"

namespace nibble {

class ModelFiles final : public ModelWeights {
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
  const ModelConfig& config() const override { return config_; }
  const ModelLayout& layout() const override { return layout_; }
  std::string path() const override { return checkpoint_->path().string(); }

  Result<MatrixPtr> matrix(LinearId id) const override;
  Result<std::vector<float>> bias(LinearId id) const override;
  Result<std::vector<float>> vector(VectorId id) const override;
  Status check_intact() const override { return checkpoint_->check_intact(); }
  void release() const override;
  /// The configuration ties the head to the embedding, and the file stores lm_head.weight as a second name of the same
  /// bytes (PyTorch files do): then the layout has no head.
  bool stores_tied_head() const;

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
