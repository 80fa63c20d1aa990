// Llama 3's scaling of frequencies as GGUF stores it: a divisor for each (gguf.md 2.5).
#pragma once

#include <vector>

#include "kernel/rope/rope.h"

namespace nibble {

/// rotary_dim / 2 divisors, of `rope`'s factor, low_freq_factor, high_freq_factor and original_max_position_embeddings.
std::vector<float> llama3_divisors(const kernel::RopeConfig& rope);

}  // namespace nibble
