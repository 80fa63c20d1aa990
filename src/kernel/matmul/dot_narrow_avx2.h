// Products of unsigned and signed bytes on AVX2. The one instruction that multiplies bytes adds pairs of products in 16
// bits and saturates there, so the width of the unsigned byte u decides how much may be added before sums are widened:
//   u < 16   eight pairs, as 127 * 2 * 15 * 8 < 2^15: a fold of 32 columns
//   u < 64   two pairs
//   any u    none: u and activations are widened to 16 bits before they are multiplied
// For instruction-set files only.
#pragma once

#include "kernel/matmul/tile_shape_avx2.h"

namespace nibble::kernel::avx2 {

/// 16-bit sums of pairs of products. In assembly: GCC 12 forms all products first, and stores them, when it may
/// reorder.
NIBBLE_LANES void add_products(__m256i& sum, __m256i u, __m256i q) {
  __m256i products;
  __asm__("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0" : "+x"(sum), "=&x"(products) : "x"(u), "x"(q));
}
/// The same in 32 bits: four columns in a lane.
NIBBLE_LANES __m256i widen_pairs(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

/// sum[i][p] = products of u < 16 with the activations of `Fold` columns.
template <int MR, int NP, int Fold>
NIBBLE_LANES void sum_four_bits(const std::uint8_t* u, std::int64_t panel_stride, const std::int8_t* q,
                                std::int64_t ld_q, I (&sum)[MR][NP]) {
  I pairs[MR][NP];
  NIBBLE_UNROLL
  for (int j = 0; j < Fold / 4; ++j) {
    I line[NP];
    NIBBLE_UNROLL
    for (int p = 0; p < NP; ++p) line[p] = load_int(u + p * panel_stride + j * 64);
    NIBBLE_UNROLL
    for (int i = 0; i < MR; ++i) {
      const __m256i a = broadcast_word(q + i * ld_q + 4 * j);
      NIBBLE_UNROLL
      for (int p = 0; p < NP; ++p) {
        if (j == 0) {
          pairs[i][p] = {_mm256_maddubs_epi16(line[p].a, a), _mm256_maddubs_epi16(line[p].b, a)};
        } else {
          add_products(pairs[i][p].a, line[p].a, a);
          add_products(pairs[i][p].b, line[p].b, a);
        }
      }
    }
  }
  NIBBLE_UNROLL
  for (int i = 0; i < MR; ++i) {
    NIBBLE_UNROLL
    for (int p = 0; p < NP; ++p) sum[i][p] = {widen_pairs(pairs[i][p].a), widen_pairs(pairs[i][p].b)};
  }
}

/// sum[i][p] += products of u < 64 with the activations of `Fold` columns.
template <int MR, int NP, int Fold>
NIBBLE_LANES void add_six_bits(const std::uint8_t* u, std::int64_t panel_stride, const std::int8_t* q,
                               std::int64_t ld_q, I (&sum)[MR][NP]) {
  NIBBLE_UNROLL
  for (int j = 0; j < Fold / 4; j += 2) {
    I first[NP];
    I second[NP];
    NIBBLE_UNROLL
    for (int p = 0; p < NP; ++p) {
      first[p] = load_int(u + p * panel_stride + j * 64);
      second[p] = load_int(u + p * panel_stride + j * 64 + 64);
    }
    NIBBLE_UNROLL
    for (int i = 0; i < MR; ++i) {
      const __m256i a = broadcast_word(q + i * ld_q + 4 * j);
      const __m256i b = broadcast_word(q + i * ld_q + 4 * j + 4);
      NIBBLE_UNROLL
      for (int p = 0; p < NP; ++p) {
        __m256i low = _mm256_maddubs_epi16(first[p].a, a);
        __m256i high = _mm256_maddubs_epi16(first[p].b, a);
        add_products(low, second[p].a, b);
        add_products(high, second[p].b, b);
        sum[i][p] = add_int(sum[i][p], {widen_pairs(low), widen_pairs(high)});
        __asm__("" : "+x"(sum[i][p].a), "+x"(sum[i][p].b));  // now, not after all other sums
      }
    }
  }
}

NIBBLE_LANES void add_wide_products(__m256i& sum, __m256i u, __m256i q) {
  __m256i products;
  __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(products) : "x"(u), "x"(q));
}

/// sum[i][p] += products of u and activations of 16 bits, the four columns of a line as two and two.
template <int MR, int NP, int Fold>
NIBBLE_LANES void add_wide(const std::uint8_t* u, std::int64_t panel_stride, const std::int16_t* q, std::int64_t ld_q,
                           I (&sum)[MR][NP]) {
  NIBBLE_UNROLL
  for (int j = 0; j < Fold / 2; ++j) {
    I line[NP];
    NIBBLE_UNROLL
    for (int p = 0; p < NP; ++p) line[p] = load_int(u + p * panel_stride + j * 64);
    NIBBLE_UNROLL
    for (int i = 0; i < MR; ++i) {
      const __m256i a = broadcast_word(q + i * ld_q + 2 * j);
      NIBBLE_UNROLL
      for (int p = 0; p < NP; ++p) {
        add_wide_products(sum[i][p].a, line[p].a, a);
        add_wide_products(sum[i][p].b, line[p].b, a);
      }
    }
  }
}

}  // namespace nibble::kernel::avx2
