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

/// A fold of a panel's rows: its planes.
struct FoldPlanes {
  FoldEntries scale;
  FoldEntries zero;
  FoldEntries offset;
};

/// Fold f of a block, whose unsigned integers are u, times one part of the activations of block `at`.
void add_fold(const PackedView& w, const FoldPlanes& planes, const std::int32_t* u, const Int8Part& part,
              std::int64_t at, int f, int rows, float* acc) {
  const std::int8_t* q = part.q + at * kBlockCols;
  const float q_scale = part.scale[at];
  const std::int32_t sum = w.fold == 32 ? part.sum32[at] : part.sum16[2 * at + f];
  for (int row = 0; row < rows; ++row) {
    std::int32_t dot = 0;
    for (int k = f * w.fold; k < (f + 1) * w.fold; ++k) dot += u[64 * (k / 4) + 4 * row + k % 4] * q[k];
    float d = static_cast<float>(dot - w.int_bias * sum);
    if (w.zero.kind != PlaneKind::kNone) d = std::fma(-planes.zero.row[row], static_cast<float>(sum), d);
    acc[row] = std::fma(d, (planes.scale.row[row] * w.int_scale) * q_scale, acc[row]);
    if (w.offset.kind != PlaneKind::kNone)
      acc[row] = std::fma(planes.offset.row[row], q_scale * static_cast<float>(sum), acc[row]);
  }
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
    FoldPlanes planes[2];
    for (int f = 0; f < folds; ++f) {
      const std::int64_t col = b * kBlockCols + f * w.fold;
      planes[f] = {fold_entries(w, w.scale, panel, col, 1.0f), fold_entries(w, w.zero, panel, col, 0.0f),
                   fold_entries(w, w.offset, panel, col, 0.0f)};
    }
    for (std::int64_t t = 0; t < input.tokens; ++t) {
      float* acc = y + t * ld_y + panel_number * kPanelRows;
      for (int p = 0; p <= input.has_rest[t * input.blocks + b]; ++p)
        for (int f = 0; f < folds; ++f) add_fold(w, planes[f], u, input.part[p], t * input.blocks + b, f, rows, acc);
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

/// The nearest integer, ties to even: adding 1.5 * 2^23 leaves it in the low mantissa bits.
std::int32_t round_to_even(float x) { return std::bit_cast<std::int32_t>(x + 12582912.0f) - 0x4B400000; }

/// Codes of a block, from x * 127 / m for each column.
template <typename Code>
void quantize_block(const InputView& in, std::int64_t t, std::int64_t b, int p, float inverse, Code code) {
  const std::int64_t at = t * in.blocks + b;
  const Int8Part& part = in.part[p];
  std::int32_t sums[2] = {0, 0};
  for (int k = 0; k < kBlockCols; ++k) {
    const std::int64_t col = b * kBlockCols + k;
    const std::int32_t q = col < in.cols && inverse != 0.0f ? code(in.x[t * in.ld + col] * inverse) : 0;
    part.q[at * kBlockCols + k] = static_cast<std::int8_t>(q);
    sums[k / 16] += q;
  }
  part.sum32[at] = sums[0] + sums[1];
  part.sum16[2 * at] = sums[0];
  part.sum16[2 * at + 1] = sums[1];
}

/// The largest magnitude of a block; one beyond those of floats where a value is no number.
std::uint32_t largest_magnitude(const InputView& in, std::int64_t t, std::int64_t b) {
  std::uint32_t largest = 0;
  for (std::int64_t col = b * kBlockCols; col < in.cols && col < (b + 1) * kBlockCols; ++col) {
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(in.x[t * in.ld + col]) & 0x7FFFFFFFu;
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

void quantize_token(const InputView& in, std::int64_t t) {
  constexpr std::uint32_t kInfinity = 0x7F800000u;
  const auto magnitude = [&](std::int64_t b) {
    const std::uint32_t largest = largest_magnitude(in, t, b);
    const float m = std::bit_cast<float>(largest);
    return largest >= kInfinity || m < kLeastMagnitude ? 0.0f : m;
  };
  float sum = 0.0f;
  for (std::int64_t b = 0; b < in.blocks; ++b) sum += magnitude(b);
  for (std::int64_t b = 0; b < in.blocks; ++b) {
    const std::int64_t at = t * in.blocks + b;
    const float m = magnitude(b);
    const float inverse = m == 0.0f ? 0.0f : 127.0f / m;
    quantize_block(in, t, b, 0, inverse, round_to_even);
    in.part[0].scale[at] = largest_magnitude(in, t, b) >= kInfinity ? std::bit_cast<float>(0x7FC00000u) : m / 127.0f;
    const bool has_rest = m * static_cast<float>(in.blocks) > kRestFrom * sum;
    in.has_rest[at] = has_rest ? 1 : 0;
    quantize_block(in, t, b, 1, has_rest ? inverse : 0.0f,
                   [](float x) { return round_to_even((x - static_cast<float>(round_to_even(x))) * kRestSteps); });
    in.part[1].scale[at] = has_rest ? m / 127.0f / kRestSteps : 0.0f;
  }
}

void quantize(const InputView& input, std::int64_t begin, std::int64_t end) noexcept {
  for (std::int64_t t = begin; t < end; ++t) quantize_token(input, t);
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
