// Matmul kernels for AVX-512 with VNNI. A kernel takes two panels (32 rows) at a time and a chunk of K: it unpacks the
// chunk's codes and planes once into a slab in the first-level cache, then runs a register tile of up to 6 tokens x 2
// panels over it for all tokens. A single token is the same code with a tile of one, so the bits are the same.
//
// Sums of integers use vpdpbusd on unsigned weights; the activations' sums correct for the bias.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12's own headers (bug 105593)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "base/cpu_features.h"
#include "kernel/matmul/generic_rows.h"
#include "kernel/matmul/matmul_tables.h"

namespace nibble::kernel::avx512 {
namespace {

#define NIBBLE_INLINE inline __attribute__((always_inline))

constexpr int kTile = 6;            // tokens in a register tile
constexpr int kMostPanels = 4;      // panels of a slab: many tokens go over two pairs while they are in the cache
constexpr int kChunkBlocks = 8;     // integer path: 256 columns, a slab of 4 x 4 KiB
constexpr int kFolds = 16;          // most folds of a chunk
constexpr int kPrefetchChunks = 2;  // how far ahead weights are asked for: the hardware stops at 4 KiB page ends
constexpr int kFloatBlocks = 4;     // float path: 64 columns, a slab of 4 x 4 KiB
constexpr int kFloatAhead = 4;      // and prefetch, in blocks

struct IntSlab {
  alignas(64) std::uint8_t u[kMostPanels][kChunkBlocks * 512];
  alignas(64) float scale[kMostPanels][kFolds * kPanelRows];
  alignas(64) float zero[kMostPanels][kFolds * kPanelRows];
  alignas(64) float offset[kMostPanels][kFolds * kPanelRows];
};

// GCC 12 stores every accumulator in each step when this is written with the intrinsic on an array.
NIBBLE_INLINE void dot_accumulate(__m512i& sum, __m512i u, __m512i q) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u), "v"(q));
}

// ---------------------------------------------------------------------------------------------------- planes

NIBBLE_INLINE __m512 load_plain(PlaneKind kind, const std::uint8_t* entries, std::int64_t index) {
  switch (kind) {
    case PlaneKind::kF32:
      return _mm512_loadu_ps(entries + 4 * index);
    case PlaneKind::kF16:
      return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(entries + 2 * index)));
    case PlaneKind::kBf16:
      return _mm512_castsi512_ps(_mm512_slli_epi32(
          _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(entries + 2 * index))), 16));
    case PlaneKind::kE8m0: {
      const __m512i code = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(entries + index)));
      const __m512i power = _mm512_max_epi32(_mm512_slli_epi32(code, 23), _mm512_set1_epi32(0x00400000));
      const __mmask16 nan = _mm512_cmpeq_epi32_mask(code, _mm512_set1_epi32(255));
      return _mm512_castsi512_ps(_mm512_mask_mov_epi32(power, nan, _mm512_set1_epi32(0x7FC00000)));
    }
    case PlaneKind::kU8:
      return _mm512_cvtepi32_ps(
          _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(entries + index))));
    default:
      return _mm512_setzero_ps();
  }
}

NIBBLE_INLINE __m512 load_nested(const PlaneView& plane, const std::uint8_t* entries, std::int64_t index,
                                 __m512 outer) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(entries + index));
  const __m512 code = plane.kind == PlaneKind::kI8 ? _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
                                                   : _mm512_i32gather_ps(_mm512_cvtepu8_epi32(bytes), plane.lut, 4);
  const __m512 value = plane.outer_divides ? _mm512_div_ps(code, outer) : _mm512_mul_ps(outer, code);
  return plane.has_constant ? _mm512_add_ps(value, _mm512_set1_ps(plane.constant)) : value;
}

// out[f] = entries of the panel's rows for columns [col + f * fold, + fold), times `factor`.
inline void expand_plane(const PlaneView& plane, const std::uint8_t* panel, std::int64_t col, int folds, int fold,
                         float factor, float* out) {
  const __m512 factors = _mm512_set1_ps(factor);
  if (plane.kind == PlaneKind::kNone) {
    for (int f = 0; f < folds; ++f) _mm512_store_ps(out + f * kPanelRows, factors);
    return;
  }
  const bool nested = plane.kind == PlaneKind::kI8 || plane.kind == PlaneKind::kLut;
  const std::uint8_t* entries = panel + plane.position;
  std::int64_t entry = col / plane.group;
  std::int64_t entry_end = entry * plane.group;
  std::int64_t outer_entry = nested ? col / plane.outer_group : 0;
  std::int64_t outer_end = nested ? outer_entry * plane.outer_group : 0;
  __m512 outer = _mm512_setzero_ps();
  __m512 value = _mm512_setzero_ps();
  for (int f = 0; f < folds; ++f, col += fold) {
    if (col >= entry_end) {
      if (!nested) {
        value = load_plain(plane.kind, entries, kPanelRows * entry);
      } else {
        if (col >= outer_end) {
          outer = load_plain(plane.outer_kind, panel + plane.outer_position, kPanelRows * outer_entry);
          ++outer_entry;
          outer_end += plane.outer_group;
        }
        value = load_nested(plane, entries, kPanelRows * entry, outer);
      }
      value = _mm512_mul_ps(value, factors);
      ++entry;
      entry_end += plane.group;
    }
    _mm512_store_ps(out + f * kPanelRows, value);
  }
}

// ---------------------------------------------------------------------------------------------------- codes

template <Layout L>
constexpr int kBlockBytes = L == Layout::kQ1                                               ? 64
                            : L == Layout::kQ2                                             ? 128
                            : L == Layout::kQ3                                             ? 192
                            : L == Layout::kQ4                                             ? 256
                            : L == Layout::kQ5                                             ? 320
                            : L == Layout::kQ6                                             ? 384
                            : L == Layout::kQ8 || L == Layout::kE4m3 || L == Layout::kE5m2 ? 512
                            : L == Layout::kF16 || L == Layout::kBf16                      ? 1024
                            : L == Layout::kF32                                            ? 2048
                                                                                           : 0;

NIBBLE_INLINE __m512i load_line(const std::uint8_t* bytes) { return _mm512_loadu_si512(bytes); }

// Codes 64 * j .. 64 * j + 63 of the block.
template <Layout L, int J>
NIBBLE_INLINE __m512i unpack_line(const std::uint8_t* block) {
  const __m512i low4 = _mm512_set1_epi8(15);
  const __m512i low2 = _mm512_set1_epi8(3);
  const __m512i low1 = _mm512_set1_epi8(1);
  const auto nibbles = [&](const std::uint8_t* from) __attribute__((always_inline)) {
    const __m512i line = load_line(from + 64 * (J % 4));
    return _mm512_and_si512(J < 4 ? line : _mm512_srli_epi16(line, 4), low4);
  };
  const auto pairs = [&](const std::uint8_t* from) __attribute__((always_inline)) {
    const __m512i line = load_line(from + 64 * (J % 2));
    return _mm512_and_si512(J < 2 ? line : _mm512_srli_epi16(line, 2 * (J / 2)), low2);
  };
  const auto singles = [&](const std::uint8_t* from) __attribute__((always_inline)) {
    const __m512i line = load_line(from);
    return _mm512_and_si512(J == 0 ? line : _mm512_srli_epi16(line, J), low1);
  };
  if constexpr (L == Layout::kQ8) return load_line(block + 64 * J);
  if constexpr (L == Layout::kQ4) return nibbles(block);
  if constexpr (L == Layout::kQ2) return pairs(block);
  if constexpr (L == Layout::kQ1) return singles(block);
  if constexpr (L == Layout::kQ3) return _mm512_or_si512(pairs(block), _mm512_slli_epi16(singles(block + 128), 2));
  if constexpr (L == Layout::kQ5) return _mm512_or_si512(nibbles(block), _mm512_slli_epi16(singles(block + 256), 4));
  if constexpr (L == Layout::kQ6) return _mm512_or_si512(nibbles(block), _mm512_slli_epi16(pairs(block + 256), 4));
  return _mm512_setzero_si512();
}

template <Layout L, typename Store>
NIBBLE_INLINE void unpack_lines(const std::uint8_t* block, const Store& store) {
  store(0, unpack_line<L, 0>(block));
  store(1, unpack_line<L, 1>(block));
  store(2, unpack_line<L, 2>(block));
  store(3, unpack_line<L, 3>(block));
  store(4, unpack_line<L, 4>(block));
  store(5, unpack_line<L, 5>(block));
  store(6, unpack_line<L, 6>(block));
  store(7, unpack_line<L, 7>(block));
}

template <int Bytes>
NIBBLE_INLINE void prefetch_lines(const std::uint8_t* bytes) {
#pragma GCC unroll 32
  for (int line = 0; line < Bytes; line += 64) _mm_prefetch(reinterpret_cast<const char*>(bytes + line), _MM_HINT_T0);
}

template <Layout L>
inline void unpack_chunk(const std::uint8_t* codes, const std::uint8_t* ahead, int blocks, const std::uint8_t* table,
                         std::uint8_t* u) {
  if (table == nullptr) {
    for (int b = 0; b < blocks; ++b, codes += kBlockBytes<L>, ahead += kBlockBytes<L>, u += 512) {
      prefetch_lines<kBlockBytes<L>>(ahead);
      unpack_lines<L>(
          codes, [u](int j, __m512i line) __attribute__((always_inline)) { _mm512_store_si512(u + 64 * j, line); });
    }
    return;
  }
  const __m512i values = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  for (int b = 0; b < blocks; ++b, codes += kBlockBytes<L>, ahead += kBlockBytes<L>, u += 512) {
    prefetch_lines<kBlockBytes<L>>(ahead);
    unpack_lines<L>(
        codes, [ u, values ](int j, __m512i line) __attribute__((always_inline)) {
          _mm512_store_si512(u + 64 * j, _mm512_shuffle_epi8(values, line));
        });
  }
}

// Asks for the plane entries that columns [col, col + 32 * blocks) of a panel need.
inline void prefetch_plane(const PlaneView& plane, const std::uint8_t* panel, std::int64_t col, int blocks) {
  if (plane.kind == PlaneKind::kNone) return;
  const int bytes = plane.kind == PlaneKind::kF32                                     ? 4
                    : plane.kind == PlaneKind::kF16 || plane.kind == PlaneKind::kBf16 ? 2
                                                                                      : 1;
  const std::int64_t first = col / plane.group * kPanelRows * bytes;
  const std::int64_t last = (col + blocks * kBlockCols - 1) / plane.group * kPanelRows * bytes;
  for (std::int64_t at = first & ~std::int64_t{63}; at <= last; at += 64)
    _mm_prefetch(reinterpret_cast<const char*>(panel + plane.position + at), _MM_HINT_T0);
  if (plane.outer_group > 0)
    _mm_prefetch(reinterpret_cast<const char*>(panel + plane.outer_position + col / plane.outer_group * kPanelRows * 4),
                 _MM_HINT_T0);
}

// Where the weights that come kPrefetchChunks later lie: in this panel, or in the one of the next item.
struct Ahead {
  const std::uint8_t* panel;
  std::int64_t block;
};
NIBBLE_INLINE Ahead look_ahead(const std::uint8_t* panel, std::int64_t panel_bytes, std::int64_t block,
                               std::int64_t blocks, int step, int panels) {
  std::int64_t ahead = block + step;
  if (ahead < blocks) return {panel, ahead};
  ahead -= blocks;
  return {panel + panels * panel_bytes, ahead < blocks ? ahead : 0};
}

NIBBLE_INLINE __mmask16 row_mask(std::int64_t rows, std::int64_t panel) {
  const std::int64_t left = rows - panel * kPanelRows;
  return left >= kPanelRows ? static_cast<__mmask16>(0xFFFF)
         : left <= 0        ? static_cast<__mmask16>(0)
                            : static_cast<__mmask16>((1u << left) - 1u);
}

// ---------------------------------------------------------------------------------------------------- integer path

enum Extra { kNothing, kZeros, kOffsets };

// What a tile needs besides the slab.
struct IntTile {
  const IntSlab* slab;
  const InputView* input;
  std::int64_t first_block;
  int blocks;
  std::int32_t bias;
  bool first_chunk;
  float* y;
  std::int64_t ld_y;
  int panels;
  __mmask16 masks[kMostPanels];
};

// Tokens [t, t + MR) and panels pair, pair + 1 of the slab.
template <int MR, int Fold, Extra E>
inline void int_tile(const IntTile& tile, std::int64_t t, int pair) {
  constexpr int kPerBlock = kBlockCols / Fold;
  const InputView& in = *tile.input;
  const IntSlab& slab = *tile.slab;
  const std::int64_t at = t * in.blocks + tile.first_block;
  const std::int8_t* q = in.q + at * kBlockCols;
  const std::int64_t ld_q = in.blocks * kBlockCols;
  const float* q_scale = in.scale + at;
  const std::int32_t* sums = (Fold == 32 ? in.sum32 : in.sum16) + at * kPerBlock;
  const std::int64_t ld_sums = in.blocks * kPerBlock;
  const int folds = tile.blocks * kPerBlock;
  float* y0 = tile.y + t * tile.ld_y + pair * kPanelRows;
  const __mmask16 mask0 = tile.masks[pair];
  const __mmask16 mask1 = tile.masks[pair + 1];
  const float* planes_scale = slab.scale[pair];
  const float* planes_zero = slab.zero[pair];
  const float* planes_offset = slab.offset[pair];
  constexpr int kNext = kFolds * kPanelRows;  // floats from a panel's planes to the next one's

  alignas(64) std::int32_t start[MR][kFolds];
  const auto some = static_cast<__mmask16>((1u << folds) - 1u);
#pragma GCC unroll 6
  for (int i = 0; i < MR; ++i)
    _mm512_store_si512(start[i], _mm512_mullo_epi32(_mm512_maskz_loadu_epi32(some, sums + i * ld_sums),
                                                    _mm512_set1_epi32(-tile.bias)));

  __m512 acc0[MR];
  __m512 acc1[MR];
#pragma GCC unroll 6
  for (int i = 0; i < MR; ++i) {
    acc0[i] = tile.first_chunk ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(mask0, y0 + i * tile.ld_y);
    acc1[i] = tile.first_chunk ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(mask1, y0 + i * tile.ld_y + kPanelRows);
  }
  const std::uint8_t* u = slab.u[pair];
  for (int f = 0; f < folds; ++f) {
    __m512i sum0[MR];
    __m512i sum1[MR];
#pragma GCC unroll 6
    for (int i = 0; i < MR; ++i) sum0[i] = sum1[i] = _mm512_set1_epi32(start[i][f]);
    if constexpr (MR == kTile) {
      // The next tile's activations, which the second-level cache holds.
#pragma GCC unroll 6
      for (int i = 0; i < MR; ++i) _mm_prefetch(reinterpret_cast<const char*>(q + (i + MR) * ld_q), _MM_HINT_T0);
    }
#pragma GCC unroll 8
    for (int j = 0; j < Fold / 4; ++j) {
      const __m512i u0 = _mm512_load_si512(u + 64 * j);
      const __m512i u1 = _mm512_load_si512(u + sizeof(slab.u[0]) + 64 * j);
#pragma GCC unroll 6
      for (int i = 0; i < MR; ++i) {
        const __m512i a = _mm512_set1_epi32(*reinterpret_cast<const std::int32_t*>(q + i * ld_q + 4 * j));
        dot_accumulate(sum0[i], u0, a);
        dot_accumulate(sum1[i], u1, a);
      }
    }
    u += Fold * kPanelRows;
    q += Fold;
    const __m512 scale0 = _mm512_load_ps(planes_scale + f * kPanelRows);
    const __m512 scale1 = _mm512_load_ps(planes_scale + kNext + f * kPanelRows);
#pragma GCC unroll 6
    for (int i = 0; i < MR; ++i) {
      const float scale = q_scale[i * in.blocks + f / kPerBlock];
      const __m512 a = _mm512_set1_ps(scale);
      __m512 d0 = _mm512_cvtepi32_ps(sum0[i]);
      __m512 d1 = _mm512_cvtepi32_ps(sum1[i]);
      if constexpr (E == kZeros) {
        const __m512 sum = _mm512_set1_ps(static_cast<float>(sums[i * ld_sums + f]));
        d0 = _mm512_fnmadd_ps(_mm512_load_ps(planes_zero + f * kPanelRows), sum, d0);
        d1 = _mm512_fnmadd_ps(_mm512_load_ps(planes_zero + kNext + f * kPanelRows), sum, d1);
      }
      acc0[i] = _mm512_fmadd_ps(d0, _mm512_mul_ps(scale0, a), acc0[i]);
      acc1[i] = _mm512_fmadd_ps(d1, _mm512_mul_ps(scale1, a), acc1[i]);
      if constexpr (E == kOffsets) {
        const __m512 sum = _mm512_set1_ps(scale * static_cast<float>(sums[i * ld_sums + f]));
        acc0[i] = _mm512_fmadd_ps(_mm512_load_ps(planes_offset + f * kPanelRows), sum, acc0[i]);
        acc1[i] = _mm512_fmadd_ps(_mm512_load_ps(planes_offset + kNext + f * kPanelRows), sum, acc1[i]);
      }
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < MR; ++i) {
    _mm512_mask_storeu_ps(y0 + i * tile.ld_y, mask0, acc0[i]);
    _mm512_mask_storeu_ps(y0 + i * tile.ld_y + kPanelRows, mask1, acc1[i]);
  }
}

template <int MR, int Fold, Extra E>
inline void int_pairs(const IntTile& tile, std::int64_t t) {
  for (int pair = 0; pair < tile.panels; pair += 2) int_tile<MR, Fold, E>(tile, t, pair);
}

template <int Fold, Extra E>
inline void int_tokens(const IntTile& tile) {
  std::int64_t t = 0;
  for (; t + kTile <= tile.input->tokens; t += kTile) int_pairs<kTile, Fold, E>(tile, t);
  switch (tile.input->tokens - t) {
    case 1:
      return int_pairs<1, Fold, E>(tile, t);
    case 2:
      return int_pairs<2, Fold, E>(tile, t);
    case 3:
      return int_pairs<3, Fold, E>(tile, t);
    case 4:
      return int_pairs<4, Fold, E>(tile, t);
    case 5:
      return int_pairs<5, Fold, E>(tile, t);
    default:
      return;
  }
}

// Not inlined: one copy for all widths.
__attribute__((noinline)) void int_all_tokens(const IntTile& tile, int fold, Extra extra) {
  if (fold == 32) {
    if (extra == kNothing) return int_tokens<32, kNothing>(tile);
    if (extra == kZeros) return int_tokens<32, kZeros>(tile);
    return int_tokens<32, kOffsets>(tile);
  }
  if (extra == kNothing) return int_tokens<16, kNothing>(tile);
  if (extra == kZeros) return int_tokens<16, kZeros>(tile);
  return int_tokens<16, kOffsets>(tile);
}

// Rows of panels [first, first + count) that exist, one mask per panel; returns how many panels do.
NIBBLE_INLINE int row_masks(std::int64_t rows, std::int64_t first, int count, __mmask16* masks) {
  int panels = 0;
  for (int p = 0; p < kMostPanels; ++p) {
    masks[p] = p < count ? row_mask(rows, first + p) : static_cast<__mmask16>(0);
    panels += masks[p] != 0;
  }
  return panels;
}

// Panels [panel, panel + count), all tokens.
template <Layout L>
inline void int_panels(const PackedView& w, const InputView& in, std::int64_t panel, int count, Extra extra, float* y,
                       std::int64_t ld_y, IntSlab& slab) {
  IntTile tile{&slab, &in, 0, 0, w.int_bias, true, y + panel * kPanelRows, ld_y, 0, {}};
  tile.panels = row_masks(w.rows, panel, count, tile.masks);
  const int per_block = kBlockCols / w.fold;
  if (in.blocks == 0) int_all_tokens(tile, w.fold, extra);
  for (std::int64_t b = 0; b < in.blocks; b += kChunkBlocks) {
    tile.first_block = b;
    tile.blocks = in.blocks - b < kChunkBlocks ? static_cast<int>(in.blocks - b) : kChunkBlocks;
    tile.first_chunk = b == 0;
    const std::int64_t col = b * kBlockCols;
    const int folds = tile.blocks * per_block;
    for (int p = 0; p < tile.panels; ++p) {
      const std::uint8_t* data = w.data + (panel + p) * w.panel_bytes;
      const Ahead ahead = look_ahead(data, w.panel_bytes, b, in.blocks, kPrefetchChunks * kChunkBlocks, count);
      prefetch_plane(w.scale, ahead.panel, ahead.block * kBlockCols, tile.blocks);
      prefetch_plane(w.zero, ahead.panel, ahead.block * kBlockCols, tile.blocks);
      prefetch_plane(w.offset, ahead.panel, ahead.block * kBlockCols, tile.blocks);
      unpack_chunk<L>(data + b * kBlockBytes<L>, ahead.panel + ahead.block * kBlockBytes<L>, tile.blocks, w.int_table,
                      slab.u[p]);
      expand_plane(w.scale, data, col, folds, w.fold, w.int_scale, slab.scale[p]);
      if (extra == kZeros) expand_plane(w.zero, data, col, folds, w.fold, 1.0f, slab.zero[p]);
      if (extra == kOffsets) expand_plane(w.offset, data, col, folds, w.fold, 1.0f, slab.offset[p]);
    }
    int_all_tokens(tile, w.fold, extra);
  }
}

template <Layout L>
void run_int8(const PackedView& w, const InputView& in, std::int64_t item_begin, std::int64_t item_end, float* y,
              std::int64_t ld_y) noexcept {
  IntSlab slab;
  const Extra extra = w.zero.kind != PlaneKind::kNone     ? kZeros
                      : w.offset.kind != PlaneKind::kNone ? kOffsets
                                                          : kNothing;
  std::int64_t item = item_begin;
  if (in.tokens > kTile)
    for (; item + 2 <= item_end; item += 2)
      int_panels<L>(w, in, item * kPanelsPerItem, kMostPanels, extra, y, ld_y, slab);
  for (; item < item_end; ++item) int_panels<L>(w, in, item * kPanelsPerItem, kPanelsPerItem, extra, y, ld_y, slab);
}

// ---------------------------------------------------------------------------------------------------- float path

// One block's planes, by fold.
struct FloatPlanes {
  alignas(64) float scale[2 * kPanelRows];
  alignas(64) float zero[2 * kPanelRows];
  alignas(64) float offset[2 * kPanelRows];
};

// x to weight: the planes, each operation rounded, absent parts skipped.
struct Finish {
  bool zero;
  bool scale;
  bool post;
  bool offset;
  __m512 post_scale;
  NIBBLE_INLINE __m512 operator()(__m512 x, const FloatPlanes& planes, int fold) const {
    if (zero) x = _mm512_sub_ps(x, _mm512_load_ps(planes.zero + fold * kPanelRows));
    if (scale) x = _mm512_mul_ps(_mm512_load_ps(planes.scale + fold * kPanelRows), x);
    if (post) x = _mm512_mul_ps(x, post_scale);
    if (offset) x = _mm512_add_ps(x, _mm512_load_ps(planes.offset + fold * kPanelRows));
    return x;
  }
};
// The common case: a scale and nothing else.
struct ScaleOnly {
  NIBBLE_INLINE __m512 operator()(__m512 x, const FloatPlanes& planes, int fold) const {
    return _mm512_mul_ps(_mm512_load_ps(planes.scale + fold * kPanelRows), x);
  }
};

// store(k, x) for the 32 columns of a block of kQN codes.
template <Layout L, typename Store>
NIBBLE_INLINE void codes_to_floats(const PackedView& w, const std::uint8_t* panel, std::int64_t block,
                                   const Store& store) {
  const std::uint8_t* codes = panel + block * kBlockBytes<L>;
  if (w.table_index_group > 0) {
    const std::int64_t entry = block * kBlockCols / w.table_index_group;
    const std::int64_t second = (block * kBlockCols + 16) / w.table_index_group;
    constexpr int kBits = L == Layout::kQ8 ? 8 : kBlockBytes<L> / 64;
    const auto number = [&](std::int64_t e) __attribute__((always_inline)) {
      return _mm512_slli_epi32(
          _mm512_loadu_si512(panel + w.table_index_position + static_cast<std::int64_t>(sizeof(int)) * kPanelRows * e),
          kBits);
    };
    const __m512i bases[2] = {number(entry), number(second)};
    unpack_lines<L>(
        codes, [&](int j, __m512i line) __attribute__((always_inline)) {
          for (int b = 0; b < 4; ++b) {
            const __m512i code =
                _mm512_and_si512(_mm512_srli_epi32(line, static_cast<unsigned>(8 * b)), _mm512_set1_epi32(255));
            store(4 * j + b, _mm512_i32gather_ps(_mm512_add_epi32(bases[j / 4], code), w.tables, 4));
          }
        });
    return;
  }
  if constexpr (L <= Layout::kQ4) {
    // The permutation looks at the low 4 bits of each lane only.
    const __m512 table = _mm512_loadu_ps(w.table);
    unpack_lines<L>(
        codes, [&](int j, __m512i line) __attribute__((always_inline)) {
          store(4 * j, _mm512_permutexvar_ps(line, table));
          store(4 * j + 1, _mm512_permutexvar_ps(_mm512_srli_epi32(line, 8), table));
          store(4 * j + 2, _mm512_permutexvar_ps(_mm512_srli_epi32(line, 16), table));
          store(4 * j + 3, _mm512_permutexvar_ps(_mm512_srli_epi32(line, 24), table));
        });
    return;
  }
  const float* table = w.table;
  const __m512i bias = _mm512_set1_epi32(w.bias);
  unpack_lines<L>(
      codes, [&](int j, __m512i line) __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (int b = 0; b < 4; ++b) {
          const __m512i code =
              _mm512_and_si512(_mm512_srli_epi32(line, static_cast<unsigned>(8 * b)), _mm512_set1_epi32(255));
          store(4 * j + b, table != nullptr ? _mm512_i32gather_ps(code, table, 4)
                                            : _mm512_cvtepi32_ps(_mm512_sub_epi32(code, bias)));
        }
      });
}

// E4M3 in the place of a half has the value / 256; its NaN is made a half's.
NIBBLE_INLINE __m512i e4m3_to_half(__m512i code) {
  const __m512i magnitude = _mm512_and_si512(code, _mm512_set1_epi16(0x7F));
  const __m512i half = _mm512_or_si512(_mm512_slli_epi16(magnitude, 7),
                                       _mm512_slli_epi16(_mm512_and_si512(code, _mm512_set1_epi16(0x80)), 8));
  const __mmask32 nan = _mm512_cmpeq_epi16_mask(magnitude, _mm512_set1_epi16(0x7F));
  return _mm512_mask_mov_epi16(half, nan, _mm512_set1_epi16(0x7E00));
}

template <Layout L, typename Store>
NIBBLE_INLINE void elements_to_floats(const std::uint8_t* block, const Store& store) {
#pragma GCC unroll 4
  for (int k = 0; k < kBlockCols; k += 2) {
    if constexpr (L == Layout::kE4m3 || L == Layout::kE5m2) {
      const __m512i code =
          _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + k * kPanelRows)));
      const __m512i half = L == Layout::kE4m3 ? e4m3_to_half(code) : _mm512_slli_epi16(code, 8);
      const __m512 factor = _mm512_set1_ps(L == Layout::kE4m3 ? 256.0f : 1.0f);
      store(k, _mm512_mul_ps(_mm512_cvtph_ps(_mm512_castsi512_si256(half)), factor));
      store(k + 1, _mm512_mul_ps(_mm512_cvtph_ps(_mm512_extracti64x4_epi64(half, 1)), factor));
    } else {
      constexpr PlaneKind kKind = L == Layout::kF16    ? PlaneKind::kF16
                                  : L == Layout::kBf16 ? PlaneKind::kBf16
                                                       : PlaneKind::kF32;
      store(k, load_plain(kKind, block, kPanelRows * k));
      store(k + 1, load_plain(kKind, block, kPanelRows * (k + 1)));
    }
  }
}

template <Layout L, typename F>
NIBBLE_INLINE void float_block(const PackedView& w, const std::uint8_t* panel, std::int64_t block, const F& finish,
                               const FloatPlanes& planes, float* slab) {
  const auto store = [&](int k, __m512 x) __attribute__((always_inline)) {
    _mm512_store_ps(slab + k * kPanelRows, finish(x, planes, k / 16));
  };
  if constexpr (L <= Layout::kQ8)
    codes_to_floats<L>(w, panel, block, store);
  else
    elements_to_floats<L>(panel + block * kBlockBytes<L>, store);
}

template <Layout L>
inline void float_chunk(const PackedView& w, std::int64_t panel_number, std::int64_t block, int blocks,
                        int panels_ahead, int step, float* slab) {
  if constexpr (L == Layout::kGeneric) {
    for (int b = 0; b < blocks; ++b)
      generic_block(w, panel_number * kPanelRows, (block + b) * kBlockCols, slab + b * kBlockCols * kPanelRows);
    return;
  } else {
    const std::uint8_t* panel = w.data + panel_number * w.panel_bytes;
    const std::int64_t all_blocks = (w.cols + kBlockCols - 1) / kBlockCols;
    const Ahead ahead = look_ahead(panel, w.panel_bytes, block, all_blocks, step, panels_ahead);
    const bool zero = w.zero.kind != PlaneKind::kNone;
    const bool offset = w.offset.kind != PlaneKind::kNone;
    const bool scale = w.scale.kind != PlaneKind::kNone;
    const Finish finish{zero, scale, w.post_scale != 1.0f, offset, _mm512_set1_ps(w.post_scale)};
    const bool simple = scale && !zero && !offset && !finish.post;
    prefetch_plane(w.scale, ahead.panel, ahead.block * kBlockCols, blocks);
    if (zero) prefetch_plane(w.zero, ahead.panel, ahead.block * kBlockCols, blocks);
    if (offset) prefetch_plane(w.offset, ahead.panel, ahead.block * kBlockCols, blocks);
    FloatPlanes planes;
    for (int b = 0; b < blocks; ++b, slab += kBlockCols * kPanelRows) {
      prefetch_lines<kBlockBytes<L>>(ahead.panel + (ahead.block + b) * kBlockBytes<L>);
      const std::int64_t col = (block + b) * kBlockCols;
      if (scale) expand_plane(w.scale, panel, col, 2, 16, 1.0f, planes.scale);
      if (zero) expand_plane(w.zero, panel, col, 2, 16, 1.0f, planes.zero);
      if (offset) expand_plane(w.offset, panel, col, 2, 16, 1.0f, planes.offset);
      if (simple)
        float_block<L>(w, panel, block + b, ScaleOnly{}, planes, slab);
      else
        float_block<L>(w, panel, block + b, finish, planes, slab);
    }
  }
}

// A chunk of K for some panels, slabs side by side.
struct FloatTile {
  const float* slab;
  std::int64_t slab_stride;  // floats from one panel's slab to the next
  const InputView* input;
  std::int64_t col;
  int cols;
  bool first_chunk;
  float* y;
  std::int64_t ld_y;
  int panels;
  __mmask16 masks[kMostPanels];
};

// Tokens [t, t + MR) and panels [first, first + NP) of the slab; x holds the tokens' activations, rows ld floats apart.
template <int MR, int NP>
inline void float_tile(const FloatTile& tile, std::int64_t t, int first, const float* x, std::int64_t ld) {
  float* y = tile.y + t * tile.ld_y + first * kPanelRows;
  __m512 acc[MR][NP];
#pragma GCC unroll 6
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int p = 0; p < NP; ++p)
      acc[i][p] = tile.first_chunk ? _mm512_setzero_ps()
                                   : _mm512_maskz_loadu_ps(tile.masks[first + p], y + i * tile.ld_y + p * kPanelRows);
  const std::int64_t stride = tile.slab_stride;
  const float* slab = tile.slab + first * stride;
#pragma GCC unroll 4
  for (int k = 0; k < tile.cols; ++k, slab += kPanelRows) {
    __m512 w[NP];
#pragma GCC unroll 4
    for (int p = 0; p < NP; ++p) w[p] = _mm512_load_ps(slab + p * stride);
#pragma GCC unroll 6
    for (int i = 0; i < MR; ++i) {
      const __m512 a = _mm512_set1_ps(x[i * ld + k]);
#pragma GCC unroll 4
      for (int p = 0; p < NP; ++p) acc[i][p] = _mm512_fmadd_ps(w[p], a, acc[i][p]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int p = 0; p < NP; ++p)
      _mm512_mask_storeu_ps(y + i * tile.ld_y + p * kPanelRows, tile.masks[first + p], acc[i][p]);
}

// A few tokens against every pair of panels.
template <int MR>
inline void float_pairs(const FloatTile& tile, std::int64_t t) {
  const float* x = tile.input->x + t * tile.input->ld + tile.col;
  for (int pair = 0; pair < tile.panels; pair += 2) float_tile<MR, 2>(tile, t, pair, x, tile.input->ld);
}

// A full tile reads a copy of its activations: rows a power of two apart would share a few sets of the cache.
NIBBLE_INLINE void float_full_tile(const FloatTile& tile, std::int64_t t) {
  constexpr int kRow = kFloatBlocks * kBlockCols;
  alignas(64) float copy[kTile * kRow];
  const float* x = tile.input->x + t * tile.input->ld + tile.col;
  for (int i = 0; i < kTile; ++i)
    for (int k = 0; k < tile.cols; k += 16) {
      const __mmask16 mask = row_mask(tile.cols - k, 0);
      _mm512_store_ps(copy + i * kRow + k, _mm512_maskz_loadu_ps(mask, x + i * tile.input->ld + k));
      _mm_prefetch(reinterpret_cast<const char*>(x + (i + kTile) * tile.input->ld + k), _MM_HINT_T0);
    }
  for (int pair = 0; pair < tile.panels; pair += 2) float_tile<kTile, 2>(tile, t, pair, copy, kRow);
}

__attribute__((noinline)) void float_all_tokens(const FloatTile& tile) {
  const std::int64_t tokens = tile.input->tokens;
  std::int64_t t = 0;
  for (; t + kTile <= tokens; t += kTile) float_full_tile(tile, t);
  switch (tokens - t) {
    case 1:
      return float_pairs<1>(tile, t);
    case 2:
      return float_pairs<2>(tile, t);
    case 3:
      return float_pairs<3>(tile, t);
    case 4:
      return float_pairs<4>(tile, t);
    case 5:
      return float_pairs<5>(tile, t);
    default:
      return;
  }
}

// Panels [panel, panel + count), all tokens.
template <Layout L>
inline void float_panels(const PackedView& w, const InputView& in, std::int64_t panel, int count, float* y,
                         std::int64_t ld_y, float* slab) {
  FloatTile tile{slab, kFloatBlocks * kBlockCols * kPanelRows, &in, 0, 0, true, y + panel * kPanelRows, ld_y, 0, {}};
  tile.panels = row_masks(w.rows, panel, count, tile.masks);
  const std::int64_t blocks = (w.cols + kBlockCols - 1) / kBlockCols;
  if (blocks == 0) float_all_tokens(tile);
  for (std::int64_t b = 0; b < blocks; b += kFloatBlocks) {
    const int some = blocks - b < kFloatBlocks ? static_cast<int>(blocks - b) : kFloatBlocks;
    tile.col = b * kBlockCols;
    tile.cols = w.cols - tile.col < some * kBlockCols ? static_cast<int>(w.cols - tile.col) : some * kBlockCols;
    tile.first_chunk = b == 0;
    for (int p = 0; p < tile.panels; ++p)
      float_chunk<L>(w, panel + p, b, some, count, kFloatAhead, slab + p * tile.slab_stride);
    float_all_tokens(tile);
  }
}

template <Layout L>
void run_f32(const PackedView& w, const InputView& in, std::int64_t item_begin, std::int64_t item_end, float* y,
             std::int64_t ld_y) noexcept {
  alignas(64) float slab[kMostPanels * kFloatBlocks * kBlockCols * kPanelRows];
  std::int64_t item = item_begin;
  for (; item + 2 <= item_end; item += 2) float_panels<L>(w, in, item * kPanelsPerItem, kMostPanels, y, ld_y, slab);
  for (; item < item_end; ++item) float_panels<L>(w, in, item * kPanelsPerItem, kPanelsPerItem, y, ld_y, slab);
}

// ---------------------------------------------------------------------------------------------------- activations

void quantize(const InputView& in, std::int64_t begin, std::int64_t end) noexcept {
  const __m512i magnitude_bits = _mm512_set1_epi32(0x7FFFFFFF);
  for (std::int64_t t = begin; t < end; ++t)
    for (std::int64_t b = 0; b < in.blocks; ++b) {
      const float* x = in.x + t * in.ld + b * kBlockCols;
      const std::int64_t left = in.cols - b * kBlockCols;
      const __mmask16 mask0 = row_mask(left, 0);
      const __mmask16 mask1 = row_mask(left, 1);
      const __m512 x0 = _mm512_maskz_loadu_ps(mask0, x);
      const __m512 x1 = _mm512_maskz_loadu_ps(mask1, x + 16);
      const int largest =
          _mm512_reduce_max_epi32(_mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(x0), magnitude_bits),
                                                   _mm512_and_si512(_mm512_castps_si512(x1), magnitude_bits)));
      const float m = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(largest)));
      const bool finite = largest < 0x7F800000;
      const bool zero = !finite || m < 0x1p-100f;
      const __m512 inverse = _mm512_set1_ps(zero ? 0.0f : 127.0f / m);
      __m512i q0 = _mm512_setzero_si512();
      __m512i q1 = q0;
      if (!zero) {
        q0 = _mm512_cvtps_epi32(_mm512_mul_ps(x0, inverse));
        q1 = _mm512_cvtps_epi32(_mm512_mul_ps(x1, inverse));
      }
      const std::int64_t at = t * in.blocks + b;
      auto* q = reinterpret_cast<__m128i*>(in.q + at * kBlockCols);
      _mm_storeu_si128(q, _mm512_cvtepi32_epi8(q0));
      _mm_storeu_si128(q + 1, _mm512_cvtepi32_epi8(q1));
      const std::int32_t sum0 = _mm512_reduce_add_epi32(q0);
      const std::int32_t sum1 = _mm512_reduce_add_epi32(q1);
      in.scale[at] = !finite ? __builtin_nanf("") : zero ? 0.0f : m / 127.0f;
      in.sum32[at] = sum0 + sum1;
      in.sum16[2 * at] = sum0;
      in.sum16[2 * at + 1] = sum1;
    }
}

constexpr std::uint32_t kFloatNeeds = kAvx2 | kFma | kF16c | kAvx512;
constexpr std::uint32_t kIntNeeds = kFloatNeeds | kAvx512Vnni;

constexpr MatmulKernel kKernels[] = {
    {"matmul_q1_q8g32_avx512", Layout::kQ1, true, kIntNeeds, run_int8<Layout::kQ1>},
    {"matmul_q2_q8g32_avx512", Layout::kQ2, true, kIntNeeds, run_int8<Layout::kQ2>},
    {"matmul_q3_q8g32_avx512", Layout::kQ3, true, kIntNeeds, run_int8<Layout::kQ3>},
    {"matmul_q4_q8g32_avx512", Layout::kQ4, true, kIntNeeds, run_int8<Layout::kQ4>},
    {"matmul_q5_q8g32_avx512", Layout::kQ5, true, kIntNeeds, run_int8<Layout::kQ5>},
    {"matmul_q6_q8g32_avx512", Layout::kQ6, true, kIntNeeds, run_int8<Layout::kQ6>},
    {"matmul_q8_q8g32_avx512", Layout::kQ8, true, kIntNeeds, run_int8<Layout::kQ8>},
    {"matmul_q1_f32_avx512", Layout::kQ1, false, kFloatNeeds, run_f32<Layout::kQ1>},
    {"matmul_q2_f32_avx512", Layout::kQ2, false, kFloatNeeds, run_f32<Layout::kQ2>},
    {"matmul_q3_f32_avx512", Layout::kQ3, false, kFloatNeeds, run_f32<Layout::kQ3>},
    {"matmul_q4_f32_avx512", Layout::kQ4, false, kFloatNeeds, run_f32<Layout::kQ4>},
    {"matmul_q5_f32_avx512", Layout::kQ5, false, kFloatNeeds, run_f32<Layout::kQ5>},
    {"matmul_q6_f32_avx512", Layout::kQ6, false, kFloatNeeds, run_f32<Layout::kQ6>},
    {"matmul_q8_f32_avx512", Layout::kQ8, false, kFloatNeeds, run_f32<Layout::kQ8>},
    {"matmul_e4m3_f32_avx512", Layout::kE4m3, false, kFloatNeeds, run_f32<Layout::kE4m3>},
    {"matmul_e5m2_f32_avx512", Layout::kE5m2, false, kFloatNeeds, run_f32<Layout::kE5m2>},
    {"matmul_f16_f32_avx512", Layout::kF16, false, kFloatNeeds, run_f32<Layout::kF16>},
    {"matmul_bf16_f32_avx512", Layout::kBf16, false, kFloatNeeds, run_f32<Layout::kBf16>},
    {"matmul_f32_f32_avx512", Layout::kF32, false, kFloatNeeds, run_f32<Layout::kF32>},
    {"matmul_generic_f32_avx512", Layout::kGeneric, false, kFloatNeeds, run_f32<Layout::kGeneric>},
};

}  // namespace

const KernelTable kMatmulKernels = {
    kKernels, sizeof(kKernels) / sizeof(kKernels[0]), {"quantize_q8g32_avx512", kFloatNeeds, quantize}};

}  // namespace nibble::kernel::avx512
