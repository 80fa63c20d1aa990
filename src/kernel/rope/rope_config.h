// The parameters of rotary position embeddings, as config.json publishes them. rope.h computes inverse frequencies of
// it.
#pragma once

#include <cstdint>
#include <vector>

namespace nibble {

/// How frequencies are scaled for contexts beyond the trained one (transformers' modeling_rope_utils).
enum class RopeKind { kNone, kLinear, kDynamic, kLlama3, kYarn, kLongRope };

struct RopeConfig {
  RopeKind kind = RopeKind::kNone;
  double theta = 10000.0;       ///< rope_theta
  std::int64_t rotary_dim = 0;  ///< rotated dimensions of a head
  double factor = 1.0;
  std::int64_t max_position_embeddings = 0;
  std::int64_t original_max_position_embeddings = 0;
  double low_freq_factor = 1.0;      ///< llama3
  double high_freq_factor = 4.0;     ///< llama3
  double beta_fast = 32.0;           ///< yarn
  double beta_slow = 1.0;            ///< yarn
  double attention_factor = 0.0;     ///< multiplies cos and sin; 0: the kind's own default
  std::vector<double> short_factor;  ///< longrope
  std::vector<double> long_factor;   ///< longrope
  std::vector<float>
      freq_factors;  ///< divisors of the frequencies, as GGUF's rope_freqs tensor gives them; empty: none
};

}  // namespace nibble
