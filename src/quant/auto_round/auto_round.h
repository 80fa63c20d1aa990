// AutoRound (SignRound): rounding and ranges of a block's linears, tuned by sign gradient descent on the block's output
// (algorithms.md 7). The block is run and differentiated by train/train_ops.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "model/ops.h"
#include "quant/linear_schemes.h"
#include "tensor/quantized_matrix.h"
#include "train/train_weights.h"

namespace nibble {

struct AutoRoundOptions {
  int iterations = 200;
  float rate = 0;        ///< of the rounding offsets at first, then falling linearly to 0; 0: 1 / iterations
  float reach_rate = 0;  ///< of the ranges; 0: as rate
  bool tune_ranges = true;
  std::int64_t batch = 8;            ///< windows of an iteration
  std::int64_t windows_at_once = 0;  ///< that go through the block together; 0: those of about 2048 tokens
  std::int64_t judge_windows = 16;   ///< the fixed windows that iterates are judged by, spread evenly over all
  int judge_every = 10;              ///< iterations
  /// The first token of a window draws everybody's attention and has outputs hundreds of times as large as the others';
  /// it would be most of the loss.
  bool skip_first_token = true;
  std::uint64_t seed = 0;
};

/// The windows of `window` tokens that go through a block together.
std::int64_t windows_at_once(const AutoRoundOptions& options, std::int64_t window);

/// Success when AutoRound can produce `scheme`: integers of 2 to 8 bits, a scale per row or group of columns.
Status check_auto_round_scheme(const QuantScheme& scheme);

/// What a block is tuned on: windows of inputs, which earlier quantized blocks gave, and of the outputs wanted for
/// them.
struct BlockTask {
  std::function<Value(Ops&, const Value&)> run;  ///< the block
  std::vector<LinearId> linears;                 ///< those to quantize
  std::int64_t windows = 0;
  std::int64_t window = 0;  ///< tokens of each
  std::int64_t width = 0;   ///< numbers of a token, in and out
  using ReadWindow =
      std::function<Status(std::int64_t number, float* out)>;  ///< [window, width]; several threads call it at once
  ReadWindow inputs;
  ReadWindow targets;
  std::function<bool(int iterations_done)> progress;  ///< optional; false stops
};

struct TunedBlock {
  std::map<LinearId, QuantizedMatrix> matrices;  ///< of the best iterate
  double loss_before = 0;  ///< of round-to-nearest: mean squared difference from the targets on the judging windows
  double loss_after = 0;   ///< of the best iterate
  int best_iteration = 0;  ///< 0: round-to-nearest
};

/// `weights` holds the block's original matrices, finite; those of `linears` are of no meaning afterwards.
/// The iterate of least loss on the judging windows is kept; a loss that is NaN leaves round-to-nearest. The same bits
/// for any number of threads.
Result<TunedBlock> tune_block(const BlockTask& task, TrainWeights& weights, const LinearSchemes& schemes,
                              const AutoRoundOptions& options, ThreadPool& pool);

}  // namespace nibble
