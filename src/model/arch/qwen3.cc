// Qwen 3: Llama with an RMSNorm per head on q and k before rope, and a head size of its own (architectures.md 4).
#include <array>

#include "model/arch/architecture.h"
#include "model/arch/decoder_config.h"

namespace nibble {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes{"qwen3"};
constexpr std::array<std::string_view, 1> kClasses{"Qwen3ForCausalLM"};

constexpr std::array<TensorName, 14> kTensors{{
    {"model.embed_tokens", "token_embd"},
    {"lm_head", "output"},
    {"model.norm", "output_norm"},
    {"model.layers.{}.input_layernorm", "blk.{}.attn_norm"},
    {"model.layers.{}.self_attn.q_proj", "blk.{}.attn_q"},
    {"model.layers.{}.self_attn.k_proj", "blk.{}.attn_k"},
    {"model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"},
    {"model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"},
    {"model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm"},
    {"model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm"},
    {"model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
    {"model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"},
    {"model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"},
    {"model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"},
}};

Result<ModelConfig> read_config(const Json& json, const std::string& what) {
  const JsonFields fields(json, what);
  DecoderDefaults defaults;
  defaults.head_dim = 128;
  defaults.max_position_embeddings = 32768;
  NIBBLE_TRY(ModelConfig config, read_decoder_config(fields, defaults));
  NIBBLE_TRY(const std::optional<bool> attention_bias, fields.boolean("attention_bias"));
  config.attention_bias = config.attention_output_bias = attention_bias.value_or(false);
  config.qk_norm = true;
  NIBBLE_TRY(const auto sliding, read_sliding_layers(fields, config.num_hidden_layers));
  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    if (!sliding || !(*sliding)[i]) continue;
    NIBBLE_TRY(config.layers[i].window, read_window(fields));
  }
  report_unknown_keys(fields, json, {});
  return config;
}

Result<Json> config_from_gguf(const GgufMetadata& metadata, bool tied, bool biased) {
  NIBBLE_TRY(const Json common, decoder_config_from_gguf(metadata, "qwen3", tied));
  Json config = {{"architectures", Json::array({"Qwen3ForCausalLM"})}, {"model_type", "qwen3"}, {"hidden_act", "silu"}};
  config.update(common);
  config["attention_bias"] = biased;
  return config;
}

Status config_to_gguf(const Json& json, const ModelConfig& config, GgufMetadata& metadata) {
  (void)json;
  warn_of_lost_windows(config, metadata);
  return decoder_config_to_gguf(config, "qwen3", metadata);
}

}  // namespace

extern const Architecture kQwen3;
const Architecture kQwen3{"qwen3",  kModelTypes, kClasses,         "qwen3",
                          kTensors, read_config, config_from_gguf, config_to_gguf};

}  // namespace nibble
