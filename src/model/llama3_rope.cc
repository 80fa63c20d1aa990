// Llama 3's divisors.
#include "model/llama3_rope.h"

#include <cmath>
#include <numbers>

namespace nibble {

std::vector<float> llama3_divisors(const kernel::RopeConfig& rope) {
  std::vector<float> divisors;
  const auto length = static_cast<double>(rope.original_max_position_embeddings);
  for (int i = 0; i < rope.rotary_dim / 2; ++i) {
    const double frequency = std::pow(rope.rope_theta, -2.0 * i / rope.rotary_dim);
    const double wavelength = 2.0 * std::numbers::pi / frequency;
    double divisor = 1.0;
    if (wavelength > length / rope.low_freq_factor) {
      divisor = rope.factor;
    } else if (wavelength >= length / rope.high_freq_factor) {
      const double smooth =
          (length / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
      divisor = 1.0 / ((1.0 - smooth) / rope.factor + smooth);
    }
    divisors.push_back(static_cast<float>(divisor));
  }
  return divisors;
}

}  // namespace nibble
