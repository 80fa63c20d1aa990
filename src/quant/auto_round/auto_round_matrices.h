// AutoRound over a whole model: every block tuned on what the quantized blocks before it give, towards what the
// original model gives there (algorithms.md 1.2, 7).
#pragma once

#include <vector>

#include "quant/auto_round/auto_round.h"
#include "quant/calibration/finished_linears.h"

namespace nibble {

/// What became of one block.
struct AutoRoundBlock {
  int layer = 0;
  double loss_before = 0;  ///< as TunedBlock; 0 where an interrupted run had finished the block
  double loss_after = 0;
  int best_iteration = 0;
  double seconds = 0;
};

/// Finishes every block linear; the embedding and the head are not among them. A block that `finished` knows only in
/// part is tuned again, to the same bytes. The errors of linears are measured on some of the tokens, spread over all.
/// With options.iterations 0 nothing is tuned: linears are rounded on searched scales (searched_rtn.h), weighted by the
/// mean squares of their inputs, and no block is listed.
Result<std::vector<AutoRoundBlock>> auto_round_matrices(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                        const LinearSchemes& schemes, const AutoRoundOptions& options,
                                                        StreamOptions stream, FinishedLinears& finished,
                                                        ThreadPool& pool);

/// What tuning the largest block takes in memory, beside what waits in a store of activations.
std::uint64_t auto_round_bytes(const ModelWeights& weights, std::int64_t window, const AutoRoundOptions& options);

}  // namespace nibble
