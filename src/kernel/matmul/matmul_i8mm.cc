// Matmul kernels for NEON with I8MM, whose instructions multiply codes without signs with activations that have them:
// usdot four columns of four rows with a token, for single tokens; usmmla eight columns of two rows with two tokens,
// for the tiles of many. All else is NEON's.
#include "base/cpu_features.h"
#include "kernel/matmul/matmul_tables.h"
#include "kernel/matmul/tile_shape_neon.h"

namespace nibble::kernel::i8mm {

// Lanes and tile shapes.
using namespace neon;

namespace {

// Panels of a register tile: accumulators, weights and activations fit in 32 registers.
template <int tokens>
constexpr int kTilePanels = tokens <= 2 ? 2 : 1;

}  // namespace

#include "kernel/matmul/int_path_lanes.inc"

namespace {

template <int few_tokens>
struct MixedDot {
  using Activation = std::int8_t;
  static constexpr int kTile = 4;
  static constexpr int kParts = 1;
  static constexpr int kPanels = kMostPanels;
  static constexpr int kFewTokens = few_tokens;

  NIBBLE_LANES int32x4_t add_quads(int32x4_t sum, int32x4_t codes, int8x16_t a) {
    return vusdotq_s32(sum, as_bytes(codes), a);
  }
  NIBBLE_LANES void add_line(I codes, const std::int8_t* q, I& sum) {
    const int8x16_t a = broadcast_word(q);
    sum = {add_quads(sum.a, codes.a, a), add_quads(sum.b, codes.b, a), add_quads(sum.c, codes.c, a),
           add_quads(sum.d, codes.d, a)};
  }

  /// Two lines, eight columns, together: registers of two rows, their eight columns side by side.
  NIBBLE_LANES void store_row_pairs(std::uint8_t* u, int32x4_t even, int32x4_t odd) {
    vst1q_u8(u, as_bytes(vzip1q_s32(even, odd)));
    vst1q_u8(u + 16, as_bytes(vzip2q_s32(even, odd)));
  }
  /// An even line waits in its place for the odd one.
  NIBBLE_LANES void store_line(std::uint8_t* u, int j, I codes) {
    if (j % 2 == 0) return store_int(u + 64 * j, codes);
    std::uint8_t* pair = u + 64 * (j - 1);
    const I even = load_int(pair);
    store_row_pairs(pair, even.a, codes.a);
    store_row_pairs(pair + 32, even.b, codes.b);
    store_row_pairs(pair + 64, even.c, codes.c);
    store_row_pairs(pair + 96, even.d, codes.d);
  }

  /// Eight activations of a token and of the next one, or of the last one twice.
  template <bool twice>
  NIBBLE_LANES int8x16_t load_two_tokens(const std::int8_t* q, std::int64_t ld_q) {
    const int8x8_t first = vld1_s8(q);
    return vcombine_s8(first, twice ? first : vld1_s8(q + ld_q));
  }

  template <int MR, int NP, int Fold>
  NIBBLE_LANES void sum_fold(const std::uint8_t* u, std::int64_t panel_stride, const std::int8_t* q, std::int64_t ld_q,
                             const std::int32_t* start, I (&sum)[MR][NP]) {
    constexpr int kPairs = (MR + 1) / 2;
    int32x4_t two_by_two[kPairs][NP][8];  // rows 2 n and 2 n + 1, each with both tokens
    NIBBLE_UNROLL
    for (int i = 0; i < kPairs; ++i) {
      const int32x4_t first = vdupq_n_s32(start[2 * i * kFolds]);
      const int32x4_t both = 2 * i + 1 < MR ? vzip1q_s32(first, vdupq_n_s32(start[(2 * i + 1) * kFolds])) : first;
      NIBBLE_UNROLL
      for (int p = 0; p < NP; ++p) {
        NIBBLE_UNROLL
        for (int n = 0; n < 8; ++n) two_by_two[i][p][n] = both;
      }
    }
    NIBBLE_UNROLL
    for (int k = 0; k < Fold; k += 8) {
      int8x16_t a[kPairs];
      NIBBLE_UNROLL
      for (int i = 0; i < kPairs; ++i)
        a[i] = 2 * i + 1 < MR ? load_two_tokens<false>(q + 2 * i * ld_q + k, ld_q)
                              : load_two_tokens<true>(q + 2 * i * ld_q + k, ld_q);
      NIBBLE_UNROLL
      for (int p = 0; p < NP; ++p) {
        NIBBLE_UNROLL
        for (int n = 0; n < 8; ++n) {
          const uint8x16_t codes = vld1q_u8(u + p * panel_stride + 16 * k + 16 * n);
          NIBBLE_UNROLL
          for (int i = 0; i < kPairs; ++i) two_by_two[i][p][n] = vusmmlaq_s32(two_by_two[i][p][n], codes, a[i]);
        }
      }
    }
    NIBBLE_UNROLL
    for (int i = 0; i < MR; ++i) {
      NIBBLE_UNROLL
      for (int p = 0; p < NP; ++p) {
        const auto& from = two_by_two[i / 2][p];
        sum[i][p] = i % 2 == 0 ? I{vuzp1q_s32(from[0], from[1]), vuzp1q_s32(from[2], from[3]),
                                   vuzp1q_s32(from[4], from[5]), vuzp1q_s32(from[6], from[7])}
                               : I{vuzp2q_s32(from[0], from[1]), vuzp2q_s32(from[2], from[3]),
                                   vuzp2q_s32(from[4], from[5]), vuzp2q_s32(from[6], from[7])};
      }
    }
  }
};

template <Layout L>
void run_int8(const PackedView& w, const InputView& in, std::int64_t item_begin, std::int64_t item_end, float* y,
              std::int64_t ld_y) noexcept {
  const IntCodes codes{w.int_table, w.int_bias, w.int_table_high};
  if constexpr (L <= Layout::kQ4)
    if (codes.high != nullptr)  // of four tokens, sums of low and of high bytes would be all registers
      return run_int_codes<L, TwoTableDot<MixedDot<1>>>(w, codes, in, item_begin, item_end, y, ld_y);
  run_int_codes<L, MixedDot<4>>(w, codes, in, item_begin, item_end, y, ld_y);
}

constexpr std::uint32_t kNeeds = kNeon | kDotProd | kI8mm;

constexpr MatmulKernel kKernels[] = {
    {"matmul_q1_q8g32_i8mm", Layout::kQ1, true, kNeeds, run_int8<Layout::kQ1>},
    {"matmul_q2_q8g32_i8mm", Layout::kQ2, true, kNeeds, run_int8<Layout::kQ2>},
    {"matmul_q3_q8g32_i8mm", Layout::kQ3, true, kNeeds, run_int8<Layout::kQ3>},
    {"matmul_q4_q8g32_i8mm", Layout::kQ4, true, kNeeds, run_int8<Layout::kQ4>},
    {"matmul_q5_q8g32_i8mm", Layout::kQ5, true, kNeeds, run_int8<Layout::kQ5>},
    {"matmul_q6_q8g32_i8mm", Layout::kQ6, true, kNeeds, run_int8<Layout::kQ6>},
    {"matmul_q8_q8g32_i8mm", Layout::kQ8, true, kNeeds, run_int8<Layout::kQ8>},
};

}  // namespace

const KernelTable kMatmulKernels = {
    kKernels, sizeof(kKernels) / sizeof(kKernels[0]), {"quantize_q8g32_i8mm", kNeeds, nullptr}};

}  // namespace nibble::kernel::i8mm
