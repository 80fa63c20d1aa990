// Attention over a paged KV cache, for a ragged batch of sequences: prefill, decode and any mixture of them.
//
// A cache block holds 64 consecutive positions of a sequence, for every kv head. In it lie, head by head:
//
//   K  [4 groups of 16 positions][head_dim][16 positions]     16 keys are the lanes of one vector, so that a query
//   meets
//                                                             them without horizontal sums
//   V  [64 positions][head_dim padded to 16]                  the dimensions are the lanes; the padding is 0
//
// Position p of a sequence lies in its block p / 64, at place p % 64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "kernel/kernel_info.h"

namespace nibble::kernel {

enum class KvType : std::uint8_t { kF16, kF32 };

/// Where things lie in one block of one layer.
struct KvBlockLayout {
  static constexpr int kTokens = 64;
  static constexpr int kGroup = 16;  ///< positions that are adjacent in K

  int kv_heads = 0;
  int head_dim = 0;
  KvType type = KvType::kF16;

  std::size_t element_bytes() const noexcept { return type == KvType::kF16 ? 2 : 4; }
  int padded_dim() const noexcept { return (head_dim + 15) / 16 * 16; }
  std::size_t k_bytes() const noexcept { return element_bytes() * kTokens * static_cast<std::size_t>(head_dim); }
  std::size_t v_bytes() const noexcept { return element_bytes() * kTokens * static_cast<std::size_t>(padded_dim()); }
  std::size_t k_offset(int kv_head) const noexcept {
    return static_cast<std::size_t>(kv_head) * (k_bytes() + v_bytes());
  }
  std::size_t v_offset(int kv_head) const noexcept { return k_offset(kv_head) + k_bytes(); }
  /// A multiple of 64. Blocks should be aligned to 64 bytes.
  std::size_t block_bytes() const noexcept { return k_offset(kv_heads); }
};

/// Where things lie in one packed block of one layer, which holds codes in place of floats: a value is its code times a
/// half, and 32 adjacent dimensions of a position share one. Head by head:
///
///   K halves  [4 groups of 16 positions][dimensions / 32][16 positions]
///   K codes   [4 groups of 16 positions][dimensions padded to 32][16 positions]
///   V halves  [64 positions][dimensions / 32]
///   V codes   [64 positions][dimensions padded to 32]
///
/// Codes of 8 bits are signed. Codes of 4 bits count from 8, and a byte holds two: of dimension d of 32 in its low
/// half, of d + 16 in its high half. The padding stands for 0.
struct KvPackedLayout {
  static constexpr int kDims = 32;  ///< dimensions that share a half

  int kv_heads = 0;
  int head_dim = 0;
  int bits = 8;  ///< 8 or 4

  int dim_groups() const noexcept { return (head_dim + kDims - 1) / kDims; }
  std::size_t scale_bytes() const noexcept {
    return sizeof(std::uint16_t) * KvBlockLayout::kTokens * static_cast<std::size_t>(dim_groups());
  }
  std::size_t code_bytes() const noexcept {
    return static_cast<std::size_t>(KvBlockLayout::kTokens * kDims * bits / 8 * dim_groups());
  }
  std::size_t k_offset(int kv_head) const noexcept {
    return static_cast<std::size_t>(kv_head) * 2 * (scale_bytes() + code_bytes());
  }
  std::size_t v_offset(int kv_head) const noexcept { return k_offset(kv_head) + scale_bytes() + code_bytes(); }
  std::size_t block_bytes() const noexcept { return k_offset(kv_heads); }
};

/// Blocks of floats before the one that a query's position lies in that it sees unpacked.
constexpr int kKvRecentBlocks = 1;

/// The rows of a batch that belong to one sequence: rows first_row .. first_row + rows - 1 of q, k, v and out are its
/// positions first_position .. first_position + rows - 1.
struct KvSequence {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  std::int64_t first_position = 0;
  /// blocks[p / 64] is the block of position p, up to the last row's. Blocks that no row can see (before every row's
  /// window) are not touched and may be null.
  std::byte* const* blocks = nullptr;
  /// The same of packed blocks, where the cache has them. A query at position p then sees the keys of block b packed if
  /// b + kKvRecentBlocks < p / 64, and does not touch blocks[b].
  std::byte* const* packed = nullptr;
};

/// Writes k and v of every sequence's rows into its blocks: rounded to half, ties to even, overflow to infinity; or as
/// they are.
///
/// k, v          [rows, kv_heads, head_dim] float32, rows ld_k and ld_v apart; keys already rotated
/// block_offset  bytes from a block's start to this layer's part of it
/// No two rows of a call may be the same position of the same block.
void kv_store(const KvBlockLayout& layout, const float* k, std::int64_t ld_k, const float* v, std::int64_t ld_v,
              std::span<const KvSequence> sequences, std::size_t block_offset, ThreadPool& pool);

/// Packs every block that these rows fill. With 8 bits a half is the largest magnitude / 127, with 4 bits the value of
/// largest magnitude / -8; codes are the nearest integers to the value times the half's reciprocal. Values that are not
/// finite make their 32 NaN.
void kv_pack(const KvBlockLayout& layout, std::size_t block_offset, const KvPackedLayout& packed,
             std::size_t packed_offset, std::span<const KvSequence> sequences, ThreadPool& pool);

/// A packed block of one layer as a block of floats.
void kv_unpack(const KvPackedLayout& packed, const std::byte* from, const KvBlockLayout& layout, std::byte* to);

/// out[i, h] = sum over visible j of softmax_j(s[i, h, j]) v[j, g],   g = h / (heads / kv_heads)
/// s[i, h, j] = cap(scale * (q[i, h] . k[j, g])),   cap(s) = softcap * tanh(s / softcap) if softcap > 0, else s
///
/// Key j is visible to the query at position i iff j <= i, and j > i - window if window > 0. Without `causal`: iff j is
/// at most the position of the sequence's last row, and |i - j| < window if window > 0.
/// Visible keys must be in the cache: call kv_store for the batch first.
struct AttentionArgs {
  KvBlockLayout layout;
  const float* q = nullptr;  ///< [rows, heads, head_dim], rows ld_q apart
  std::int64_t ld_q = 0;
  int heads = 0;  ///< a multiple of layout.kv_heads
  float scale = 1.0f;
  float softcap = 0.0f;
  std::int64_t window = 0;
  bool causal = true;
  std::span<const KvSequence> sequences;
  std::size_t block_offset = 0;            ///< bytes from a block's start to this layer's part of it
  const KvPackedLayout* packed = nullptr;  ///< where the sequences have packed blocks; needs `causal`
  std::size_t packed_offset = 0;           ///< bytes from a packed block's start to this layer's part of it
  float* out = nullptr;                    ///< [rows, heads, head_dim], rows ld_out apart; does not overlap q
  std::int64_t ld_out = 0;
};

/// Each row's result is a function of its query and its visible keys and values alone, to the bit: it does not depend
/// on the rest of the batch, how a prompt is cut, the threads or the instruction set, nor on what else is in the
/// blocks.
///
/// The order: keys are cut at every 256th absolute position. In a chunk, a score is one chain of fused steps in
/// ascending dimension; p = e^(s - chunk's maximum) (within 1 ulp); the p are added in 16 interleaved lanes (lane =
/// position mod 16) and a fixed tree; each output dimension is one chain of fused steps in ascending position, from 0.
/// Chunks are then merged in ascending order, and the sum divides the output at the end.
void attention(const AttentionArgs& args, ThreadPool& pool);

/// ---- Kernels ----

constexpr int kAttentionChunk = 256;  ///< positions
constexpr int kChunkBlocks = kAttentionChunk / KvBlockLayout::kTokens;
/// Rows may be handled in groups of up to this many; scratch for scores is padded to a multiple of it.
constexpr int kAttentionRowTile = 6;

/// Some query rows of one sequence against one chunk of one kv head's keys.
struct AttentionChunk {
  const float* q;  ///< [rows, head_dim], dense
  int rows;
  int head_dim;
  int padded_dim;
  bool half;                  ///< the cache's type is kF16
  const std::byte* const* k;  ///< [kChunkBlocks] this head's K part of each block; those needed
  const std::byte* const* v;  ///< [kChunkBlocks]
  const std::byte* after;     ///< what is read next: keys of a later chunk or item; or null
  std::size_t after_bytes;
  const KvPackedLayout* packed;  ///< of the first `packed_blocks` of them
  int packed_blocks;
  const int* begin;  ///< [rows] first visible position, counted from the chunk's first
  const int* end;    ///< [rows] one past the last; end <= begin: none
  float scale;
  float softcap;
  float* scores;  ///< scratch [rows, kAttentionChunk]
  float* panel;   ///< scratch [kTokens, padded_dim]
  float* out;     ///< [rows, padded_dim] sum of p v
  float* max;     ///< [rows] the largest score; undefined where no key is visible
  float* sum;     ///< [rows] sum of p; 0 where no key is visible
};

/// State of `rows` rows: out [rows, padded_dim], max and sum [rows].
struct AttentionState {
  float* out;
  float* max;
  float* sum;
};

struct AttentionKernel {
  KernelInfo info;
  void (*chunk)(const AttentionChunk& chunk);
  /// Adds a later chunk to the state. A sum of 0 stands for nothing.
  void (*merge)(const AttentionState& state, const AttentionState& chunk, int rows, int padded_dim);
  /// out[i] = state[i] / sum, i < head_dim, for one row; n values, computed as a product with 1 / sum.
  void (*finish)(const float* state, float sum, int head_dim, float* out);
  /// n floats to halves, ties to even; may write up to 15 elements more.
  void (*to_half)(const float* x, int n, std::uint16_t* out);
};

/// All kernels in this build, slowest first.
std::span<const AttentionKernel* const> attention_kernels();

/// attention() and kv_store() with a given kernel, for tests and benchmarks.
void attention_with(const AttentionKernel& kernel, const AttentionArgs& args, ThreadPool& pool);
void kv_store_with(const AttentionKernel& kernel, const KvBlockLayout& layout, const float* k, std::int64_t ld_k,
                   const float* v, std::int64_t ld_v, std::span<const KvSequence> sequences, std::size_t block_offset,
                   ThreadPool& pool);

}  // namespace nibble::kernel
