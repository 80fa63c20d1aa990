// The common decoder's weights and their Hugging Face names.
#include "model/model_layout.h"

namespace nibble {
namespace {

/// Appends weights and hands out their numbers.
class LayoutBuilder {
 public:
  explicit LayoutBuilder(ModelLayout& layout) : layout_(layout) {}

  LinearId linear(std::string name, std::int64_t rows, std::int64_t cols, LinearInfo::Role role, int layer, bool bias) {
    layout_.linears.push_back({std::move(name), rows, cols, role, layer, bias});
    return static_cast<LinearId>(layout_.linears.size()) - 1;
  }
  VectorId vector(std::string name, std::int64_t size) {
    layout_.vectors.push_back({std::move(name), size});
    return static_cast<VectorId>(layout_.vectors.size()) - 1;
  }

 private:
  ModelLayout& layout_;
};

BlockLayout block_layout(LayoutBuilder& add, const ModelConfig& config, int layer) {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t q_width = config.num_attention_heads * config.head_dim;
  const std::int64_t kv_width = config.num_key_value_heads * config.head_dim;
  const auto linear = [&](const char* name, std::int64_t rows, std::int64_t cols, bool bias) {
    return add.linear(prefix + name, rows, cols, LinearInfo::Role::kBlock, layer, bias);
  };
  const auto norm = [&](const char* name, std::int64_t size) { return add.vector(prefix + name + ".weight", size); };
  BlockLayout block;
  block.input_norm = norm("input_layernorm", hidden);
  if (config.sandwich_norms) {
    block.post_attention_norm = norm("post_attention_layernorm", hidden);
    block.ffn_norm = norm("pre_feedforward_layernorm", hidden);
    block.post_ffn_norm = norm("post_feedforward_layernorm", hidden);
  } else {
    block.ffn_norm = norm("post_attention_layernorm", hidden);
  }
  block.q_proj = linear("self_attn.q_proj", q_width, hidden, config.attention_bias);
  block.k_proj = linear("self_attn.k_proj", kv_width, hidden, config.attention_bias);
  block.v_proj = linear("self_attn.v_proj", kv_width, hidden, config.attention_bias);
  block.o_proj = linear("self_attn.o_proj", hidden, q_width, config.attention_output_bias);
  if (config.qk_norm) {
    block.q_norm = norm("self_attn.q_norm", config.head_dim);
    block.k_norm = norm("self_attn.k_norm", config.head_dim);
  }
  block.gate_proj = linear("mlp.gate_proj", config.intermediate_size, hidden, config.mlp_bias);
  block.up_proj = linear("mlp.up_proj", config.intermediate_size, hidden, config.mlp_bias);
  block.down_proj = linear("mlp.down_proj", hidden, config.intermediate_size, config.mlp_bias);
  return block;
}

}  // namespace

ModelLayout decoder_layout(const ModelConfig& config, bool has_head) {
  ModelLayout layout;
  LayoutBuilder add(layout);
  layout.embedding =
      add.linear("model.embed_tokens", config.vocab_size, config.hidden_size, LinearInfo::Role::kEmbedding, -1, false);
  for (int layer = 0; layer < static_cast<int>(config.num_hidden_layers); ++layer)
    layout.blocks.push_back(block_layout(add, config, layer));
  layout.final_norm = add.vector("model.norm.weight", config.hidden_size);
  layout.head = has_head
                    ? add.linear("lm_head", config.vocab_size, config.hidden_size, LinearInfo::Role::kHead, -1, false)
                    : layout.embedding;
  return layout;
}

}  // namespace nibble
