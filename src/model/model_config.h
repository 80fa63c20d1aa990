// ModelConfig: what an architecture needs to know of a published config.json. Fields keep the published names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/activation/activation.h"
#include "kernel/rope/rope.h"

namespace nibble {

using kernel::Activation;

/// Longest context: positions up to here are exact in the float32 that rope's angles are computed in.
inline constexpr std::int64_t kMaxPositions = std::int64_t{1} << 24;

/// One decoder layer's differences from its neighbours.
struct LayerKind {
  std::int64_t window = 0;  ///< sliding window, 0: full attention
  int rope = 0;             ///< index into ModelConfig::ropes
};

/// The common decoder: pre-norm blocks of attention and a gated MLP with residuals. A model that differs by a field is
/// a field here; only a new structure becomes code.
struct ModelConfig {
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_hidden_layers = 0;
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t max_position_embeddings = 0;
  float rms_norm_eps = 1e-6f;
  Activation hidden_act = Activation::kSilu;
  bool tie_word_embeddings = false;

  bool attention_bias = false;         ///< q, k, v have biases
  bool attention_output_bias = false;  ///< o has one too
  bool mlp_bias = false;
  bool qk_norm = false;          ///< RMSNorm per head on q and k before rope (Qwen 3, Gemma 3)
  bool sandwich_norms = false;   ///< norms after attention and MLP too, before the residual addition (Gemma)
  bool norm_plus_one = false;    ///< RMSNorm multiplies by 1 + weight (Gemma)
  float embedding_scale = 1.0f;  ///< embeddings are multiplied by this (Gemma)
  float attention_scale = 0.0f;  ///< factor of q * k
  float final_logit_softcapping = 0.0f;
  float attn_logit_softcapping = 0.0f;

  std::vector<kernel::RopeConfig> ropes;  ///< one, or two for Gemma 3 (global, local)
  std::vector<LayerKind> layers;          ///< num_hidden_layers of them
};

}  // namespace nibble
