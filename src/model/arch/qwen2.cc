// Qwen 2 and 2.5: Llama with biases on q, k and v (architectures.md 3).
#include <array>

#include "model/arch/architecture.h"
#include "model/arch/decoder_config.h"

namespace nibble {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes{"qwen2"};
constexpr std::array<std::string_view, 1> kClasses{"Qwen2ForCausalLM"};

constexpr std::array<TensorName, 12> kTensors{{
    {"model.embed_tokens", "token_embd"},
    {"lm_head", "output"},
    {"model.norm", "output_norm"},
    {"model.layers.{}.input_layernorm", "blk.{}.attn_norm"},
    {"model.layers.{}.self_attn.q_proj", "blk.{}.attn_q"},
    {"model.layers.{}.self_attn.k_proj", "blk.{}.attn_k"},
    {"model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"},
    {"model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"},
    {"model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
    {"model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"},
    {"model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"},
    {"model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"},
}};

/// Layers at or above max_window_layers are windowed, only with use_sliding_window; layer_types wins over both.
Status read_windows(const JsonFields& fields, ModelConfig& config) {
  NIBBLE_TRY(const std::optional<bool> use, fields.boolean("use_sliding_window"));
  NIBBLE_TRY(const std::optional<std::int64_t> first, fields.integer("max_window_layers"));
  NIBBLE_TRY(const auto sliding, read_sliding_layers(fields, config.num_hidden_layers));
  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    const bool windowed =
        sliding ? (*sliding)[i] : use.value_or(false) && static_cast<std::int64_t>(i) >= first.value_or(28);
    if (!windowed) continue;
    NIBBLE_TRY(config.layers[i].window, read_window(fields));
  }
  return {};
}

Result<ModelConfig> read_config(const Json& json, const std::string& what) {
  const JsonFields fields(json, what);
  DecoderDefaults defaults;
  defaults.max_position_embeddings = 32768;
  NIBBLE_TRY(ModelConfig config, read_decoder_config(fields, defaults));
  config.attention_bias = true;
  NIBBLE_TRY_STATUS(read_windows(fields, config));
  report_unknown_keys(fields, json, {});
  return config;
}

Result<Json> config_from_gguf(const GgufMetadata& metadata, bool tied, bool biased) {
  if (!biased)
    return fail(ErrorCode::kCorrupt, "{}: blk.0.attn_q.bias is missing; qwen2 has biases on q, k and v",
                metadata.what());
  NIBBLE_TRY(const Json common, decoder_config_from_gguf(metadata, "qwen2", tied));
  Json config = {{"architectures", Json::array({"Qwen2ForCausalLM"})}, {"model_type", "qwen2"}, {"hidden_act", "silu"}};
  config.update(common);
  config["use_sliding_window"] = false;
  return config;
}

Status config_to_gguf(const Json& json, const ModelConfig& config, GgufMetadata& metadata) {
  (void)json;
  warn_of_lost_windows(config, metadata);
  return decoder_config_to_gguf(config, "qwen2", metadata);
}

}  // namespace

extern const Architecture kQwen2;
const Architecture kQwen2{"qwen2",  kModelTypes, kClasses,         "qwen2",
                          kTensors, read_config, config_from_gguf, config_to_gguf};

}  // namespace nibble
