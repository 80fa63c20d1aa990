// The order of operations of the common decoder (architectures.md, sections 2 to 5).
#include "model/decoder.h"

#include <array>

namespace nibble {
namespace {

Value attention_branch(Ops& ops, const ModelConfig& config, const BlockLayout& block, int layer, const Value& h) {
  const std::array<LinearId, 3> qkv{block.q_proj, block.k_proj, block.v_proj};
  std::vector<Value> projected = ops.linear_group(h, qkv);
  Value& q = projected[0];
  Value& k = projected[1];
  if (config.qk_norm) {
    q = ops.rms_norm(q, block.q_norm, config.rms_norm_eps, config.norm_plus_one);
    k = ops.rms_norm(k, block.k_norm, config.rms_norm_eps, config.norm_plus_one);
  }
  const LayerKind& kind = config.layers[static_cast<std::size_t>(layer)];
  q = ops.rope(q, config.head_dim, kind.rope);
  k = ops.rope(k, config.head_dim, kind.rope);
  AttentionSpec spec;
  spec.layer = layer;
  spec.heads = config.num_attention_heads;
  spec.kv_heads = config.num_key_value_heads;
  spec.head_dim = config.head_dim;
  spec.scale = config.attention_scale;
  spec.window = kind.window;
  spec.softcap = config.attn_logit_softcapping;
  return ops.linear(ops.attention(q, k, projected[2], spec), block.o_proj);
}

Value mlp_branch(Ops& ops, const ModelConfig& config, const BlockLayout& block, const Value& h) {
  const std::array<LinearId, 2> gate_up{block.gate_proj, block.up_proj};
  const std::vector<Value> projected = ops.linear_group(h, gate_up);
  return ops.linear(ops.gated_activation(config.hidden_act, projected[0], projected[1]), block.down_proj);
}

}  // namespace

Value decoder_embed(Ops& ops, const ModelConfig& config, const ModelLayout& layout) {
  return ops.embed(layout.embedding, config.embedding_scale);
}

Value decoder_block(Ops& ops, const ModelConfig& config, const ModelLayout& layout, int layer, const Value& x) {
  const BlockLayout& block = layout.blocks[static_cast<std::size_t>(layer)];
  const auto norm = [&](const Value& value, VectorId weight) {
    return weight == kNoWeight ? value : ops.rms_norm(value, weight, config.rms_norm_eps, config.norm_plus_one);
  };
  Value branch = attention_branch(ops, config, block, layer, norm(x, block.input_norm));
  const Value after_attention = ops.add(x, norm(branch, block.post_attention_norm));
  branch = mlp_branch(ops, config, block, norm(after_attention, block.ffn_norm));
  return ops.add(after_attention, norm(branch, block.post_ffn_norm));
}

Value decoder_hidden_states(Ops& ops, const ModelConfig& config, const ModelLayout& layout, const Value& x) {
  return ops.rms_norm(ops.output_rows(x), layout.final_norm, config.rms_norm_eps, config.norm_plus_one);
}

Value decoder_head(Ops& ops, const ModelConfig& config, const ModelLayout& layout, const Value& x) {
  const Value logits = ops.linear(decoder_hidden_states(ops, config, layout, x), layout.head);
  return config.final_logit_softcapping > 0 ? ops.softcap(logits, config.final_logit_softcapping) : logits;
}

}  // namespace nibble
