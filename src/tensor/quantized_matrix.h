// QuantizedMatrix: a scheme and its codes, scales, zeros, offsets and tables for a range of rows, free of any file's
// packing order. dequantize() is the definition of what a scheme means; kernels and families are tested against it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "tensor/quant_scheme.h"

namespace nibble {

/// The entries of a plane that a range of rows needs.
struct PlaneData {
  std::int64_t first_entry = 0;     ///< number (in the whole matrix) of the first entry held
  std::int64_t first_outer = 0;     ///< nested: number of the first outer scale held
  std::vector<std::byte> entries;   ///< plain: PlaneFormat::element, one per entry
  std::vector<std::uint8_t> codes;  ///< nested: one code per entry
  std::vector<std::byte> outer;     ///< nested: NestedFormat::outer, one per entries_per_outer entries
  std::vector<float> table;         ///< nested with TableKind::kStored: 2^bits values
  float constant = 0.0f;            ///< nested with has_constant
  bool operator==(const PlaneData&) const = default;
};

/// What a supplement holds for a range of rows.
struct SupplementData {
  std::vector<std::int32_t> columns;  ///< the kept ones, ascending
  std::vector<std::byte> kept;        ///< kept_element [row_count, columns]
  std::vector<std::byte> kept_scale;  ///< with kI8: f16 [row_count]
  std::vector<std::byte> left;        ///< f16 [row_count, rank]
  std::vector<std::byte> right;       ///< f16 [rank, cols], whatever the rows
  bool operator==(const SupplementData&) const = default;
};

/// Rows [row_begin, row_begin + row_count) of a rows x cols matrix.
struct QuantizedMatrix {
  QuantScheme scheme;
  std::int64_t rows = 0;  ///< of the whole matrix
  std::int64_t cols = 0;
  std::int64_t row_begin = 0;
  std::int64_t row_count = 0;

  std::vector<std::uint8_t> codes;  ///< row_count x cols codes of code_bytes() bytes each, row-major
  PlaneData scale;
  PlaneData zero;  ///< kInteger: i16 entries; kReal: float entries
  PlaneData offset;
  std::vector<float> tables;              ///< kStored: 2^bits values per table entry held; or the bank
  std::int64_t first_table = 0;           ///< number of the first table entry held
  std::vector<std::uint8_t> selector;     ///< with a bank: one index per table entry held
  std::vector<std::int32_t> group_index;  ///< kIndexed: one group per column, cols of them
  SupplementData supplement;

  /// Gives every part the size that its scheme asks for on rows [begin, begin + count) and zeroes it.
  void allocate(const QuantScheme& new_scheme, std::int64_t total_rows, std::int64_t total_cols, std::int64_t begin,
                std::int64_t count);

  /// Sizes match the scheme; codes, group indices and selectors are within range. For matrices decoded from files.
  Status validate() const;
};

/// First entry and number of entries of a plane with this grouping that rows [begin, begin + count) touch.
struct EntryRange {
  std::int64_t first = 0;
  std::int64_t count = 0;
};
EntryRange entry_range(const Grouping& grouping, std::int64_t rows, std::int64_t cols, std::int64_t begin,
                       std::int64_t count);

/// out[e] = entry number data.first_entry + e as float32, for every entry held.
void decode_plane(const PlaneFormat& format, const PlaneData& data, std::span<float> out);

/// Entries held by `data` under `format`.
std::int64_t plane_entries_held(const PlaneFormat& format, const PlaneData& data);

/// The values of a constant table; empty for kNone and kStored.
std::span<const float> table_values(TableKind kind);

/// out [row_count, cols] float32, row-major: the value of every weight, computed exactly as quant_scheme.h states.
void dequantize(const QuantizedMatrix& matrix, float* out);

/// A matrix as some file or method holds it, decoded on demand. Reading from several threads at once is safe.
class MatrixSource {
 public:
  virtual ~MatrixSource() = default;

  virtual const QuantScheme& scheme() const = 0;
  virtual std::int64_t rows() const = 0;
  virtual std::int64_t cols() const = 0;

  /// Fills `out` with rows [row_begin, row_begin + row_count), reusing its buffers. Ranges must begin at a multiple of
  /// row_step() and end at one or at rows().
  virtual Status decode(std::int64_t row_begin, std::int64_t row_count, QuantizedMatrix& out) const = 0;

  /// Rows that must be decoded together: the block height of block scales, else 1.
  virtual std::int64_t row_step() const { return 1; }

  /// Called when a range of rows will not be read again, so that mapped pages can leave memory.
  virtual void release(std::int64_t row_begin, std::int64_t row_count) const {
    (void)row_begin;
    (void)row_count;
  }
};

using MatrixPtr = std::shared_ptr<const MatrixSource>;

/// A QuantizedMatrix that holds all rows, as a source.
MatrixPtr make_source(QuantizedMatrix matrix);

}  // namespace nibble
