#include "quant/fold/fold_points.h"

namespace nibble {

std::vector<FoldPoint> fold_points(const ModelConfig& config, const BlockLayout& block) {
  std::vector<FoldPoint> points(4);
  points[0].linears = {block.q_proj, block.k_proj, block.v_proj};
  points[0].norm = block.input_norm;
  points[0].channels = config.hidden_size;
  points[1].linears = {block.o_proj};
  points[1].previous = block.v_proj;
  points[1].channels = config.num_key_value_heads * config.head_dim;
  points[1].head_dim = config.head_dim;
  points[1].heads_per_channel = config.num_attention_heads / config.num_key_value_heads;
  points[2].linears = {block.gate_proj, block.up_proj};
  points[2].norm = block.ffn_norm;
  points[2].channels = config.hidden_size;
  points[3].linears = {block.down_proj};
  points[3].previous = block.up_proj;
  points[3].channels = config.intermediate_size;
  return points;
}

}  // namespace nibble
