// What one model architecture states about itself. One file per architecture (arch/<name>.cc), one line in arch/all.cc.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "io/gguf.h"
#include "model/model_config.h"

namespace nibble {

/// How a GGUF tensor differs from the Hugging Face one of the same meaning (gguf.md 2.5).
enum class GgufTransform {
  kNone,
  kInterleavedQueryRows,  ///< rows of each query head interleaved: new[2i + j] = old[j * D/2 + i]
  kInterleavedKeyRows,    ///< the same with the key heads
  kPlusOne,               ///< 1 was added to a norm's weight
};

/// One name in both worlds; `{}` stands for the layer's number. Without ".weight" or ".bias".
struct TensorName {
  std::string_view hf;
  std::string_view gguf;
  GgufTransform transform = GgufTransform::kNone;
};

struct Architecture {
  std::string_view name;                          ///< model_type of config.json: "llama"
  std::span<const std::string_view> model_types;  ///< every model_type that is this architecture
  std::span<const std::string_view> class_names;  ///< values of config.json's "architectures"
  std::string_view gguf_name;                     ///< general.architecture
  std::span<const TensorName> tensors;

  /// Reads config.json. Refuses, naming the field, a value that is not implemented; reports keys it does not know.
  Result<ModelConfig> (*read_config)(const Json& config, const std::string& what) = nullptr;

  /// The config.json that says what GGUF metadata says. `tied`: the file has no output.weight. `biased`: q, k, v have
  /// biases.
  Result<Json> (*config_from_gguf)(const GgufMetadata& metadata, bool tied, bool biased) = nullptr;

  /// Adds the `<arch>.` keys that say what config.json says.
  Status (*config_to_gguf)(const Json& config, const ModelConfig& read, GgufMetadata& metadata) = nullptr;
};

/// The one list.
std::span<const Architecture* const> all_architectures();

/// By config.json's model_type, else its "architectures". The error lists what is known.
Result<const Architecture*> find_architecture(const Json& config, const std::string& what);

/// By GGUF's general.architecture.
Result<const Architecture*> find_gguf_architecture(std::string_view gguf_name, const std::string& what);

/// The name of a tensor of layer N in the other world, or "" when the table has none. Suffixes (".weight", ".bias") are
/// kept.
std::string gguf_name_of(const Architecture& architecture, std::string_view hf_tensor,
                         GgufTransform* transform = nullptr);
std::string hf_name_of(const Architecture& architecture, std::string_view gguf_tensor,
                       GgufTransform* transform = nullptr);

/// order[r] = the GGUF row that holds Hugging Face row r of a matrix with `heads` heads of `head_dim` rows.
std::vector<std::int64_t> interleaved_row_order(std::int64_t heads, std::int64_t head_dim);
/// The inverse: order[r] = the Hugging Face row that holds GGUF row r.
std::vector<std::int64_t> split_half_row_order(std::int64_t heads, std::int64_t head_dim);

}  // namespace nibble
