// Matmul kernels for AVX-VNNI, 256-bit integer dot products on processors without AVX-512: the integer path of AVX2
// with one instruction for the products of any bytes. All else is AVX2's.
#include "base/cpu_features.h"
#include "kernel/lanes/int_lanes_avx2.h"
#include "kernel/matmul/matmul_tables.h"
#include "kernel/matmul/tile_shape_avx2.h"

namespace nibble::kernel::avxvnni {

// Lanes and tile shapes.
using namespace avx2;

#include "kernel/matmul/int_path_lanes.inc"

namespace {

// GCC 12 may store every accumulator in each step when this is written with the intrinsic on an array.
NIBBLE_LANES void dot_accumulate(__m256i& sum, __m256i u, __m256i q) {
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(u), "x"(q));
}

struct VnniDot {
  using Activation = std::int8_t;
  static constexpr int kTile = 6;
  static constexpr int kParts = 1;
  static constexpr int kPanels = kMostPanels;
  static constexpr int kFewTokens = 1;
  NIBBLE_LANES void store_line(std::uint8_t* u, int j, I codes) { store_int(u + 64 * j, codes); }

  NIBBLE_LANES void add_line(I codes, const std::int8_t* q, I& sum) {
    const __m256i a = broadcast_word(q);
    dot_accumulate(sum.a, codes.a, a);
    dot_accumulate(sum.b, codes.b, a);
  }

  template <int MR, int NP, int Fold>
  NIBBLE_LANES void sum_fold(const std::uint8_t* u, std::int64_t panel_stride, const std::int8_t* q, std::int64_t ld_q,
                             const std::int32_t* start, I (&sum)[MR][NP]) {
    begin_sums(start, sum);
    NIBBLE_UNROLL
    for (int j = 0; j < Fold / 4; ++j) {
      I line[NP];
      NIBBLE_UNROLL
      for (int p = 0; p < NP; ++p) line[p] = load_int(u + p * panel_stride + 64 * j);
      NIBBLE_UNROLL
      for (int i = 0; i < MR; ++i) {
        NIBBLE_UNROLL
        for (int p = 0; p < NP; ++p) add_line(line[p], q + i * ld_q + 4 * j, sum[i][p]);
      }
    }
  }
};

template <Layout L>
void run_int8(const PackedView& w, const InputView& in, std::int64_t item_begin, std::int64_t item_end, float* y,
              std::int64_t ld_y) noexcept {
  const IntCodes codes{w.int_table, w.int_bias, w.int_table_high};
  if constexpr (L <= Layout::kQ4)
    if (codes.high != nullptr)
      return run_int_codes<L, TwoTableDot<VnniDot>>(w, codes, in, item_begin, item_end, y, ld_y);
  run_int_codes<L, VnniDot>(w, codes, in, item_begin, item_end, y, ld_y);
}

constexpr std::uint32_t kNeeds = kAvx2 | kFma | kF16c | kAvxVnni;

constexpr MatmulKernel kKernels[] = {
    {"matmul_q1_q8g32_avxvnni", Layout::kQ1, true, kNeeds, run_int8<Layout::kQ1>},
    {"matmul_q2_q8g32_avxvnni", Layout::kQ2, true, kNeeds, run_int8<Layout::kQ2>},
    {"matmul_q3_q8g32_avxvnni", Layout::kQ3, true, kNeeds, run_int8<Layout::kQ3>},
    {"matmul_q4_q8g32_avxvnni", Layout::kQ4, true, kNeeds, run_int8<Layout::kQ4>},
    {"matmul_q5_q8g32_avxvnni", Layout::kQ5, true, kNeeds, run_int8<Layout::kQ5>},
    {"matmul_q6_q8g32_avxvnni", Layout::kQ6, true, kNeeds, run_int8<Layout::kQ6>},
    {"matmul_q8_q8g32_avxvnni", Layout::kQ8, true, kNeeds, run_int8<Layout::kQ8>},
};

}  // namespace

const KernelTable kMatmulKernels = {
    kKernels, sizeof(kKernels) / sizeof(kKernels[0]), {"quantize_q8g32_avxvnni", kNeeds, nullptr}};

}  // namespace nibble::kernel::avxvnni
