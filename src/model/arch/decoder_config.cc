// Reading and writing of the common decoder's configuration.
#include "model/arch/decoder_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "base/log.h"
#include "kernel/rope/yarn.h"

namespace nibble {
namespace {

Result<Activation> activation_named(const std::string& name, const JsonFields& fields, std::string_view key) {
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new" || name == "gelu_fast") return Activation::kGeluTanh;
  if (name == "gelu") return Activation::kGeluErf;
  if (name == "relu") return Activation::kRelu;
  return fail(ErrorCode::kUnsupported, "{}: \"{}\" is \"{}\"; known: silu, gelu, gelu_pytorch_tanh, gelu_new, relu",
              fields.what(), key, name);
}

/// Keys that change nothing about inference, or that decoders read themselves.
constexpr std::array<std::string_view, 63> kKnownKeys{"architectures",
                                                      "model_type",
                                                      "torch_dtype",
                                                      "dtype",
                                                      "transformers_version",
                                                      "use_cache",
                                                      "bos_token_id",
                                                      "eos_token_id",
                                                      "pad_token_id",
                                                      "vocab_size",
                                                      "hidden_size",
                                                      "intermediate_size",
                                                      "num_hidden_layers",
                                                      "num_attention_heads",
                                                      "num_key_value_heads",
                                                      "head_dim",
                                                      "max_position_embeddings",
                                                      "original_max_position_embeddings",
                                                      "rms_norm_eps",
                                                      "rope_theta",
                                                      "rope_scaling",
                                                      "rope_parameters",
                                                      "tie_word_embeddings",
                                                      "hidden_act",
                                                      "hidden_activation",
                                                      "attention_bias",
                                                      "attention_dropout",
                                                      "mlp_bias",
                                                      "initializer_range",
                                                      "pretraining_tp",
                                                      "quantization_config",
                                                      "sliding_window",
                                                      "use_sliding_window",
                                                      "max_window_layers",
                                                      "layer_types",
                                                      "sliding_window_pattern",
                                                      "_sliding_window_pattern",
                                                      "query_pre_attn_scalar",
                                                      "final_logit_softcapping",
                                                      "attn_logit_softcapping",
                                                      "rope_local_base_freq",
                                                      "cache_implementation",
                                                      "_name_or_path",
                                                      "rope_interleaved",
                                                      "is_llama_config",
                                                      "transformers.js_config",
                                                      "id2label",
                                                      "label2id",
                                                      "return_dict",
                                                      "output_hidden_states",
                                                      "output_attentions",
                                                      "is_encoder_decoder",
                                                      "_attn_implementation_autoset",
                                                      "use_bidirectional_attention",
                                                      "unk_token_id",
                                                      "name_or_path",
                                                      "partial_rotary_factor",
                                                      "auto_map",
                                                      "problem_type",
                                                      "chunk_size_feed_forward",
                                                      "tf_legacy_loss",
                                                      "torchscript",
                                                      "use_bfloat16"};

// Bounds of the factors of a rope's scaling, as wide as is safe.
constexpr double kMinFactor = 1e-6;
constexpr double kMaxFactor = 1e9;

Status read_attention_factor(const JsonFields& scaling, kernel::RopeConfig& rope) {
  if (!scaling.has("attention_factor")) return {};
  NIBBLE_TRY(rope.attention_factor, read_number(scaling, "attention_factor", 1.0, kMinFactor, kMaxFactor));
  return {};
}

/// A number for each pair of rotated dimensions.
Result<std::vector<float>> read_divisors(const JsonFields& scaling, std::string_view key, int count) {
  const Json* list = scaling.child(key);
  const auto wrong = [&] {
    return fail(ErrorCode::kCorrupt, "{}: \"{}\" must be a list of {} numbers from {} to {}", scaling.what(), key,
                count, kMinFactor, kMaxFactor);
  };
  if (list == nullptr || !list->is_array() || list->size() != static_cast<std::size_t>(count)) return wrong();
  std::vector<float> divisors;
  for (const Json& value : *list) {
    if (!value.is_number() || !(value.get<double>() >= kMinFactor && value.get<double>() <= kMaxFactor)) return wrong();
    divisors.push_back(value.get<float>());
  }
  return divisors;
}

Status read_rope_scaling(const JsonFields& scaling, kernel::RopeConfig& rope) {
  NIBBLE_TRY(std::optional<std::string> type, scaling.string("rope_type"));
  if (!type) {
    NIBBLE_TRY(type, scaling.string("type"));
  }
  const std::string kind = type.value_or("default");
  NIBBLE_TRY(rope.rope_theta, read_number(scaling, "rope_theta", rope.rope_theta, kMinTheta, kMaxTheta));
  NIBBLE_TRY(rope.factor, read_number(scaling, "factor", 1.0, kMinFactor, kMaxFactor));
  NIBBLE_TRY(rope.original_max_position_embeddings,
             read_integer(scaling, "original_max_position_embeddings", rope.original_max_position_embeddings, 1,
                          kMaxPositions));
  if (kind == "default" || kind == "none") {
    rope.scaling = kernel::RopeScaling::kNone;
  } else if (kind == "linear") {
    rope.scaling = kernel::RopeScaling::kLinear;
  } else if (kind == "dynamic") {
    if (rope.rotary_dim <= 2)
      return fail(ErrorCode::kCorrupt, "{}: \"dynamic\" needs heads of more than {} values", scaling.what(),
                  rope.rotary_dim);
    rope.scaling = kernel::RopeScaling::kDynamic;
  } else if (kind == "llama3") {
    rope.scaling = kernel::RopeScaling::kLlama3;
    NIBBLE_TRY(rope.low_freq_factor, read_number(scaling, "low_freq_factor", 1.0, kMinFactor, kMaxFactor));
    NIBBLE_TRY(rope.high_freq_factor, read_number(scaling, "high_freq_factor", 4.0, kMinFactor, kMaxFactor));
    if (!(rope.high_freq_factor > rope.low_freq_factor))
      return fail(ErrorCode::kCorrupt, "{}: \"high_freq_factor\" must exceed \"low_freq_factor\"", scaling.what());
  } else if (kind == "yarn") {
    rope.scaling = kernel::RopeScaling::kYarn;
    NIBBLE_TRY(rope.beta_fast, read_number(scaling, "beta_fast", 32.0, kMinFactor, kMaxFactor));
    NIBBLE_TRY(rope.beta_slow, read_number(scaling, "beta_slow", 1.0, kMinFactor, kMaxFactor));
    NIBBLE_TRY(rope.mscale, read_number(scaling, "mscale", 0.0, 0.0, kMaxFactor));
    NIBBLE_TRY(rope.mscale_all_dim, read_number(scaling, "mscale_all_dim", 0.0, 0.0, kMaxFactor));
    NIBBLE_TRY(const std::optional<bool> truncate, scaling.boolean("truncate"));
    rope.truncate = truncate.value_or(true);
    NIBBLE_TRY_STATUS(read_attention_factor(scaling, rope));
  } else if (kind == "longrope" || kind == "su") {
    rope.scaling = kernel::RopeScaling::kLongRope;
    if (!scaling.has("factor")) rope.factor = 0.0;  // the ratio of the two lengths
    if (rope.original_max_position_embeddings < 2)
      return fail(ErrorCode::kCorrupt, "{}: \"original_max_position_embeddings\" must exceed 1", scaling.what());
    NIBBLE_TRY(rope.short_factor, read_divisors(scaling, "short_factor", rope.rotary_dim / 2));
    NIBBLE_TRY(rope.long_factor, read_divisors(scaling, "long_factor", rope.rotary_dim / 2));
    NIBBLE_TRY_STATUS(read_attention_factor(scaling, rope));
  } else {
    return fail(ErrorCode::kUnsupported,
                "{}: \"rope_type\" \"{}\" is not implemented; known: default, linear, dynamic, llama3, longrope, yarn",
                scaling.what(), kind);
  }
  return {};
}

}  // namespace

Result<std::int64_t> read_integer(const JsonFields& fields, std::string_view key, std::optional<std::int64_t> fallback,
                                  std::int64_t low, std::int64_t high) {
  NIBBLE_TRY(const std::optional<std::int64_t> found, fields.integer(key));
  if (!found && !fallback) return fail(ErrorCode::kCorrupt, "{}: \"{}\" is missing", fields.what(), key);
  const std::int64_t value = found ? *found : *fallback;
  if (value < low || value > high)
    return fail(ErrorCode::kCorrupt, "{}: \"{}\" is {}, expected {} to {}", fields.what(), key, value, low, high);
  return value;
}

Result<std::int64_t> read_window(const JsonFields& fields) {
  constexpr std::int64_t kDefault = 4096;  // of every published configuration class
  return read_integer(fields, "sliding_window", kDefault, 1, std::int64_t{1} << 31);
}

Result<double> read_number(const JsonFields& fields, std::string_view key, double fallback, double low, double high) {
  NIBBLE_TRY(const std::optional<double> found, fields.number(key));
  const double value = found.value_or(fallback);
  if (!(value >= low && value <= high))
    return fail(ErrorCode::kCorrupt, "{}: \"{}\" is {}, expected {} to {}", fields.what(), key, value, low, high);
  return value;
}

double shortest_double(double stored_float) {
  return std::strtod(fmt::format("{}", static_cast<float>(stored_float)).c_str(), nullptr);
}

Result<kernel::RopeConfig> read_rope(const JsonFields& fields, double default_theta, std::int64_t rotary_dim,
                                     std::int64_t max_positions) {
  kernel::RopeConfig rope;
  rope.rotary_dim = static_cast<int>(rotary_dim);
  rope.max_position_embeddings = max_positions;
  NIBBLE_TRY(rope.original_max_position_embeddings,
             read_integer(fields, "original_max_position_embeddings", max_positions, 1, kMaxPositions));
  NIBBLE_TRY(rope.rope_theta, read_number(fields, "rope_theta", default_theta, kMinTheta, kMaxTheta));
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const Json* scaling = fields.child(key);
    if (scaling == nullptr) continue;
    NIBBLE_TRY_STATUS(read_rope_scaling(JsonFields(*scaling, fmt::format("{}: {}", fields.what(), key)), rope));
  }
  return rope;
}

Result<ModelConfig> read_decoder_config(const JsonFields& fields, const DecoderDefaults& defaults) {
  constexpr std::int64_t kMany = std::int64_t{1} << 24;
  ModelConfig config;
  NIBBLE_TRY(config.vocab_size, read_integer(fields, "vocab_size", std::nullopt, 1, kMany));
  NIBBLE_TRY(config.hidden_size, read_integer(fields, "hidden_size", std::nullopt, 1, kMany));
  NIBBLE_TRY(config.intermediate_size, read_integer(fields, "intermediate_size", std::nullopt, 1, kMany));
  NIBBLE_TRY(config.num_hidden_layers, read_integer(fields, "num_hidden_layers", std::nullopt, 1, 4096));
  const std::optional<std::int64_t> default_heads =
      defaults.num_attention_heads > 0 ? std::optional(defaults.num_attention_heads) : std::nullopt;
  NIBBLE_TRY(config.num_attention_heads, read_integer(fields, "num_attention_heads", default_heads, 1, 65536));
  const std::int64_t default_kv =
      defaults.num_key_value_heads > 0 ? defaults.num_key_value_heads : config.num_attention_heads;
  NIBBLE_TRY(config.num_key_value_heads,
             read_integer(fields, "num_key_value_heads", default_kv, 1, config.num_attention_heads));
  if (config.num_attention_heads % config.num_key_value_heads != 0)
    return fail(ErrorCode::kCorrupt, "{}: \"num_attention_heads\" {} is not a multiple of \"num_key_value_heads\" {}",
                fields.what(), config.num_attention_heads, config.num_key_value_heads);
  const std::int64_t default_dim = defaults.head_dim > 0
                                       ? defaults.head_dim
                                       : std::max<std::int64_t>(config.hidden_size / config.num_attention_heads, 1);
  NIBBLE_TRY(config.head_dim, read_integer(fields, "head_dim", default_dim, 2, 4096));
  if (config.head_dim % 2 != 0)
    return fail(ErrorCode::kUnsupported, "{}: \"head_dim\" {} is odd", fields.what(), config.head_dim);
  NIBBLE_TRY(config.max_position_embeddings,
             read_integer(fields, "max_position_embeddings", defaults.max_position_embeddings, 1, kMaxPositions));
  NIBBLE_TRY(const double eps, read_number(fields, "rms_norm_eps", defaults.rms_norm_eps, 0.0, 1.0));
  config.rms_norm_eps = static_cast<float>(eps);
  NIBBLE_TRY(const std::optional<bool> tied, fields.boolean("tie_word_embeddings"));
  config.tie_word_embeddings = tied.value_or(defaults.tie_word_embeddings);
  NIBBLE_TRY(const std::optional<std::string> act, fields.string(defaults.activation_key));
  NIBBLE_TRY(config.hidden_act,
             activation_named(act.value_or(std::string(defaults.activation)), fields, defaults.activation_key));
  NIBBLE_TRY(kernel::RopeConfig rope,
             read_rope(fields, defaults.rope_theta, config.head_dim, config.max_position_embeddings));
  config.ropes = {std::move(rope)};
  config.layers.assign(static_cast<std::size_t>(config.num_hidden_layers), LayerKind{});
  config.attention_scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim));
  return config;
}

void report_unknown_keys(const JsonFields& fields, const Json& config, std::span<const std::string_view> also_known) {
  std::string unknown;
  for (const auto& [key, value] : config.items()) {
    if (value.is_null() || std::find(kKnownKeys.begin(), kKnownKeys.end(), key) != kKnownKeys.end()) continue;
    if (std::find(also_known.begin(), also_known.end(), key) != also_known.end()) continue;
    unknown += (unknown.empty() ? "" : ", ") + key;
  }
  if (!unknown.empty()) log_info("{}: fields that Nibble does not know and ignores: {}", fields.what(), unknown);
}

Result<std::optional<std::vector<bool>>> read_sliding_layers(const JsonFields& fields, std::int64_t layers) {
  NIBBLE_TRY(const auto types, fields.strings("layer_types"));
  if (!types) return std::optional<std::vector<bool>>{};
  if (static_cast<std::int64_t>(types->size()) != layers)
    return fail(ErrorCode::kCorrupt, "{}: \"layer_types\" lists {} layers, \"num_hidden_layers\" is {}", fields.what(),
                types->size(), layers);
  std::vector<bool> sliding;
  for (const std::string& type : *types) {
    if (type != "sliding_attention" && type != "full_attention")
      return fail(ErrorCode::kUnsupported,
                  "{}: \"layer_types\": \"{}\" is not implemented; known: full_attention, sliding_attention",
                  fields.what(), type);
    sliding.push_back(type == "sliding_attention");
  }
  return std::optional(std::move(sliding));
}

void warn_of_lost_windows(const ModelConfig& config, const GgufMetadata& metadata) {
  for (const LayerKind& layer : config.layers) {
    if (layer.window == 0 || layer.window >= config.max_position_embeddings) continue;
    log_warning(
        "{}: some layers see {} positions back, which GGUF cannot say of this architecture: beyond {} positions the "
        "output computes something else than the model",
        metadata.what(), layer.window, layer.window);
    return;
  }
}

namespace {

/// The keys of YaRN and their like, which are refused where they say something that config.json cannot.
Status yarn_from_gguf(const GgufMetadata& metadata, std::string_view prefix, Json& scaling) {
  const bool yarn = scaling["rope_type"] == "yarn";
  const auto number = [&](std::string_view name) { return metadata.number(fmt::format("{}{}", prefix, name)); };
  const auto refuse = [&](std::string_view name, double value) {
    return fail(ErrorCode::kUnsupported, "{}: {}{} is {} for the scaling \"{}\", which is not implemented",
                metadata.what(), prefix, name, value, scaling["rope_type"].get<std::string>());
  };
  for (const std::string_view name : {"beta_fast", "beta_slow"}) {
    NIBBLE_TRY(const std::optional<double> beta, number(fmt::format("yarn_{}", name)));
    if (beta && yarn) scaling[std::string(name)] = shortest_double(*beta);
  }
  NIBBLE_TRY(const std::optional<double> magnitude, number("attn_factor"));  // multiplies the default
  if (magnitude && *magnitude != 1.0) {
    if (!yarn) return refuse("attn_factor", *magnitude);
    const double factor = *magnitude * kernel::yarn_attention_factor(scaling["factor"].get<double>());
    scaling["attention_factor"] = shortest_double(factor);
  }
  NIBBLE_TRY(const std::optional<double> ramp, number("yarn_ext_factor"));  // negative: the type says
  if (ramp && *ramp >= 0 && *ramp != (yarn ? 1.0 : 0.0)) return refuse("yarn_ext_factor", *ramp);
  NIBBLE_TRY(const std::optional<double> logarithm, number("yarn_log_multiplier"));
  if (logarithm && *logarithm != 0) return refuse("yarn_log_multiplier", *logarithm);
  NIBBLE_TRY(const std::optional<double> unused, number("yarn_attn_factor"));
  if (unused && *unused != 1.0)
    log_warning("{}: {}yarn_attn_factor is {}; like llama.cpp, Nibble does not use it", metadata.what(), prefix,
                *unused);
  return {};
}

/// rope_scaling of config.json, or nothing where frequencies are not scaled.
Result<std::optional<Json>> rope_scaling_from_gguf(const GgufMetadata& metadata, std::string_view arch) {
  const std::string prefix = fmt::format("{}.rope.scaling.", arch);
  NIBBLE_TRY(const std::optional<std::string> type, metadata.string(prefix + "type"));
  NIBBLE_TRY(std::optional<double> factor, metadata.number(prefix + "factor"));
  if (!factor) {
    NIBBLE_TRY(factor, metadata.number(fmt::format("{}.rope.scale_linear", arch)));  // the key's old name
  }
  const std::string kind = type.value_or("linear");
  if (kind != "none" && kind != "linear" && kind != "yarn")
    return fail(ErrorCode::kUnsupported, "{}: {}type is \"{}\", which is not implemented; known: none, linear, yarn",
                metadata.what(), prefix, kind);
  const double scale = factor.value_or(0.0) == 0.0 ? 1.0 : shortest_double(*factor);  // 0: none
  Json scaling = {{"rope_type", kind}, {"factor", scale}};
  NIBBLE_TRY_STATUS(yarn_from_gguf(metadata, prefix, scaling));
  if (kind == "none" || (kind == "linear" && scale == 1.0)) return std::optional<Json>();
  NIBBLE_TRY(const auto original, metadata.integer(prefix + "original_context_length"));
  if (original) scaling["original_max_position_embeddings"] = *original;
  return std::optional(std::move(scaling));
}

/// The keys that say a scaling; Llama 3's goes into the rope_freqs tensor.
Status rope_scaling_to_gguf(const kernel::RopeConfig& rope, std::string_view arch, GgufMetadata& metadata) {
  const std::string prefix = fmt::format("{}.rope.scaling.", arch);
  using kernel::RopeScaling;
  if (rope.scaling == RopeScaling::kNone || rope.scaling == RopeScaling::kLlama3) return {};
  const bool yarn = rope.scaling == RopeScaling::kYarn;
  if ((rope.scaling != RopeScaling::kLinear && !yarn) || (yarn && !rope.truncate))
    return fail(ErrorCode::kUnsupported, "{}: this rope scaling cannot be said in GGUF", metadata.what());
  metadata.set_string(prefix + "type", yarn ? "yarn" : "linear");
  metadata.set_f32(prefix + "factor", static_cast<float>(rope.factor));
  if (!yarn) return {};
  metadata.set_u32(prefix + "original_context_length",
                   static_cast<std::uint32_t>(rope.original_max_position_embeddings));
  const kernel::RopeConfig defaults;
  if (rope.beta_fast != defaults.beta_fast)
    metadata.set_f32(prefix + "yarn_beta_fast", static_cast<float>(rope.beta_fast));
  if (rope.beta_slow != defaults.beta_slow)
    metadata.set_f32(prefix + "yarn_beta_slow", static_cast<float>(rope.beta_slow));
  const double magnitude = static_cast<double>(kernel::rope_frequencies(rope, 0).attention_factor);
  const double usual = kernel::yarn_attention_factor(rope.factor);
  if (static_cast<float>(usual) != static_cast<float>(magnitude))
    metadata.set_f32(prefix + "attn_factor", static_cast<float>(magnitude / usual));
  return {};
}

}  // namespace

Result<Json> decoder_config_from_gguf(const GgufMetadata& metadata, std::string_view arch, bool tied) {
  Json config = Json::object();
  const auto key = [&](std::string_view name) { return fmt::format("{}.{}", arch, name); };
  const auto copy_integer = [&](std::string_view gguf, const char* hf, bool required) -> Status {
    NIBBLE_TRY(const std::optional<std::int64_t> value, metadata.integer(key(gguf)));
    if (!value && required) return fail(ErrorCode::kCorrupt, "{}: the key {} is missing", metadata.what(), key(gguf));
    if (!value) return {};
    if (*value < 1 || *value > INT32_MAX)  // read_config(), which knows closer bounds, has other names for the keys
      return fail(ErrorCode::kCorrupt, "{}: {} is {}, expected 1 to {}", metadata.what(), key(gguf), *value, INT32_MAX);
    config[hf] = *value;
    return {};
  };
  NIBBLE_TRY_STATUS(copy_integer("embedding_length", "hidden_size", true));
  NIBBLE_TRY_STATUS(copy_integer("feed_forward_length", "intermediate_size", true));
  NIBBLE_TRY_STATUS(copy_integer("block_count", "num_hidden_layers", true));
  NIBBLE_TRY_STATUS(copy_integer("attention.head_count", "num_attention_heads", true));
  NIBBLE_TRY_STATUS(copy_integer("attention.head_count_kv", "num_key_value_heads", false));
  NIBBLE_TRY_STATUS(copy_integer("attention.key_length", "head_dim", false));
  NIBBLE_TRY_STATUS(copy_integer("context_length", "max_position_embeddings", true));
  NIBBLE_TRY_STATUS(copy_integer("vocab_size", "vocab_size", false));
  NIBBLE_TRY(const std::optional<double> eps, metadata.number(key("attention.layer_norm_rms_epsilon")));
  if (!eps)
    return fail(ErrorCode::kCorrupt, "{}: the key {} is missing", metadata.what(),
                key("attention.layer_norm_rms_epsilon"));
  if (!(*eps >= 0 && *eps <= 1))
    return fail(ErrorCode::kCorrupt, "{}: {} is {}, expected 0 to 1", metadata.what(),
                key("attention.layer_norm_rms_epsilon"), *eps);
  config["rms_norm_eps"] = shortest_double(*eps);
  NIBBLE_TRY(const std::optional<double> theta, metadata.number(key("rope.freq_base")));
  if (theta && !(*theta >= kMinTheta && *theta <= kMaxTheta))
    return fail(ErrorCode::kCorrupt, "{}: {} is {}, expected {} to {}", metadata.what(), key("rope.freq_base"), *theta,
                kMinTheta, kMaxTheta);
  config["rope_theta"] = shortest_double(theta.value_or(10000.0));
  NIBBLE_TRY(const std::optional<Json> scaling, rope_scaling_from_gguf(metadata, arch));
  if (scaling) config["rope_scaling"] = *scaling;
  config["tie_word_embeddings"] = tied;
  for (const auto& [gguf, hf] :
       {std::pair("bos", "bos_token_id"), std::pair("eos", "eos_token_id"), std::pair("padding", "pad_token_id")}) {
    NIBBLE_TRY(const auto id, metadata.integer(fmt::format("tokenizer.ggml.{}_token_id", gguf)));
    if (id) config[hf] = *id;
  }
  return config;
}

Status decoder_config_to_gguf(const ModelConfig& config, std::string_view arch, GgufMetadata& metadata) {
  const auto key = [&](std::string_view name) { return fmt::format("{}.{}", arch, name); };
  const auto u32 = [&](std::string_view name, std::int64_t value) {
    metadata.set_u32(key(name), static_cast<std::uint32_t>(value));
  };
  u32("block_count", config.num_hidden_layers);
  u32("context_length", config.max_position_embeddings);
  u32("embedding_length", config.hidden_size);
  u32("feed_forward_length", config.intermediate_size);
  u32("attention.head_count", config.num_attention_heads);
  u32("attention.head_count_kv", config.num_key_value_heads);
  metadata.set_f32(key("rope.freq_base"), static_cast<float>(config.ropes.front().rope_theta));
  metadata.set_f32(key("attention.layer_norm_rms_epsilon"), config.rms_norm_eps);
  u32("attention.key_length", config.head_dim);
  u32("attention.value_length", config.head_dim);
  return rope_scaling_to_gguf(config.ropes.front(), arch, metadata);
}

}  // namespace nibble
