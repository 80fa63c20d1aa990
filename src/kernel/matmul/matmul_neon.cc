// Matmul kernels for NEON as every AArch64 processor has it: the shared paths on 16 lanes, and products of bytes in 16
// bits, which widths decide how many may be added there. |activation| <= 127, so
//   |code| <= 32    the eight products of a column of quads: 127 * 32 * 8 < 2^15, a fold of 32 columns
//   any code        two: 127 * 128 * 2 < 2^15
// Codes are centred to that end: a code less 2^(bits - 1), or a table less its middle, with the bias less as much.
#include "base/cpu_features.h"
#include "kernel/matmul/generic_rows.h"
#include "kernel/matmul/matmul_tables.h"
#include "kernel/matmul/tile_shape_neon.h"

namespace nibble::kernel::neon {
namespace {

// Panels of a register tile. Sums have twice the registers of a panel until pairs are added.
template <int tokens>
constexpr int kTilePanels = tokens == 1 ? 2 : 1;

}  // namespace

#include "kernel/matmul/float_path_lanes.inc"
#include "kernel/matmul/int_path_lanes.inc"
#include "kernel/matmul/quantize_lanes.inc"

namespace {

/// Sums of products of four rows in 16 bits, by row and column of their quads.
struct Halves {
  int16x8_t low;   ///< rows 0 and 1
  int16x8_t high;  ///< rows 2 and 3
};
NIBBLE_LANES Halves products(int8x16_t codes, int8x16_t q) {
  return {vmull_s8(vget_low_s8(codes), vget_low_s8(q)), vmull_high_s8(codes, q)};
}
NIBBLE_LANES void add_products(Halves& sum, int8x16_t codes, int8x16_t q) {
  sum.low = vmlal_s8(sum.low, vget_low_s8(codes), vget_low_s8(q));
  sum.high = vmlal_high_s8(sum.high, codes, q);
}
/// The same in 32 bits, columns in pairs.
struct Pairs {
  int32x4_t low;
  int32x4_t high;
};
NIBBLE_LANES int32x4_t rows_of(const Pairs& pairs) { return vpaddq_s32(pairs.low, pairs.high); }

NIBBLE_LANES int8x16_t load_codes(const std::uint8_t* u) { return vreinterpretq_s8_u8(vld1q_u8(u)); }
NIBBLE_LANES I add_start(const std::int32_t* start, const int32x4_t (&rows)[4]) {
  return add_int(set1_int(*start), {rows[0], rows[1], rows[2], rows[3]});
}

/// Centred codes of up to 6 bits; `centre` is what store_line takes off.
template <int centre>
struct SixBitDot {
  using Activation = std::int8_t;
  static constexpr int kTile = 3;
  static constexpr int kParts = 1;
  static constexpr int kFewTokens = 0;
  static constexpr int kPanels = kMostPanels;
  NIBBLE_LANES int32x4_t centred(int32x4_t codes) { return of_bytes(vsubq_u8(as_bytes(codes), vdupq_n_u8(centre))); }
  NIBBLE_LANES void store_line(std::uint8_t* u, int j, I codes) {
    store_int(u + 64 * j,
              centre == 0 ? codes : I{centred(codes.a), centred(codes.b), centred(codes.c), centred(codes.d)});
  }

  template <int MR, int NP, int Fold>
  NIBBLE_LANES void sum_fold(const std::uint8_t* u, std::int64_t panel_stride, const std::int8_t* q, std::int64_t ld_q,
                             const std::int32_t* start, I (&sum)[MR][NP]) {
    Halves halves[MR][NP][4];
    NIBBLE_UNROLL
    for (int j = 0; j < Fold / 4; ++j) {
      int8x16_t a[MR];
      NIBBLE_UNROLL
      for (int i = 0; i < MR; ++i) a[i] = broadcast_word(q + i * ld_q + 4 * j);
      NIBBLE_UNROLL
      for (int p = 0; p < NP; ++p) {
        NIBBLE_UNROLL
        for (int r = 0; r < 4; ++r) {
          const int8x16_t codes = load_codes(u + p * panel_stride + 64 * j + 16 * r);
          NIBBLE_UNROLL
          for (int i = 0; i < MR; ++i) {
            if (j == 0)
              halves[i][p][r] = products(codes, a[i]);
            else
              add_products(halves[i][p][r], codes, a[i]);
          }
        }
      }
    }
    NIBBLE_UNROLL
    for (int i = 0; i < MR; ++i) {
      NIBBLE_UNROLL
      for (int p = 0; p < NP; ++p) {
        int32x4_t rows[4];
        NIBBLE_UNROLL
        for (int r = 0; r < 4; ++r)
          rows[r] = rows_of({vpaddlq_s16(halves[i][p][r].low), vpaddlq_s16(halves[i][p][r].high)});
        sum[i][p] = add_start(start + i * kFolds, rows);
      }
    }
  }
};

/// Any bytes, with signs; `flip` when the codes are without.
template <bool flip>
struct ByteDot {
  using Activation = std::int8_t;
  static constexpr int kTile = 2;
  static constexpr int kParts = 1;
  static constexpr int kFewTokens = 1;
  static constexpr int kPanels = kMostPanels;
  NIBBLE_LANES I with_sign(I codes) { return flip ? xor_int(codes, set1_bytes(-128)) : codes; }
  NIBBLE_LANES void store_line(std::uint8_t* u, int j, I codes) { store_int(u + 64 * j, with_sign(codes)); }

  /// Two products of a row fit in 16 bits: pairs are added there.
  NIBBLE_LANES int32x4_t add_quads(int32x4_t sum, int32x4_t codes, int8x16_t a) {
    const Halves halves = products(vreinterpretq_s8_s32(codes), a);
    return vpadalq_s16(sum, vpaddq_s16(halves.low, halves.high));
  }
  NIBBLE_LANES void add_line(I codes, const std::int8_t* q, I& sum) {
    const int8x16_t a = broadcast_word(q);
    const I line = with_sign(codes);
    sum = {add_quads(sum.a, line.a, a), add_quads(sum.b, line.b, a), add_quads(sum.c, line.c, a),
           add_quads(sum.d, line.d, a)};
  }

  template <int MR, int NP, int Fold>
  NIBBLE_LANES void sum_fold(const std::uint8_t* u, std::int64_t panel_stride, const std::int8_t* q, std::int64_t ld_q,
                             const std::int32_t* start, I (&sum)[MR][NP]) {
    Pairs pairs[MR][NP][4];
    NIBBLE_UNROLL
    for (int j = 0; j < Fold / 4; j += 2) {
      int8x16_t a[MR][2];
      NIBBLE_UNROLL
      for (int i = 0; i < MR; ++i) {
        a[i][0] = broadcast_word(q + i * ld_q + 4 * j);
        a[i][1] = broadcast_word(q + i * ld_q + 4 * j + 4);
      }
      NIBBLE_UNROLL
      for (int p = 0; p < NP; ++p) {
        NIBBLE_UNROLL
        for (int r = 0; r < 4; ++r) {
          const int8x16_t first = load_codes(u + p * panel_stride + 64 * j + 16 * r);
          const int8x16_t second = load_codes(u + p * panel_stride + 64 * j + 16 * r + 64);
          NIBBLE_UNROLL
          for (int i = 0; i < MR; ++i) {
            Halves halves = products(first, a[i][0]);
            add_products(halves, second, a[i][1]);
            Pairs& to = pairs[i][p][r];
            if (j == 0)
              to = {vpaddlq_s16(halves.low), vpaddlq_s16(halves.high)};
            else
              to = {vpadalq_s16(to.low, halves.low), vpadalq_s16(to.high, halves.high)};
          }
        }
      }
    }
    NIBBLE_UNROLL
    for (int i = 0; i < MR; ++i) {
      NIBBLE_UNROLL
      for (int p = 0; p < NP; ++p) {
        int32x4_t rows[4];
        NIBBLE_UNROLL
        for (int r = 0; r < 4; ++r) rows[r] = rows_of(pairs[i][p][r]);
        sum[i][p] = add_start(start + i * kFolds, rows);
      }
    }
  }
};

/// Sixteen bytes of a table less `centre`, and whether they are within [-32, 32] then.
struct CentredTable {
  std::uint8_t bytes[16];
  std::uint8_t centre;
  bool six_bits;
};
CentredTable centre_table(const std::uint8_t* table, int count) {
  int smallest = 255;
  int largest = 0;
  for (int i = 0; i < count; ++i) {
    smallest = table[i] < smallest ? table[i] : smallest;
    largest = table[i] > largest ? table[i] : largest;
  }
  CentredTable centred{};
  centred.six_bits = largest - smallest <= 64;
  centred.centre = static_cast<std::uint8_t>(centred.six_bits ? (smallest + largest) / 2 : 128);
  for (int i = 0; i < count; ++i) centred.bytes[i] = static_cast<std::uint8_t>(table[i] - centred.centre);
  return centred;
}

template <Layout L>
void run_int8(const PackedView& w, const InputView& in, std::int64_t item_begin, std::int64_t item_end, float* y,
              std::int64_t ld_y) noexcept {
  const auto less = [&](int centre) { return IntCodes{nullptr, w.int_bias - centre, nullptr}; };
  if constexpr (L == Layout::kQ8)
    return run_int_codes<L, ByteDot<true>>(w, less(128), in, item_begin, item_end, y, ld_y);
  if constexpr (L == Layout::kQ6)
    return run_int_codes<L, SixBitDot<32>>(w, less(32), in, item_begin, item_end, y, ld_y);
  if constexpr (L <= Layout::kQ5)
    if (w.int_table == nullptr) return run_int_codes<L, SixBitDot<0>>(w, less(0), in, item_begin, item_end, y, ld_y);
  if constexpr (L <= Layout::kQ4) {
    if (w.int_table_high != nullptr) {
      std::uint8_t low[16];
      std::uint8_t high[16];
      for (int i = 0; i < 16; ++i) {
        low[i] = w.int_table[i] ^ 0x80;
        high[i] = w.int_table_high[i] ^ 0x80;
      }
      const IntCodes codes{low, w.int_bias - 0x8080, high};
      return run_int_codes<L, TwoTableDot<ByteDot<false>>>(w, codes, in, item_begin, item_end, y, ld_y);
    }
    const CentredTable table = centre_table(w.int_table, 1 << (kBlockBytes<L> / 64));
    const IntCodes codes{table.bytes, w.int_bias - table.centre, nullptr};
    if (table.six_bits) return run_int_codes<L, SixBitDot<0>>(w, codes, in, item_begin, item_end, y, ld_y);
    return run_int_codes<L, ByteDot<false>>(w, codes, in, item_begin, item_end, y, ld_y);
  }
}

constexpr std::uint32_t kNeeds = kNeon;

constexpr MatmulKernel kKernels[] = {
    {"matmul_q1_q8g32_neon", Layout::kQ1, true, kNeeds, run_int8<Layout::kQ1>},
    {"matmul_q2_q8g32_neon", Layout::kQ2, true, kNeeds, run_int8<Layout::kQ2>},
    {"matmul_q3_q8g32_neon", Layout::kQ3, true, kNeeds, run_int8<Layout::kQ3>},
    {"matmul_q4_q8g32_neon", Layout::kQ4, true, kNeeds, run_int8<Layout::kQ4>},
    {"matmul_q5_q8g32_neon", Layout::kQ5, true, kNeeds, run_int8<Layout::kQ5>},
    {"matmul_q6_q8g32_neon", Layout::kQ6, true, kNeeds, run_int8<Layout::kQ6>},
    {"matmul_q8_q8g32_neon", Layout::kQ8, true, kNeeds, run_int8<Layout::kQ8>},
    {"matmul_q1_f32_neon", Layout::kQ1, false, kNeeds, run_f32<Layout::kQ1>},
    {"matmul_q2_f32_neon", Layout::kQ2, false, kNeeds, run_f32<Layout::kQ2>},
    {"matmul_q3_f32_neon", Layout::kQ3, false, kNeeds, run_f32<Layout::kQ3>},
    {"matmul_q4_f32_neon", Layout::kQ4, false, kNeeds, run_f32<Layout::kQ4>},
    {"matmul_q5_f32_neon", Layout::kQ5, false, kNeeds, run_f32<Layout::kQ5>},
    {"matmul_q6_f32_neon", Layout::kQ6, false, kNeeds, run_f32<Layout::kQ6>},
    {"matmul_q8_f32_neon", Layout::kQ8, false, kNeeds, run_f32<Layout::kQ8>},
    {"matmul_e4m3_f32_neon", Layout::kE4m3, false, kNeeds, run_f32<Layout::kE4m3>},
    {"matmul_e5m2_f32_neon", Layout::kE5m2, false, kNeeds, run_f32<Layout::kE5m2>},
    {"matmul_f16_f32_neon", Layout::kF16, false, kNeeds, run_f32<Layout::kF16>},
    {"matmul_bf16_f32_neon", Layout::kBf16, false, kNeeds, run_f32<Layout::kBf16>},
    {"matmul_f32_f32_neon", Layout::kF32, false, kNeeds, run_f32<Layout::kF32>},
    {"matmul_generic_f32_neon", Layout::kGeneric, false, kNeeds, run_f32<Layout::kGeneric>},
};

}  // namespace

const KernelTable kMatmulKernels = {
    kKernels, sizeof(kKernels) / sizeof(kKernels[0]), {"quantize_q8g32_neon", kNeeds, quantize}};

}  // namespace nibble::kernel::neon
