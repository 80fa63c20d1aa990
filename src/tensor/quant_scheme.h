// QuantScheme: what the numbers of a matrix mean, as data. With QuantizedMatrix it is the hub that every checkpoint
// family and every quantization method meets in (docs/design.md, section 1).
//
//   value[r, c] = (scale[gs] * x) * post_scale + offset[go]      x = table[code]  or  code - bias - zero[gz]
//
// in float32, in this order; each plane (scale, zero, offset) has its own grouping gs, gz, go of the weights. What a
// supplement holds is added to that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "format/element_type.h"

namespace nibble {

/// Which weights share an entry of a plane. Entries are numbered row by row (of groups) from 0.
struct Grouping {
  enum class Kind : std::uint8_t {
    kTensor,   ///< one entry for all
    kRow,      ///< one per output row ("channel")
    kColumns,  ///< per row, runs of `size` input columns; the last run may be short
    kBlock,    ///< blocks of `rows` x `size`; the last of either may be short
    kFlat,     ///< runs of `size` weights in row-major order, which may cross rows
    kStrided,  ///< weight i (row-major) belongs to entry i mod (rows * cols / size): HQQ's axis 0
    kIndexed,  ///< per row, `size` groups; column c belongs to QuantizedMatrix::group_index[c] (GPTQ's g_idx)
  };
  Kind kind = Kind::kRow;
  std::int64_t size = 0;
  std::int64_t rows = 1;

  static Grouping tensor() { return {Kind::kTensor, 0, 1}; }
  static Grouping row() { return {Kind::kRow, 0, 1}; }
  static Grouping columns(std::int64_t g) { return {Kind::kColumns, g, 1}; }
  static Grouping block(std::int64_t r, std::int64_t c) { return {Kind::kBlock, c, r}; }
  static Grouping flat(std::int64_t b) { return {Kind::kFlat, b, 1}; }
  static Grouping indexed(std::int64_t groups) { return {Kind::kIndexed, groups, 1}; }

  bool operator==(const Grouping&) const = default;

  /// Number of entries for a matrix of the given shape.
  std::int64_t entries(std::int64_t matrix_rows, std::int64_t matrix_cols) const;
  /// Entries per row of groups: per matrix row for kRow, kColumns and kIndexed; per row of blocks for kBlock; else all.
  std::int64_t entries_per_row(std::int64_t matrix_rows, std::int64_t matrix_cols) const;
  /// The entry of weight (r, c); `group_index` is used by kIndexed only.
  std::int64_t entry(std::int64_t r, std::int64_t c, std::int64_t matrix_rows, std::int64_t matrix_cols,
                     const std::int32_t* group_index) const;
  /// Each row (or row of blocks) has entries of its own, so that a range of rows is a range of entries.
  bool row_aligned() const { return kind != Kind::kTensor && kind != Kind::kFlat && kind != Kind::kStrided; }
};

/// Constant value tables, and how a table of the matrix's own is kept.
enum class TableKind : std::uint8_t {
  kNone,
  kNf4,       ///< bitsandbytes' NormalFloat4, 16 values
  kFp4,       ///< bitsandbytes' FP4, 16 values, not E2M1
  kIq4,       ///< ggml's 16 int8 values of IQ4_NL and IQ4_XS
  kBinary,    ///< {-1, 1}
  kTernary,   ///< {-1, 0, 1}: base-3 digits (TQ1_0); 2-bit ternary codes are integers with bias 1
  kIq1,       ///< {-1, 0, 1} + 0.125, then {-1, 0, 1} - 0.125: code = grid + 1 (+ 3 when the delta is negative)
  kIq2,       ///< {8, 25, 43}, then their negatives: IQ2_XXS and IQ2_XS
  kIq2S,      ///< the same values in IQ2_S's larger grid
  kIq3Xxs,    ///< {4, 12, 20, 28, 36, 44, 52, 62}, then their negatives
  kIq3S,      ///< {1, 3, ..., 15}, then their negatives
  kDynamic8,  ///< bitsandbytes' signed 8-bit dynamic map, 256 values; for nested planes
  kHalfStep,  ///< 0.5, 1.5, ... 15.5: the scales of IQ2 and IQ3_XXS, for nested planes
  kOdd,       ///< 1, 3, 5, ... 31: the scales of IQ1 and IQ3_S, for nested planes
  kStored,    ///< in QuantizedMatrix::tables (PlaneData::table for a nested plane)
};

/// How one code is read as a number.
struct CodeFormat {
  enum class Kind : std::uint8_t {
    kInteger,  ///< unsigned, `bits` wide; value = code - bias
    kFloat,  ///< `float_type`: f32, f16, bf16 (a float matrix), e4m3, e5m2, or kF4 (e2m1, one code per byte in the hub)
    kTable,  ///< an index into a table of 2^bits values
  };
  Kind kind = Kind::kInteger;
  std::uint8_t bits = 8;
  std::int32_t bias = 0;
  ElementType float_type = ElementType::kF32;
  TableKind table = TableKind::kNone;

  static CodeFormat integer(int bits, int bias) {
    return {Kind::kInteger, static_cast<std::uint8_t>(bits), bias, ElementType::kF32, TableKind::kNone};
  }
  static CodeFormat floating(ElementType type) {
    return {Kind::kFloat, static_cast<std::uint8_t>(element_info(type).bits), 0, type, TableKind::kNone};
  }
  static CodeFormat indexed(TableKind table, int bits) {
    return {Kind::kTable, static_cast<std::uint8_t>(bits), 0, ElementType::kF32, table};
  }
  bool operator==(const CodeFormat&) const = default;

  /// Bytes per code in QuantizedMatrix::codes: 1, or 2 and 4 for f16, bf16 and f32.
  int code_bytes() const;
};

/// A plane whose entries are quantized themselves, one level deep:
///   entry[e] = outer[e / entries_per_outer] * value(code[e]) + constant          (or outer dividing)
struct NestedFormat {
  CodeFormat code;  ///< integer, e4m3, or table
  ElementType outer = ElementType::kF16;
  std::int64_t entries_per_outer = 0;  ///< 0: one outer scale for the whole plane
  bool outer_divides = false;          ///< entry = value(code) / outer (compressed-tensors NVFP4)
  bool has_constant = false;           ///< PlaneData::constant is added (bitsandbytes' nested_offset)
  bool operator==(const NestedFormat&) const = default;
};

/// One of scale, zero or offset: who shares an entry, and how an entry is stored.
struct PlaneFormat {
  Grouping grouping;
  ElementType element = ElementType::kF16;  ///< of a plain plane
  bool divides = false;                     ///< scale only: x / entry instead of x * entry
  std::optional<NestedFormat> nested;
  bool operator==(const PlaneFormat&) const = default;
};

/// The table of a matrix that brings its own (codebooks), or picks one of a bank.
struct TableFormat {
  Grouping grouping = Grouping::tensor();   ///< one table per tensor, row, or run of columns
  ElementType element = ElementType::kF16;  ///< how its values are stored
  /// With a selector, `tables` is a bank of bank_size tables and QuantizedMatrix::selector picks one per entry.
  std::int32_t bank_size = 0;
  bool operator==(const TableFormat&) const = default;
};

enum class ZeroKind : std::uint8_t {
  kNone,
  kInteger,  ///< an integer point, up to 16 bits wide
  kReal,     ///< a real number subtracted before scaling (HQQ)
};

/// What is done to the input of the matrix product.
struct ActivationScheme {
  enum class Kind : std::uint8_t { kNone, kDynamic, kStatic };
  Kind kind = Kind::kNone;
  ElementType element = ElementType::kI8;  ///< kI8, kE4m3, kF4
  int bits = 8;                            ///< 8, or 4 for int4
  bool symmetric = true;
  std::int64_t group = 0;       ///< dynamic: 0 per token, else per group of this many columns; static: per tensor
  float outlier_threshold = 0;  ///< > 0: columns whose magnitude exceeds it are multiplied in 16 bits (LLM.int8())
  bool operator==(const ActivationScheme&) const = default;
};

/// What is added to the values of the codes: for some columns what the codes leave, and a product of low rank:
///
///   + kept[r, i] in kept column number i,  + left[r, j] * right[j, c] for each j < rank
struct SupplementFormat {
  std::int32_t kept_parts = 0;                   ///< columns kept, of 10,000; at least one where this is not 0
  ElementType kept_element = ElementType::kF16;  ///< kF16; or kI8, with an f16 scale per row
  std::int32_t rank = 0;                         ///< of the product, whose factors are f16
  bool operator==(const SupplementFormat&) const = default;

  bool empty() const { return kept_parts == 0 && rank == 0; }
  /// How many of a matrix's columns are kept.
  std::int64_t kept_columns(std::int64_t cols) const;
};

struct QuantScheme {
  CodeFormat code = CodeFormat::floating(ElementType::kF32);
  TableFormat table;                 ///< meaningful when code.table is kStored or a selector picks from a bank
  std::optional<PlaneFormat> scale;  ///< absent: 1
  ZeroKind zero_kind = ZeroKind::kNone;
  PlaneFormat zero;
  std::optional<PlaneFormat> offset;  ///< absent: 0
  float post_scale = 1.0f;            ///< a constant factor after the scale (LLM.int8()'s 1/127)
  ActivationScheme activations;
  SupplementFormat supplement;

  bool operator==(const QuantScheme&) const = default;

  /// A matrix of plain floats: f32, f16 or bf16.
  bool is_float() const { return code.kind == CodeFormat::Kind::kFloat && code.code_bytes() > 1; }

  /// Bits that a matrix of this shape stores, all planes and tables included; every question about size comes here.
  std::int64_t stored_bits(std::int64_t rows, std::int64_t cols) const;
  std::int64_t stored_bytes(std::int64_t rows, std::int64_t cols) const { return (stored_bits(rows, cols) + 7) / 8; }
  double bits_per_weight(std::int64_t rows, std::int64_t cols) const {
    return static_cast<double>(stored_bits(rows, cols)) / (static_cast<double>(rows) * static_cast<double>(cols));
  }

  static QuantScheme of_float(ElementType type);
  /// The scheme without its supplement.
  QuantScheme codes_alone() const;

  /// Refuses what cannot be: bits outside 1..8, groups below 1, a table code without a table.
  Status validate() const;
};

/// Parses `CODE-GROUPING[-sym|-asym][-dq][-scale:T][-keep8:P%|-keep16:P%][-rankN][+ACT]` or the name of a GGUF type or
/// float type ("q4_k", "bf16"). The error lists the known codes and groupings.
Result<QuantScheme> parse_scheme(std::string_view text);

/// The one canonical short name; a structure that the grammar cannot say prints as its GGUF type, or spelled out.
std::string to_string(const QuantScheme& scheme);

}  // namespace nibble
