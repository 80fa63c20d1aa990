// Matmul kernels for AVX-512 with VNNI: the shared paths on 16 lanes of 512-bit registers.
#include "base/cpu_features.h"
#include "kernel/lanes/int_lanes_avx512.h"
#include "kernel/matmul/generic_rows.h"
#include "kernel/matmul/matmul_tables.h"

namespace nibble::kernel::avx512 {
namespace {

constexpr int kFloatTile = 6;   // tokens in a register tile of the float path
constexpr int kMostPanels = 4;  // panels of a slab: many tokens go over all while they are in the cache

// Panels of a register tile. Floats take four: a single token's sums are chains of fused steps, and many tokens load
// fewer activations.
template <int tokens>
constexpr int kTilePanels = 2;
template <int tokens>
constexpr int kFloatTilePanels = 4;

}  // namespace

#include "kernel/matmul/float_path_lanes.inc"
#include "kernel/matmul/int_path_lanes.inc"
#include "kernel/matmul/quantize_lanes.inc"

namespace {

// GCC 12 stores every accumulator in each step when this is written with the intrinsic on an array.
NIBBLE_LANES void dot_accumulate(I& sum, I u, I q) { __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u), "v"(q)); }

/// Four activations, in memory as bytes.
using Quad = std::int32_t __attribute__((may_alias, aligned(1)));

struct VnniDot {
  using Activation = std::int8_t;
  static constexpr int kTile = 6;
  static constexpr int kParts = 1;
  static constexpr int kPanels = kMostPanels;
  static constexpr int kFewTokens = 8;
  NIBBLE_LANES void store_line(std::uint8_t* u, int j, I codes) { store_int(u + 64 * j, codes); }

  NIBBLE_LANES void add_line(I codes, const std::int8_t* q, I& sum) {
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(codes), "m"(*reinterpret_cast<const Quad*>(q)));
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
        const I quad = set1_int(*reinterpret_cast<const Quad*>(q + i * ld_q + 4 * j));
        NIBBLE_UNROLL
        for (int p = 0; p < NP; ++p) dot_accumulate(sum[i][p], line[p], quad);
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
