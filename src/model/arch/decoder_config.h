// What the config.json files of the common decoder's family share, and their GGUF keys. Architectures add what differs.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "io/gguf.h"
#include "model/model_config.h"

namespace nibble {

/// Defaults of the published configuration class, for fields that config.json leaves out.
struct DecoderDefaults {
  std::int64_t head_dim = 0;  ///< 0: hidden_size / num_attention_heads
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;  ///< 0: num_attention_heads
  std::int64_t max_position_embeddings = 2048;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  bool tie_word_embeddings = false;
  std::string_view activation_key = "hidden_act";
  std::string_view activation = "silu";
};

/// Bounds of a rope's base: wider than any model, and narrow enough that no frequency overflows.
inline constexpr double kMinTheta = 1.0 + 1e-6;
inline constexpr double kMaxTheta = 1e15;

/// An integer within [low, high]; absent: `fallback`, or an error without one.
Result<std::int64_t> read_integer(const JsonFields& fields, std::string_view key, std::optional<std::int64_t> fallback,
                                  std::int64_t low, std::int64_t high);
/// "sliding_window", for architectures where some layer has one: 1 position or more.
Result<std::int64_t> read_window(const JsonFields& fields);
/// A number within [low, high]; absent: `fallback`.
Result<double> read_number(const JsonFields& fields, std::string_view key, double fallback, double low, double high);

/// Reads the fields every decoder has, checks their ranges, and fills one rope and full attention for every layer.
Result<ModelConfig> read_decoder_config(const JsonFields& fields, const DecoderDefaults& defaults);

/// rope_theta and rope_scaling, or rope_parameters (newer files); `rotary_dim` is the number of rotated dimensions.
Result<kernel::RopeConfig> read_rope(const JsonFields& fields, double default_theta, std::int64_t rotary_dim,
                                     std::int64_t max_positions);

/// Reports keys of config.json that no decoder knows, once, through the log.
void report_unknown_keys(const JsonFields& fields, const Json& config, std::span<const std::string_view> also_known);

/// Layer kinds from "layer_types", or from a rule; fails on names that are not known.
Result<std::optional<std::vector<bool>>> read_sliding_layers(const JsonFields& fields, std::int64_t layers);

/// The fields of config.json that GGUF metadata of any decoder gives; vocab_size only where a key says it (the
/// embedding's rows always do).
Result<Json> decoder_config_from_gguf(const GgufMetadata& metadata, std::string_view arch, bool tied);

/// The inverse: `<arch>.` keys. Windows are the architecture's business.
Status decoder_config_to_gguf(const ModelConfig& config, std::string_view arch, GgufMetadata& metadata);

/// For architectures whose GGUF readers know no sliding window: warns where some layer's is shorter than the context.
void warn_of_lost_windows(const ModelConfig& config, const GgufMetadata& metadata);

/// The double whose decimal digits are the shortest that give this float: 1e-5 rather than 9.99999974e-06.
double shortest_double(double stored_float);

}  // namespace nibble
