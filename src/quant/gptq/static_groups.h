// GPTQ with static groups (algorithms.md 4.2, 4.3): every grid is chosen on the weights as they are, before the pass,
// so that columns can be quantized in the order of their inputs' size while groups stay runs of columns.
#pragma once

#include "quant/gptq/gptq.h"

namespace nibble {

/// `weights` [rows, gram.cols] are finite; check_act_order() accepts the scheme. Of the options those of the search of
/// scales count.
QuantizedMatrix quantize_static_groups(std::span<const float> weights, std::int64_t rows, const InputGram& gram,
                                       const QuantScheme& scheme, const GptqOptions& options,
                                       const SecondOrderOptions& second_order, ThreadPool& pool);

}  // namespace nibble
