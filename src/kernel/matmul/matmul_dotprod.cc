// Matmul kernels for NEON with DotProd: the integer path of NEON with one instruction for the products of four columns.
// It multiplies bytes with signs; codes of up to 7 bits are that already. All else is NEON's.
#include "base/cpu_features.h"
#include "kernel/matmul/matmul_tables.h"
#include "kernel/matmul/tile_shape_neon.h"

namespace nibble::kernel::dotprod {

// Lanes and tile shapes.
using namespace neon;

namespace {

// Panels of a register tile: accumulators, weights and activations fit in 32 registers.
template <int tokens>
constexpr int kTilePanels = tokens <= 2 ? 2 : 1;

}  // namespace

#include "kernel/matmul/int_path_lanes.inc"

namespace {

/// Bytes with signs; `flip` when the codes are without.
template <bool flip, int few_tokens = 4>
struct SignedDot {
  using Activation = std::int8_t;
  static constexpr int kTile = 4;
  static constexpr int kParts = 1;
  static constexpr int kPanels = kMostPanels;
  static constexpr int kFewTokens = few_tokens;
  NIBBLE_LANES I with_sign(I codes) { return flip ? xor_int(codes, set1_bytes(-128)) : codes; }
  NIBBLE_LANES void store_line(std::uint8_t* u, int j, I codes) { store_int(u + 64 * j, with_sign(codes)); }

  NIBBLE_LANES int32x4_t add_quads(int32x4_t sum, int32x4_t codes, int8x16_t a) {
    return vdotq_s32(sum, vreinterpretq_s8_s32(codes), a);
  }
  NIBBLE_LANES void add_line(I codes, const std::int8_t* q, I& sum) {
    const int8x16_t a = broadcast_word(q);
    const I line = with_sign(codes);
    sum = {add_quads(sum.a, line.a, a), add_quads(sum.b, line.b, a), add_quads(sum.c, line.c, a),
           add_quads(sum.d, line.d, a)};
  }

  /// The same of a slab's line with quad number `quad` of each token.
  template <int quad, int MR, int NP>
  NIBBLE_LANES void add_slab_line(const std::uint8_t* u, std::int64_t panel_stride, const int8x16_t (&a)[MR],
                                  I (&sum)[MR][NP]) {
    NIBBLE_UNROLL
    for (int p = 0; p < NP; ++p) {
      const I line = load_int(u + p * panel_stride);
      NIBBLE_UNROLL
      for (int i = 0; i < MR; ++i) {
        I& to = sum[i][p];
        to.a = vdotq_laneq_s32(to.a, vreinterpretq_s8_s32(line.a), a[i], quad);
        to.b = vdotq_laneq_s32(to.b, vreinterpretq_s8_s32(line.b), a[i], quad);
        to.c = vdotq_laneq_s32(to.c, vreinterpretq_s8_s32(line.c), a[i], quad);
        to.d = vdotq_laneq_s32(to.d, vreinterpretq_s8_s32(line.d), a[i], quad);
      }
    }
  }

  template <int MR, int NP, int Fold>
  NIBBLE_LANES void sum_fold(const std::uint8_t* u, std::int64_t panel_stride, const std::int8_t* q, std::int64_t ld_q,
                             const std::int32_t* start, I (&sum)[MR][NP]) {
    begin_sums(start, sum);
    NIBBLE_UNROLL
    for (int k = 0; k < Fold; k += 16, u += 256) {
      int8x16_t a[MR];
      NIBBLE_UNROLL
      for (int i = 0; i < MR; ++i) a[i] = vld1q_s8(q + i * ld_q + k);
      add_slab_line<0>(u, panel_stride, a, sum);
      add_slab_line<1>(u + 64, panel_stride, a, sum);
      add_slab_line<2>(u + 128, panel_stride, a, sum);
      add_slab_line<3>(u + 192, panel_stride, a, sum);
    }
  }
};

template <Layout L>
void run_int8(const PackedView& w, const InputView& in, std::int64_t item_begin, std::int64_t item_end, float* y,
              std::int64_t ld_y) noexcept {
  if constexpr (L == Layout::kQ8) {
    const IntCodes codes{nullptr, w.int_bias - 0x80, nullptr};
    return run_int_codes<L, SignedDot<true>>(w, codes, in, item_begin, item_end, y, ld_y);
  }
  if constexpr (L <= Layout::kQ4) {
    if (w.int_table != nullptr) {
      std::uint8_t low[16];
      std::uint8_t high[16];
      for (int i = 0; i < 16; ++i) {
        low[i] = w.int_table[i] ^ 0x80;
        high[i] = w.int_table_high != nullptr ? w.int_table_high[i] ^ 0x80 : 0;
      }
      if (w.int_table_high != nullptr) {
        const IntCodes codes{low, w.int_bias - 0x8080, high};
        // Sums of low and of high bytes: those of four tokens would be all registers.
        return run_int_codes<L, TwoTableDot<SignedDot<false, 1>>>(w, codes, in, item_begin, item_end, y, ld_y);
      }
      const IntCodes codes{low, w.int_bias - 0x80, nullptr};
      return run_int_codes<L, SignedDot<false>>(w, codes, in, item_begin, item_end, y, ld_y);
    }
  }
  const IntCodes codes{nullptr, w.int_bias, nullptr};
  run_int_codes<L, SignedDot<false>>(w, codes, in, item_begin, item_end, y, ld_y);
}

constexpr std::uint32_t kNeeds = kNeon | kDotProd;

constexpr MatmulKernel kKernels[] = {
    {"matmul_q1_q8g32_dotprod", Layout::kQ1, true, kNeeds, run_int8<Layout::kQ1>},
    {"matmul_q2_q8g32_dotprod", Layout::kQ2, true, kNeeds, run_int8<Layout::kQ2>},
    {"matmul_q3_q8g32_dotprod", Layout::kQ3, true, kNeeds, run_int8<Layout::kQ3>},
    {"matmul_q4_q8g32_dotprod", Layout::kQ4, true, kNeeds, run_int8<Layout::kQ4>},
    {"matmul_q5_q8g32_dotprod", Layout::kQ5, true, kNeeds, run_int8<Layout::kQ5>},
    {"matmul_q6_q8g32_dotprod", Layout::kQ6, true, kNeeds, run_int8<Layout::kQ6>},
    {"matmul_q8_q8g32_dotprod", Layout::kQ8, true, kNeeds, run_int8<Layout::kQ8>},
};

}  // namespace

const KernelTable kMatmulKernels = {
    kKernels, sizeof(kKernels) / sizeof(kKernels[0]), {"quantize_q8g32_dotprod", kNeeds, nullptr}};

}  // namespace nibble::kernel::dotprod
