// ModelLayout: the weights of a decoder by number and by name. The hub between names in files and handles in Ops.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model_config.h"
#include "model/ops.h"

namespace nibble {

/// A matrix the model multiplies by (or looks rows up in).
struct LinearInfo {
  enum class Role { kEmbedding, kBlock, kHead };
  std::string name;  ///< Hugging Face module name: "model.layers.0.self_attn.q_proj"
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  Role role = Role::kBlock;
  int layer = -1;     ///< kBlock only
  bool bias = false;  ///< a tensor name + ".bias" belongs to it
};

/// A small float vector: a norm's weight.
struct VectorInfo {
  std::string name;  ///< Hugging Face tensor name: "model.norm.weight"
  std::int64_t size = 0;
};

/// The weights of one decoder block; kNoWeight where the architecture has none.
struct BlockLayout {
  VectorId input_norm = kNoWeight;
  VectorId post_attention_norm = kNoWeight;  ///< sandwich norms only
  VectorId ffn_norm = kNoWeight;
  VectorId post_ffn_norm = kNoWeight;  ///< sandwich norms only
  VectorId q_norm = kNoWeight;
  VectorId k_norm = kNoWeight;
  LinearId q_proj = kNoWeight;
  LinearId k_proj = kNoWeight;
  LinearId v_proj = kNoWeight;
  LinearId o_proj = kNoWeight;
  LinearId gate_proj = kNoWeight;
  LinearId up_proj = kNoWeight;
  LinearId down_proj = kNoWeight;
};

struct ModelLayout {
  std::vector<LinearInfo> linears;
  std::vector<VectorInfo> vectors;
  LinearId embedding = kNoWeight;
  LinearId head = kNoWeight;  ///< equals `embedding` when tied
  VectorId final_norm = kNoWeight;
  std::vector<BlockLayout> blocks;
};

/// The layout of the common decoder for a config. `has_head`: the checkpoint holds lm_head.weight (it wins over tying).
ModelLayout decoder_layout(const ModelConfig& config, bool has_head);

}  // namespace nibble
