// Llama 1 to 3, Mistral, SmolLM2 and everything else published as LlamaForCausalLM (architectures.md 2).
#include <array>

#include "model/arch/architecture.h"
#include "model/arch/decoder_config.h"

namespace nibble {
namespace {

constexpr std::array<std::string_view, 2> kModelTypes{"llama", "mistral"};
constexpr std::array<std::string_view, 2> kClasses{"LlamaForCausalLM", "MistralForCausalLM"};

constexpr std::array<TensorName, 12> kTensors{{
    {"model.embed_tokens", "token_embd"},
    {"lm_head", "output"},
    {"model.norm", "output_norm"},
    {"model.layers.{}.input_layernorm", "blk.{}.attn_norm"},
    {"model.layers.{}.self_attn.q_proj", "blk.{}.attn_q", GgufTransform::kInterleavedQueryRows},
    {"model.layers.{}.self_attn.k_proj", "blk.{}.attn_k", GgufTransform::kInterleavedKeyRows},
    {"model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"},
    {"model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"},
    {"model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
    {"model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"},
    {"model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"},
    {"model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"},
}};

Result<ModelConfig> read_config(const Json& json, const std::string& what) {
  const JsonFields fields(json, what);
  DecoderDefaults defaults;
  NIBBLE_TRY(const std::optional<std::string> model_type, fields.string("model_type"));
  const bool mistral = model_type == "mistral";
  if (mistral) {
    defaults.num_key_value_heads = 8;
    defaults.max_position_embeddings = 4096 * 32;
  }
  NIBBLE_TRY(ModelConfig config, read_decoder_config(fields, defaults));
  NIBBLE_TRY(const std::optional<bool> attention_bias, fields.boolean("attention_bias"));
  NIBBLE_TRY(const std::optional<bool> mlp_bias, fields.boolean("mlp_bias"));
  config.attention_bias = config.attention_output_bias = attention_bias.value_or(false);
  config.mlp_bias = mlp_bias.value_or(false);
  if (mistral && fields.has("sliding_window")) {
    NIBBLE_TRY(const std::int64_t window, read_window(fields));
    for (LayerKind& layer : config.layers) layer.window = window;
  }
  report_unknown_keys(fields, json, {});
  return config;
}

Result<Json> config_from_gguf(const GgufMetadata& metadata, bool tied, bool biased) {
  NIBBLE_TRY(const Json common, decoder_config_from_gguf(metadata, "llama", tied));
  NIBBLE_TRY(const std::optional<std::int64_t> experts, metadata.integer("llama.expert_count"));
  if (experts.value_or(0) > 0)
    return fail(ErrorCode::kUnsupported, "{}: llama.expert_count is {}; mixtures of experts are not implemented yet",
                metadata.what(), *experts);
  Json config = {{"architectures", Json::array({"LlamaForCausalLM"})}, {"model_type", "llama"}, {"hidden_act", "silu"}};
  config.update(common);
  config["attention_bias"] = biased;
  config["mlp_bias"] = false;
  return config;
}

Status config_to_gguf(const Json& json, const ModelConfig& config, GgufMetadata& metadata) {
  (void)json;
  warn_of_lost_windows(config, metadata);
  NIBBLE_TRY_STATUS(decoder_config_to_gguf(config, "llama", metadata));
  metadata.set_u32("llama.vocab_size", static_cast<std::uint32_t>(config.vocab_size));
  metadata.set_u32("llama.rope.dimension_count", static_cast<std::uint32_t>(config.head_dim));
  return {};
}

}  // namespace

extern const Architecture kLlama;
const Architecture kLlama{"llama",  kModelTypes, kClasses,         "llama",
                          kTensors, read_config, config_from_gguf, config_to_gguf};

}  // namespace nibble
