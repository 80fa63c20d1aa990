// The end of a model under a bit search: tokens are drawn from its own distribution, their log-likelihood is
// differentiated by the last hidden state, and rounding the head is judged by what it does to the logits.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "model/model_weights.h"
#include "quant/bits/rounding_errors.h"

namespace nibble {

struct HeadSensitivity {
  std::vector<float> gradient;  ///< [tokens, hidden_size], of the sum of log p(token drawn) by the head's input
  std::vector<double> growth;   ///< per scheme of `head`: mean KL divergence that rounding adds, to second order
};

/// `input`: what the head is multiplied by, [tokens, hidden_size], the final norm applied. The growth is
/// 1/2 Var_p(change of the logits), p being the model's distribution, averaged over tokens. Holds three tiles of
/// [tokens, kHeadTileRows]. The same bits for any number of threads.
Result<HeadSensitivity> head_sensitivity(const ModelWeights& weights, const std::vector<float>& input,
                                         const RoundingErrors& head, std::uint64_t seed, ThreadPool& pool);

constexpr std::int64_t kHeadTileRows = 1024;

}  // namespace nibble
