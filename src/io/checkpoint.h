// Checkpoint: a model on disk, opened. Containers and families end here: upward there are only matrices, plain tensors,
// the model's configuration and the files to carry over.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "io/gguf.h"
#include "io/stored_tensor.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

struct Family;

/// A GGUF file (any of its shards' first) or a Hugging Face folder (safetensors, else PyTorch files; sharded or not).
class Checkpoint {
 public:
  using Ptr = std::shared_ptr<const Checkpoint>;

  /// Maps the files and reads the headers; touches no tensor. Errors name the file and the field.
  static Result<Ptr> open(const std::filesystem::path& path);

  bool is_gguf() const { return gguf_ != nullptr; }
  /// "gguf", "safetensors" or "pytorch".
  std::string_view container() const { return container_; }
  const std::filesystem::path& path() const { return path_; }
  /// Where a model's other files are: the folder, or the one that holds the weights file that was named.
  std::filesystem::path folder() const;
  /// Total bytes of the files that hold tensors.
  std::uint64_t file_bytes() const { return file_bytes_; }

  /// config.json of a folder (an empty object when absent); for a GGUF file an empty object.
  const Json& config() const { return config_; }
  /// quantization_config, wherever the folder keeps it (config.json, its text_config, quantize_config.json, ...), or
  /// null.
  const Json& quantization_config() const { return quantization_config_; }
  /// Metadata of a GGUF file; nullptr for a folder.
  const GgufMetadata* gguf() const { return gguf_.get(); }

  /// The family that reads the quantized modules ("compressed-tensors", "gguf", ...); "float" when nothing is
  /// quantized.
  std::string_view family_name() const;
  const TensorSet& tensors() const { return tensors_; }

  /// The weight matrix of a module ("model.layers.0.mlp.up_proj", GGUF: "blk.0.ffn_up"), quantized or float. 2-D only.
  /// kNotFound when the module has no weight here.
  Result<MatrixPtr> matrix(std::string_view module) const;
  bool has_matrix(std::string_view module) const;
  /// Every module that has a weight matrix, in file order.
  std::vector<std::string> modules() const;
  /// Every tensor that is not part of a module's weight matrix (norms, biases, anything not understood), in file order.
  std::vector<const StoredTensor*> plain_tensors() const;

  /// The mapped files that hold tensors, in the order in which they do.
  std::vector<MappedFile::Ptr> files() const;

  /// Fails when a mapped file shrank since it was opened.
  Status check_intact() const;

 private:
  friend class CheckpointOpener;
  Checkpoint() = default;
  std::filesystem::path path_;
  std::string_view container_;
  std::uint64_t file_bytes_ = 0;
  Json config_ = Json::object();
  Json quantization_config_;
  std::shared_ptr<const GgufMetadata> gguf_;
  TensorSet tensors_;
  const Family* family_ = nullptr;
  std::map<std::string, MatrixPtr, std::less<>> matrices_;
  std::vector<std::string> module_order_;
  std::vector<const StoredTensor*> plain_;
};

}  // namespace nibble
