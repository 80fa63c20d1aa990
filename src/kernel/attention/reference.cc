// Attention in portable code: the definition, one row and one key at a time, in the contract's order.
#include <cmath>
#include <cstring>
#include <limits>

#include "kernel/attention/attention.h"
#include "kernel/attention/kv_access.h"
#include "kernel/softmax/exp.h"

namespace nibble::kernel::reference {
namespace {

float key_element(const AttentionChunk& c, int j, int d) {
  const std::byte* k = c.k[j / KvBlockLayout::kTokens];
  const int place = j % KvBlockLayout::kTokens;
  if (j / KvBlockLayout::kTokens < c.packed_blocks) return packed_key(*c.packed, k, place, d);
  const int index = (place / KvBlockLayout::kGroup * c.head_dim + d) * KvBlockLayout::kGroup + place % 16;
  return kv_element(k, index, c.half);
}

float value_element(const AttentionChunk& c, int j, int d) {
  const std::byte* v = c.v[j / KvBlockLayout::kTokens];
  const int place = j % KvBlockLayout::kTokens;
  if (j / KvBlockLayout::kTokens < c.packed_blocks) return d < c.head_dim ? packed_value(*c.packed, v, place, d) : 0.0f;
  return kv_element(v, static_cast<std::int64_t>(place) * c.padded_dim + d, c.half);
}

/// Scores of one row's visible keys.
void score(const AttentionChunk& c, const float* q, int begin, int end, float* scores) {
  const float inverse_cap = 1.0f / c.softcap;
  for (int j = begin; j < end; ++j) {
    float dot = 0.0f;
    for (int d = 0; d < c.head_dim; ++d) dot = std::fma(q[d], key_element(c, j, d), dot);
    scores[j] = dot * c.scale;
    if (c.softcap > 0.0f) scores[j] = c.softcap * reference::tanh(scores[j] * inverse_cap);
  }
}

void chunk(const AttentionChunk& c) {
  for (int r = 0; r < c.rows; ++r) {
    float* out = c.out + static_cast<std::ptrdiff_t>(r) * c.padded_dim;
    float* p = c.scores + static_cast<std::ptrdiff_t>(r) * kAttentionChunk;
    const int begin = c.begin[r];
    const int end = c.end[r];
    for (int d = 0; d < c.padded_dim; ++d) out[d] = 0.0f;
    c.sum[r] = 0.0f;
    if (end <= begin) continue;
    score(c, c.q + static_cast<std::ptrdiff_t>(r) * c.head_dim, begin, end, p);
    float largest[16];
    for (float& lane : largest) lane = -std::numeric_limits<float>::infinity();
    for (int j = begin; j < end; ++j) largest[j % 16] = max(largest[j % 16], p[j]);
    c.max[r] = reduce_max(largest);
    float lanes[16] = {};
    for (int j = begin; j < end; ++j) {
      p[j] = exp_nonpositive(p[j] - c.max[r]);
      lanes[j % 16] = lanes[j % 16] + p[j];
    }
    c.sum[r] = reduce_add(lanes);
    for (int j = begin; j < end; ++j)
      for (int d = 0; d < c.padded_dim; ++d) out[d] = std::fma(p[j], value_element(c, j, d), out[d]);
  }
}

void merge(const AttentionState& state, const AttentionState& later, int rows, int padded_dim) {
  for (int r = 0; r < rows; ++r) {
    float* out = state.out + static_cast<std::ptrdiff_t>(r) * padded_dim;
    const float* add = later.out + static_cast<std::ptrdiff_t>(r) * padded_dim;
    if (later.sum[r] == 0.0f) continue;
    if (state.sum[r] == 0.0f) {
      std::memcpy(out, add, static_cast<std::size_t>(padded_dim) * sizeof(float));
      state.max[r] = later.max[r];
      state.sum[r] = later.sum[r];
      continue;
    }
    const float top = max(state.max[r], later.max[r]);
    const float a = exp_nonpositive(state.max[r] - top);
    const float b = exp_nonpositive(later.max[r] - top);
    state.max[r] = top;
    state.sum[r] = std::fma(later.sum[r], b, state.sum[r] * a);
    for (int d = 0; d < padded_dim; ++d) out[d] = std::fma(add[d], b, out[d] * a);
  }
}

void finish(const float* state, float sum, int head_dim, float* out) {
  const float inverse = 1.0f / sum;
  for (int d = 0; d < head_dim; ++d) out[d] = state[d] * inverse;
}

void to_half(const float* x, int n, std::uint16_t* out) {
  for (int i = 0; i < n; ++i) out[i] = f32_to_f16(x[i]);
}

}  // namespace

extern const AttentionKernel kAttention;
const AttentionKernel kAttention = {{"attention", "attention_reference", 0}, chunk, merge, finish, to_half};

}  // namespace nibble::kernel::reference
