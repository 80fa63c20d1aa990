// Gemma 3, the text model: RMSNorm with 1 + weight around both branches, norms on q and k, two ropes (architectures.md
// 5).
#include <array>
#include <cmath>

#include "base/half.h"
#include "model/arch/architecture.h"
#include "model/arch/decoder_config.h"

namespace nibble {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes{"gemma3_text"};
constexpr std::array<std::string_view, 1> kClasses{"Gemma3ForCausalLM"};

constexpr GgufTransform kShift = GgufTransform::kPlusOne;
constexpr std::array<TensorName, 16> kTensors{{
    {"model.embed_tokens", "token_embd"},
    {"lm_head", "output"},
    {"model.norm", "output_norm", kShift},
    {"model.layers.{}.input_layernorm", "blk.{}.attn_norm", kShift},
    {"model.layers.{}.self_attn.q_proj", "blk.{}.attn_q"},
    {"model.layers.{}.self_attn.k_proj", "blk.{}.attn_k"},
    {"model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"},
    {"model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"},
    {"model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm", kShift},
    {"model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm", kShift},
    {"model.layers.{}.post_attention_layernorm", "blk.{}.post_attention_norm", kShift},
    {"model.layers.{}.pre_feedforward_layernorm", "blk.{}.ffn_norm", kShift},
    {"model.layers.{}.post_feedforward_layernorm", "blk.{}.post_ffw_norm", kShift},
    {"model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"},
    {"model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"},
    {"model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"},
}};

/// Which layers slide: layer_types, else every layer but each pattern-th.
Status read_layers(const JsonFields& fields, ModelConfig& config) {
  NIBBLE_TRY(const std::int64_t window, read_window(fields));
  const char* key = fields.has("sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern";
  NIBBLE_TRY(const std::int64_t period, read_integer(fields, key, 6, 1, INT64_MAX));
  NIBBLE_TRY(const auto sliding, read_sliding_layers(fields, config.num_hidden_layers));
  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    const bool slides = sliding ? (*sliding)[i] : (static_cast<std::int64_t>(i) + 1) % period != 0;
    config.layers[i] = slides ? LayerKind{window, 1} : LayerKind{0, 0};
  }
  return {};
}

/// Rope 0 is the global one (rope_theta and rope_scaling), rope 1 the sliding layers' (rope_local_base_freq, unscaled).
Status read_ropes(const JsonFields& fields, ModelConfig& config) {
  const Json* parameters = fields.child("rope_parameters");
  if (parameters != nullptr && parameters->contains("full_attention")) {
    config.ropes.clear();
    for (const char* kind : {"full_attention", "sliding_attention"}) {
      const Json one = {{"rope_parameters", parameters->value(kind, Json::object())}};
      const JsonFields of_kind(one, fields.what() + ": " + kind);
      NIBBLE_TRY(kernel::RopeConfig rope, read_rope(of_kind, 10000.0, config.head_dim, config.max_position_embeddings));
      config.ropes.push_back(std::move(rope));
    }
    return {};
  }
  kernel::RopeConfig rope;
  NIBBLE_TRY(rope.rope_theta, read_number(fields, "rope_local_base_freq", 10000.0, kMinTheta, kMaxTheta));
  rope.rotary_dim = static_cast<int>(config.head_dim);
  rope.max_position_embeddings = rope.original_max_position_embeddings = config.max_position_embeddings;
  config.ropes.push_back(std::move(rope));
  return {};
}

Result<ModelConfig> read_config(const Json& json, const std::string& what) {
  Json without_nested_ropes = json;  // the common reader must not meet rope_parameters by layer kind
  if (json.contains("rope_parameters") && json["rope_parameters"].is_object() &&
      json["rope_parameters"].contains("full_attention"))
    without_nested_ropes.erase("rope_parameters");
  const JsonFields fields(json, what);
  const JsonFields common(without_nested_ropes, what);
  DecoderDefaults defaults;
  defaults.head_dim = 256;
  defaults.num_attention_heads = 8;
  defaults.num_key_value_heads = 4;
  defaults.max_position_embeddings = 131072;
  defaults.rope_theta = 1e6;
  defaults.tie_word_embeddings = true;
  defaults.activation_key = "hidden_activation";
  defaults.activation = "gelu_pytorch_tanh";
  NIBBLE_TRY(ModelConfig config, read_decoder_config(common, defaults));
  NIBBLE_TRY(const std::optional<bool> bidirectional, fields.boolean("use_bidirectional_attention"));
  if (bidirectional.value_or(false))
    return fail(ErrorCode::kUnsupported, "{}: \"use_bidirectional_attention\" is not implemented", what);
  NIBBLE_TRY(const std::optional<bool> bias, fields.boolean("attention_bias"));
  config.attention_bias = config.attention_output_bias = bias.value_or(false);
  config.qk_norm = config.sandwich_norms = config.norm_plus_one = true;
  constexpr double kTiny = 1e-6;  // wider than any model, and no division overflows
  constexpr double kHuge = 1e9;
  NIBBLE_TRY(const double scalar, read_number(fields, "query_pre_attn_scalar", 256.0, kTiny, kHuge));
  config.attention_scale = static_cast<float>(1.0 / std::sqrt(scalar));
  NIBBLE_TRY(const double final_cap, read_number(fields, "final_logit_softcapping", 0.0, 0.0, kHuge));
  NIBBLE_TRY(const double attention_cap, read_number(fields, "attn_logit_softcapping", 0.0, 0.0, kHuge));
  config.final_logit_softcapping = static_cast<float>(final_cap);
  config.attn_logit_softcapping = static_cast<float>(attention_cap);
  // sqrt(hidden_size) is rounded to the embedding's type by the reference: bf16 checkpoints multiply by the bf16 value.
  NIBBLE_TRY(std::optional<std::string> dtype, fields.string("torch_dtype"));
  if (!dtype) {
    NIBBLE_TRY(dtype, fields.string("dtype"));
  }
  const float root = std::sqrt(static_cast<float>(config.hidden_size));
  config.embedding_scale = dtype == "bfloat16"  ? bf16_to_f32(f32_to_bf16(root))
                           : dtype == "float16" ? f16_to_f32(f32_to_f16(root))
                                                : root;
  NIBBLE_TRY_STATUS(read_ropes(fields, config));
  NIBBLE_TRY_STATUS(read_layers(fields, config));
  report_unknown_keys(fields, json, {});
  return config;
}

/// GGUF has no key for query_pre_attn_scalar: the number of layers tells the 27B model, which has a rule of its own.
std::int64_t gguf_query_scalar(std::int64_t layers, std::int64_t hidden, std::int64_t heads, std::int64_t head_dim) {
  return layers == 62 && heads > 0 ? hidden / heads : head_dim;
}

Result<Json> config_from_gguf(const GgufMetadata& metadata, bool tied, bool biased) {
  (void)biased;
  NIBBLE_TRY(const Json common, decoder_config_from_gguf(metadata, "gemma3", tied));
  Json config = {{"architectures", Json::array({"Gemma3ForCausalLM"})},
                 {"model_type", "gemma3_text"},
                 {"hidden_activation", "gelu_pytorch_tanh"}};
  config.update(common);
  NIBBLE_TRY(const auto window, metadata.integer("gemma3.attention.sliding_window"));
  if (window) config["sliding_window"] = *window;
  NIBBLE_TRY(const auto local, metadata.number("gemma3.rope.freq_base_swa"));
  config["rope_local_base_freq"] = shortest_double(local.value_or(10000.0));
  NIBBLE_TRY(const auto cap, metadata.number("gemma3.final_logit_softcapping"));
  if (cap) config["final_logit_softcapping"] = shortest_double(*cap);
  const std::int64_t layers = config["num_hidden_layers"].get<std::int64_t>();
  const std::int64_t heads = config["num_attention_heads"].get<std::int64_t>();
  const std::int64_t hidden = config["hidden_size"].get<std::int64_t>();
  const std::int64_t head_dim = config.value("head_dim", std::int64_t{256});
  config["query_pre_attn_scalar"] = gguf_query_scalar(layers, hidden, heads, head_dim);
  config["sliding_window_pattern"] = 6;
  return config;
}

Status config_to_gguf(const Json& json, const ModelConfig& config, GgufMetadata& metadata) {
  NIBBLE_TRY_STATUS(decoder_config_to_gguf(config, "gemma3", metadata));
  (void)json;
  const std::int64_t scalar =
      gguf_query_scalar(config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.head_dim);
  if (config.attention_scale != static_cast<float>(1.0 / std::sqrt(static_cast<double>(scalar))))
    return fail(ErrorCode::kUnsupported,
                "{}: this \"query_pre_attn_scalar\" cannot be said in GGUF, where it is {} for such a model",
                metadata.what(), scalar);
  if (config.attn_logit_softcapping > 0)
    return fail(ErrorCode::kUnsupported, "{}: \"attn_logit_softcapping\" cannot be said in GGUF of this architecture",
                metadata.what());
  if (config.ropes.back().scaling != kernel::RopeScaling::kNone)
    return fail(ErrorCode::kUnsupported, "{}: a rope scaling of the sliding layers cannot be said in GGUF",
                metadata.what());
  for (std::size_t i = 0; i < config.layers.size(); ++i)
    if ((config.layers[i].window > 0) != (i % 6 < 5))
      return fail(ErrorCode::kUnsupported, "{}: this pattern of sliding layers cannot be said in GGUF",
                  metadata.what());
  for (const LayerKind& layer : config.layers)
    if (layer.window > 0) {
      metadata.set_u32("gemma3.attention.sliding_window", static_cast<std::uint32_t>(layer.window));
      break;
    }
  metadata.set_f32("gemma3.rope.freq_base_swa", static_cast<float>(config.ropes.back().rope_theta));
  if (config.final_logit_softcapping > 0)
    metadata.set_f32("gemma3.final_logit_softcapping", config.final_logit_softcapping);
  return {};
}

}  // namespace

extern const Architecture kGemma3;
const Architecture kGemma3{"gemma3", kModelTypes, kClasses,         "gemma3",
                           kTensors, read_config, config_from_gguf, config_to_gguf};

}  // namespace nibble
