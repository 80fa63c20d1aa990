// Round-to-nearest on searched scales: AutoRound without iterations, which its authors call OPT-RTN
// (algorithms.md 7.4).
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "model/model_weights.h"
#include "quant/calibration/finished_linears.h"

namespace nibble {

/// For each group, of scales around round-to-nearest's (201 from 0.57 to 4 times it; 2-bit symmetric 181 from 0.69 to
/// 1.8 times) the one of least sum of importance[c] (w - value)^2, the first of equals. The search is the reference's
/// for symmetric grids; asymmetric ones try the same widths around their low end, each with its zero point.
///
/// weights     [rows, cols], made finite as round-to-nearest does
/// importance  [cols], mean squares of the inputs; empty: all 1
/// A scheme that check_auto_round_scheme() accepts. The same bits for any number of threads.
QuantizedMatrix quantize_searched_rtn(std::span<float> weights, std::int64_t rows, std::int64_t cols,
                                      std::span<const float> importance, const QuantScheme& scheme, ThreadPool& pool);

/// The same for linears that share an input with these second moments, as stream_blocks() asks for them.
Result<std::vector<MatrixPtr>> search_linears(const ModelWeights& weights, std::span<const LinearId> linears,
                                              const InputGram& gram, const QuantScheme& scheme,
                                              FinishedLinears& finished, ThreadPool& pool);

}  // namespace nibble
