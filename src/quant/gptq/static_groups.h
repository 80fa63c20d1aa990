// GPTQ with static groups (algorithms.md 4.2, 4.3): every grid is chosen on the weights as they are, before the pass,
// so that columns can be quantized in the order of their inputs' size while groups stay runs of columns.
#pragma once

#include "quant/gptq/gptq.h"

namespace nibble {

/// `weights` [rows, cols] are finite; check_act_order() accepts the scheme. `stored` and `by_size` are the same second
/// moments in the orders kAsStored and kBySize. Of the options those of the search of scales count.
QuantizedMatrix quantize_static_groups(std::span<const float> weights, std::int64_t rows, const SecondOrder& stored,
                                       const SecondOrder& by_size, const QuantScheme& scheme,
                                       const GptqOptions& options, ThreadPool& pool);

}  // namespace nibble
