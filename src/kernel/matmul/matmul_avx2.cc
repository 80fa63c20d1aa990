// Matmul kernels for AVX2: the shared paths on 16 lanes, and products of bytes without VNNI.
#include "base/cpu_features.h"
#include "kernel/matmul/dot_narrow_avx2.h"
#include "kernel/matmul/generic_rows.h"
#include "kernel/matmul/matmul_tables.h"

namespace nibble::kernel::avx2 {

#include "kernel/matmul/float_path_lanes.inc"
#include "kernel/matmul/int_path_lanes.inc"
#include "kernel/matmul/quantize_lanes.inc"

namespace {

/// Codes below 16.
struct FourBitDot {
  using Activation = std::int8_t;
  static constexpr int kTile = 6;
  static constexpr int kParts = 1;
  static constexpr int kFewTokens = 0;
  static constexpr int kPanels = kMostPanels;
  NIBBLE_LANES void store_line(std::uint8_t* u, int j, I codes) { store_int(u + 64 * j, codes); }

  template <int MR, int NP, int Fold>
  NIBBLE_LANES void sum_fold(const std::uint8_t* u, std::int64_t panel_stride, const std::int8_t* q, std::int64_t ld_q,
                             const std::int32_t* start, I (&sum)[MR][NP]) {
    sum_four_bits<MR, NP, Fold>(u, panel_stride, q, ld_q, sum);
    NIBBLE_UNROLL
    for (int i = 0; i < MR; ++i) {
      const I first = set1_int(start[i * kFolds]);
      NIBBLE_UNROLL
      for (int p = 0; p < NP; ++p) sum[i][p] = add_int(sum[i][p], first);
    }
  }
};

/// Codes below 64.
struct SixBitDot {
  using Activation = std::int8_t;
  static constexpr int kTile = 4;  // two lines of codes are in registers at once
  static constexpr int kParts = 1;
  static constexpr int kFewTokens = 0;
  static constexpr int kPanels = kMostPanels;
  NIBBLE_LANES void store_line(std::uint8_t* u, int j, I codes) { store_int(u + 64 * j, codes); }

  template <int MR, int NP, int Fold>
  NIBBLE_LANES void sum_fold(const std::uint8_t* u, std::int64_t panel_stride, const std::int8_t* q, std::int64_t ld_q,
                             const std::int32_t* start, I (&sum)[MR][NP]) {
    begin_sums(start, sum);
    add_six_bits<MR, NP, Fold>(u, panel_stride, q, ld_q, sum);
  }
};

/// Any bytes, in 16 bits.
struct WideDot {
  using Activation = std::int16_t;
  static constexpr int kTile = 6;
  static constexpr int kParts = 2;
  static constexpr int kFewTokens = 0;
  static constexpr int kPanels = kPanelsPerItem;  // the same number of bytes in the cache
  /// Columns 0 and 2 of the line, then 1 and 3.
  NIBBLE_LANES void store_line(std::uint8_t* u, int j, I codes) {
    store_int(u + 128 * j, and_int(codes, set1_int(0x00FF00FF)));
    store_int(u + 128 * j + 64, shift_right_halves<8>(codes));
  }
  /// Each four activations in the order of store_line.
  NIBBLE_LANES void widen(const std::int8_t* q, int count, std::int16_t* wide) {
    const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    for (int k = 0; k < count; k += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(q + k));
      _mm256_store_si256(reinterpret_cast<__m256i*>(wide + k), _mm256_cvtepi8_epi16(_mm_shuffle_epi8(bytes, order)));
    }
  }

  template <int MR, int NP, int Fold>
  NIBBLE_LANES void sum_fold(const std::uint8_t* u, std::int64_t panel_stride, const std::int16_t* q, std::int64_t ld_q,
                             const std::int32_t* start, I (&sum)[MR][NP]) {
    begin_sums(start, sum);
    add_wide<MR, NP, Fold>(u, panel_stride, q, ld_q, sum);
  }
};

/// Numbers of 16 bits, from two tables: the same with signs.
struct WideTableDot : WideDot {
  NIBBLE_LANES void store_line(std::uint8_t* u, int j, I low, I high) {
    const I even = set1_int(0x00FF00FF);
    store_int(u + 128 * j, or_int(and_int(low, even), shift_left_halves<8>(high)));
    store_int(u + 128 * j + 64, or_int(shift_right_halves<8>(low), and_not_int(even, high)));
  }
};
template <>
constexpr bool kTwoTables<WideTableDot> = true;

/// A table's bytes less their smallest, so that small ones multiply fast.
struct LowTable {
  std::uint8_t bytes[16];
  std::uint8_t smallest;
  std::uint8_t range;
};
LowTable low_table(const std::uint8_t* table, int count) {
  LowTable low{};
  std::uint8_t largest = 0;
  low.smallest = 255;
  for (int i = 0; i < count; ++i) {
    low.smallest = table[i] < low.smallest ? table[i] : low.smallest;
    largest = table[i] > largest ? table[i] : largest;
  }
  low.range = static_cast<std::uint8_t>(largest - low.smallest);
  for (int i = 0; i < count; ++i) low.bytes[i] = static_cast<std::uint8_t>(table[i] - low.smallest);
  return low;
}

template <Layout L>
void run_int8(const PackedView& w, const InputView& in, std::int64_t item_begin, std::int64_t item_end, float* y,
              std::int64_t ld_y) noexcept {
  const IntCodes codes{nullptr, w.int_bias, nullptr};
  if constexpr (L == Layout::kQ8) return run_int_codes<L, WideDot>(w, codes, in, item_begin, item_end, y, ld_y);
  if constexpr (L == Layout::kQ5 || L == Layout::kQ6)
    return run_int_codes<L, SixBitDot>(w, codes, in, item_begin, item_end, y, ld_y);
  if constexpr (L <= Layout::kQ4) {
    if (w.int_table == nullptr) return run_int_codes<L, FourBitDot>(w, codes, in, item_begin, item_end, y, ld_y);
    if (w.int_table_high != nullptr) {
      std::uint8_t high[16];  // with signs
      for (int i = 0; i < 16; ++i) high[i] = w.int_table_high[i] ^ 0x80;
      const IntCodes signed_codes{w.int_table, w.int_bias - 0x8000, high};
      return run_int_codes<L, WideTableDot>(w, signed_codes, in, item_begin, item_end, y, ld_y);
    }
    const LowTable low = low_table(w.int_table, 1 << (kBlockBytes<L> / 64));
    const IntCodes listed{low.bytes, w.int_bias - low.smallest, nullptr};
    if (low.range < 64) return run_int_codes<L, SixBitDot>(w, listed, in, item_begin, item_end, y, ld_y);
    return run_int_codes<L, WideDot>(w, listed, in, item_begin, item_end, y, ld_y);
  }
}

constexpr std::uint32_t kNeeds = kAvx2 | kFma | kF16c;

constexpr MatmulKernel kKernels[] = {
    {"matmul_q1_q8g32_avx2", Layout::kQ1, true, kNeeds, run_int8<Layout::kQ1>},
    {"matmul_q2_q8g32_avx2", Layout::kQ2, true, kNeeds, run_int8<Layout::kQ2>},
    {"matmul_q3_q8g32_avx2", Layout::kQ3, true, kNeeds, run_int8<Layout::kQ3>},
    {"matmul_q4_q8g32_avx2", Layout::kQ4, true, kNeeds, run_int8<Layout::kQ4>},
    {"matmul_q5_q8g32_avx2", Layout::kQ5, true, kNeeds, run_int8<Layout::kQ5>},
    {"matmul_q6_q8g32_avx2", Layout::kQ6, true, kNeeds, run_int8<Layout::kQ6>},
    {"matmul_q8_q8g32_avx2", Layout::kQ8, true, kNeeds, run_int8<Layout::kQ8>},
    {"matmul_q1_f32_avx2", Layout::kQ1, false, kNeeds, run_f32<Layout::kQ1>},
    {"matmul_q2_f32_avx2", Layout::kQ2, false, kNeeds, run_f32<Layout::kQ2>},
    {"matmul_q3_f32_avx2", Layout::kQ3, false, kNeeds, run_f32<Layout::kQ3>},
    {"matmul_q4_f32_avx2", Layout::kQ4, false, kNeeds, run_f32<Layout::kQ4>},
    {"matmul_q5_f32_avx2", Layout::kQ5, false, kNeeds, run_f32<Layout::kQ5>},
    {"matmul_q6_f32_avx2", Layout::kQ6, false, kNeeds, run_f32<Layout::kQ6>},
    {"matmul_q8_f32_avx2", Layout::kQ8, false, kNeeds, run_f32<Layout::kQ8>},
    {"matmul_e4m3_f32_avx2", Layout::kE4m3, false, kNeeds, run_f32<Layout::kE4m3>},
    {"matmul_e5m2_f32_avx2", Layout::kE5m2, false, kNeeds, run_f32<Layout::kE5m2>},
    {"matmul_f16_f32_avx2", Layout::kF16, false, kNeeds, run_f32<Layout::kF16>},
    {"matmul_bf16_f32_avx2", Layout::kBf16, false, kNeeds, run_f32<Layout::kBf16>},
    {"matmul_f32_f32_avx2", Layout::kF32, false, kNeeds, run_f32<Layout::kF32>},
    {"matmul_generic_f32_avx2", Layout::kGeneric, false, kNeeds, run_f32<Layout::kGeneric>},
};

}  // namespace

const KernelTable kMatmulKernels = {
    kKernels, sizeof(kKernels) / sizeof(kKernels[0]), {"quantize_q8g32_avx2", kNeeds, quantize}};

}  // namespace nibble::kernel::avx2
