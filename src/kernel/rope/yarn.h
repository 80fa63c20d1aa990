// What YaRN does to the length of queries and keys, for those that state it in another way than config.json.
#pragma once

#include <cmath>

namespace nibble::kernel {

/// The factor of cosines and sines at a context `scale` times as long (transformers' get_mscale); with an mscale of 1
/// the one that is used where nothing else is said.
inline double yarn_attention_factor(double scale, double mscale = 1.0) {
  return scale <= 1.0 ? 1.0 : 0.1 * mscale * std::log(scale) + 1.0;
}

}  // namespace nibble::kernel
