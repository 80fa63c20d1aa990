// Causal attention of whole windows that start empty, forward and backward. What the engine does with its cache
// (kernel/attention) computed as matrix products; nothing is kept between the two but their inputs.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "model/ops.h"

namespace nibble {

/// q [windows * window, heads * head_dim], k and v [.., kv_heads * head_dim], rows dense.
struct AttentionInputs {
  AttentionSpec spec;
  std::int64_t windows = 0;
  std::int64_t window = 0;  ///< tokens of each
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
};

/// out, shaped as q: per head h, with g = h / (heads / kv_heads), the sum over visible j of
/// softmax_j(cap(scale q[i, h] . k[j, g])) v[j, g]. Key j is visible to i iff j <= i and, with a window W, j > i - W.
void window_attention(const AttentionInputs& in, float* out, ThreadPool& pool);

/// From d_out, the gradient by `out`: d_q, d_k and d_v, shaped as q, k and v. The same bits for any number of threads.
void window_attention_gradient(const AttentionInputs& in, const float* d_out, float* d_q, float* d_k, float* d_v,
                               ThreadPool& pool);

}  // namespace nibble
