// The portable matmul kernels: plain loops over blocks of 32 columns, the definition that others are tested against.
#include <bit>
#include <cmath>
#include <cstring>

#include "kernel/matmul/generic_rows.h"
#include "kernel/matmul/matmul_tables.h"
#include "kernel/matmul/packed_access.h"

namespace nibble::kernel::reference {
namespace {

/// codes[i] of one block, numbered as in packed_view.h.
void unpack_block(Layout layout, const std::uint8_t* block, std::uint8_t* codes) {
  int shift = 0;
  std::memset(codes, 0, 512);
  for (const int bits : bit_planes(layout).bits) {
    if (bits == 0) break;
    const int bytes = 64 * bits;
    const unsigned mask = (1u << bits) - 1u;
    for (int part = 0; part < 8 / bits; ++part)
      for (int i = 0; i < bytes; ++i)
        codes[part * bytes + i] = static_cast<std::uint8_t>(
            codes[part * bytes + i] | (((static_cast<unsigned>(block[i]) >> (bits * part)) & mask) << shift));
    block += bytes;
    shift += bits;
  }
}

/// The entries of a plane for one fold of a panel's rows.
struct FoldEntries {
  float row[kPanelRows];
};
FoldEntries fold_entries(const PackedView& w, const PlaneView& plane, const std::uint8_t* panel, std::int64_t col,
                         float absent) {
  FoldEntries entries;
  for (int row = 0; row < kPanelRows; ++row)
    entries.row[row] = plane.kind == PlaneKind::kNone ? absent : plane_entry(w, plane, panel, row, col);
  return entries;
}

/// Rows of the panel that exist.
int rows_in_panel(const PackedView& w, std::int64_t panel) {
  const std::int64_t left = w.rows - panel * kPanelRows;
  return left < kPanelRows ? static_cast<int>(left) : kPanelRows;
}

void integer_panel(const PackedView& w, const InputView& input, std::int64_t panel_number, float* y,
                   std::int64_t ld_y) {
  const std::uint8_t* panel = w.data + panel_number * w.panel_bytes;
  const int rows = rows_in_panel(w, panel_number);
  const int folds = kBlockCols / w.fold;
  std::uint8_t codes[512];
  std::int32_t u[512];
  for (std::int64_t b = 0; b < input.blocks; ++b) {
    unpack_block(w.layout, panel + block_position(w, b), codes);
    for (int i = 0; i < 512; ++i) {
      u[i] = w.int_table != nullptr ? w.int_table[codes[i]] : codes[i];
      if (w.int_table_high != nullptr) u[i] += 256 * w.int_table_high[codes[i]];
    }
    for (int f = 0; f < folds; ++f) {
      const std::int64_t col = b * kBlockCols + f * w.fold;
      const FoldEntries scale = fold_entries(w, w.scale, panel, col, 1.0f);
      const FoldEntries zero = fold_entries(w, w.zero, panel, col, 0.0f);
      const FoldEntries offset = fold_entries(w, w.offset, panel, col, 0.0f);
      for (std::int64_t t = 0; t < input.tokens; ++t) {
        const std::int8_t* q = input.q + (t * input.blocks + b) * kBlockCols;
        const float q_scale = input.scale[t * input.blocks + b];
        const std::int32_t sum =
            folds == 1 ? input.sum32[t * input.blocks + b] : input.sum16[2 * (t * input.blocks + b) + f];
        for (int row = 0; row < rows; ++row) {
          std::int32_t dot = 0;
          for (int k = f * w.fold; k < (f + 1) * w.fold; ++k) dot += u[64 * (k / 4) + 4 * row + k % 4] * q[k];
          float d = static_cast<float>(dot - w.int_bias * sum);
          if (w.zero.kind != PlaneKind::kNone) d = std::fma(-zero.row[row], static_cast<float>(sum), d);
          float& acc = y[t * ld_y + panel_number * kPanelRows + row];
          acc = std::fma(d, (scale.row[row] * w.int_scale) * q_scale, acc);
          if (w.offset.kind != PlaneKind::kNone)
            acc = std::fma(offset.row[row], q_scale * static_cast<float>(sum), acc);
        }
      }
    }
  }
}

void float_block(const PackedView& w, std::int64_t panel_number, std::int64_t b, float* slab) {
  if (w.layout == Layout::kGeneric) {
    generic_block(w, panel_number * kPanelRows, b * kBlockCols, slab);
    return;
  }
  const std::uint8_t* panel = w.data + panel_number * w.panel_bytes;
  for (int k = 0; k < kBlockCols; ++k)
    for (int row = 0; row < kPanelRows; ++row)
      slab[kPanelRows * k + row] = packed_weight(w, panel, row, b * kBlockCols + k);
}

void float_panel(const PackedView& w, const InputView& input, std::int64_t panel_number, float* y, std::int64_t ld_y) {
  const int rows = rows_in_panel(w, panel_number);
  float slab[kBlockCols * kPanelRows];
  for (std::int64_t b = 0; b < input.blocks; ++b) {
    float_block(w, panel_number, b, slab);
    const std::int64_t begin = b * kBlockCols;
    const std::int64_t count = input.cols - begin < kBlockCols ? input.cols - begin : kBlockCols;
    for (std::int64_t t = 0; t < input.tokens; ++t) {
      const float* x = input.x + t * input.ld + begin;
      float* acc = y + t * ld_y + panel_number * kPanelRows;
      for (std::int64_t k = 0; k < count; ++k)
        for (int row = 0; row < rows; ++row) acc[row] = std::fma(slab[kPanelRows * k + row], x[k], acc[row]);
    }
  }
}

template <auto Panel>
void run(const PackedView& w, const InputView& input, std::int64_t item_begin, std::int64_t item_end, float* y,
         std::int64_t ld_y) noexcept {
  const std::int64_t panels = (w.rows + kPanelRows - 1) / kPanelRows;
  for (std::int64_t p = item_begin * kPanelsPerItem; p < item_end * kPanelsPerItem && p < panels; ++p) {
    const int rows = rows_in_panel(w, p);
    for (std::int64_t t = 0; t < input.tokens; ++t)
      for (int row = 0; row < rows; ++row) y[t * ld_y + p * kPanelRows + row] = 0.0f;
    Panel(w, input, p, y, ld_y);
  }
}

void quantize_block(const InputView& in, std::int64_t t, std::int64_t b) {
  const std::int64_t begin = b * kBlockCols;
  const int count = static_cast<int>(in.cols - begin < kBlockCols ? in.cols - begin : kBlockCols);
  const float* x = in.x + t * in.ld + begin;
  std::uint32_t largest = 0;
  for (int k = 0; k < count; ++k) {
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(x[k]) & 0x7FFFFFFFu;
    largest = magnitude > largest ? magnitude : largest;
  }
  const float m = std::bit_cast<float>(largest);
  const bool finite = largest < 0x7F800000u;
  const bool zero = !finite || m < 0x1p-100f;
  const float inverse = zero ? 0.0f : 127.0f / m;
  std::int8_t* q = in.q + (t * in.blocks + b) * kBlockCols;
  std::int32_t sums[2] = {0, 0};
  for (int k = 0; k < kBlockCols; ++k) {
    // Adding 1.5 * 2^23 leaves the nearest even integer in the low mantissa bits.
    const float shifted = (k < count && !zero ? x[k] * inverse : 0.0f) + 12582912.0f;
    const std::int32_t code = std::bit_cast<std::int32_t>(shifted) - 0x4B400000;
    q[k] = static_cast<std::int8_t>(code);
    sums[k / 16] += code;
  }
  in.scale[t * in.blocks + b] = !finite ? std::bit_cast<float>(0x7FC00000u) : zero ? 0.0f : m / 127.0f;
  in.sum32[t * in.blocks + b] = sums[0] + sums[1];
  in.sum16[2 * (t * in.blocks + b)] = sums[0];
  in.sum16[2 * (t * in.blocks + b) + 1] = sums[1];
}

void quantize(const InputView& input, std::int64_t begin, std::int64_t end) noexcept {
  for (std::int64_t t = begin; t < end; ++t)
    for (std::int64_t b = 0; b < input.blocks; ++b) quantize_block(input, t, b);
}

constexpr MatmulKernel kKernels[] = {
    {"matmul_q1_q8g32_portable", Layout::kQ1, true, 0, run<integer_panel>},
    {"matmul_q2_q8g32_portable", Layout::kQ2, true, 0, run<integer_panel>},
    {"matmul_q3_q8g32_portable", Layout::kQ3, true, 0, run<integer_panel>},
    {"matmul_q4_q8g32_portable", Layout::kQ4, true, 0, run<integer_panel>},
    {"matmul_q5_q8g32_portable", Layout::kQ5, true, 0, run<integer_panel>},
    {"matmul_q6_q8g32_portable", Layout::kQ6, true, 0, run<integer_panel>},
    {"matmul_q8_q8g32_portable", Layout::kQ8, true, 0, run<integer_panel>},
    {"matmul_q1_f32_portable", Layout::kQ1, false, 0, run<float_panel>},
    {"matmul_q2_f32_portable", Layout::kQ2, false, 0, run<float_panel>},
    {"matmul_q3_f32_portable", Layout::kQ3, false, 0, run<float_panel>},
    {"matmul_q4_f32_portable", Layout::kQ4, false, 0, run<float_panel>},
    {"matmul_q5_f32_portable", Layout::kQ5, false, 0, run<float_panel>},
    {"matmul_q6_f32_portable", Layout::kQ6, false, 0, run<float_panel>},
    {"matmul_q8_f32_portable", Layout::kQ8, false, 0, run<float_panel>},
    {"matmul_e4m3_f32_portable", Layout::kE4m3, false, 0, run<float_panel>},
    {"matmul_e5m2_f32_portable", Layout::kE5m2, false, 0, run<float_panel>},
    {"matmul_f16_f32_portable", Layout::kF16, false, 0, run<float_panel>},
    {"matmul_bf16_f32_portable", Layout::kBf16, false, 0, run<float_panel>},
    {"matmul_f32_f32_portable", Layout::kF32, false, 0, run<float_panel>},
    {"matmul_generic_f32_portable", Layout::kGeneric, false, 0, run<float_panel>},
};

}  // namespace

const KernelTable kMatmulKernels = {
    kKernels, sizeof(kKernels) / sizeof(kKernels[0]), {"quantize_q8g32_portable", 0, quantize}};

}  // namespace nibble::kernel::reference
