// StoredMatrix: a MatrixSource put together from functions that read codes and plane entries out of stored tensors. A
// family says only where its bytes are; ranges, nested planes and tables are handled here once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "io/stored_tensor.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// Bytes of a tensor and the mapping that keeps them alive.
struct HeldBytes {
  std::span<const std::byte> bytes;
  MappedFile::Ptr file;

  HeldBytes() = default;
  explicit HeldBytes(const StoredTensor& tensor) : bytes(tensor.bytes), file(tensor.file) {}
  const std::byte* data() const { return bytes.data(); }
};

/// Writes the entries of `range` to `out`, in the hub's order and element type.
using EntryReader = std::function<void(const EntryRange& range, std::byte* out)>;

/// Writes the codes of rows [begin, begin + count), one per byte. May fail on bytes that are no code of the format.
using CodeReader = std::function<Status(std::int64_t begin, std::int64_t count, std::uint8_t* codes)>;

struct PlaneReaders {
  EntryReader entries;       ///< of a plain plane
  EntryReader codes;         ///< of a nested plane: one byte per entry
  EntryReader outer;         ///< of a nested plane
  std::vector<float> table;  ///< of a nested plane with TableKind::kStored
  float constant = 0.0f;     ///< of a nested plane with has_constant
};

/// A supplement's tensors, row-major and complete, with its columns checked by the family.
struct SupplementParts {
  std::vector<std::int32_t> columns;
  HeldBytes kept;
  HeldBytes kept_scale;
  HeldBytes left;
  HeldBytes right;
};

struct StoredParts {
  QuantScheme scheme;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t row_step = 1;
  CodeReader codes;
  PlaneReaders scale;
  PlaneReaders zero;
  PlaneReaders offset;
  std::function<void(const EntryRange& range, float* out)> tables;  ///< of stored tables: entries of the table
                                                                    ///< grouping; of a bank: all of it
  EntryReader selector;                                             ///< with a bank: one byte per entry
  std::vector<std::int32_t> group_index;                            ///< checked by the family
  SupplementParts supplement;
  std::vector<HeldBytes> by_rows;    ///< tensors whose bytes lie in row order; released with the rows
  std::vector<HeldBytes> by_matrix;  ///< others; released when all rows are
};

/// The parts must be complete and every size checked: the readers are called for any entry that the scheme has.
MatrixPtr make_stored_matrix(StoredParts parts);

/// Entries that are stored one after another in the hub's order.
EntryReader entries_in_order(HeldBytes bytes, std::size_t entry_bytes);

/// Entry (row r, group g) is stored at [g * pitch + r]; the hub numbers it r * groups + g.
EntryReader entries_transposed(HeldBytes bytes, std::size_t entry_bytes, std::int64_t groups, std::int64_t pitch);

/// Entry (row r, group g) is stored at [r * pitch + g]: rows of groups with padding behind them.
EntryReader entries_padded(HeldBytes bytes, std::size_t entry_bytes, std::int64_t groups, std::int64_t pitch);

/// Integer zero points as the hub holds them (i16), from a function that gives entry e.
EntryReader zero_entries(std::function<std::int32_t(std::int64_t entry)> value);

/// Rows of dense streams of `bits`, each row `row_bytes` long.
CodeReader packed_rows(HeldBytes bytes, int bits, std::int64_t cols, std::uint64_t row_bytes);

/// Codes stored one per byte, row-major; `flip` is XORed in (0x80 turns two's complement into the excess-128 code).
CodeReader byte_rows(HeldBytes bytes, std::int64_t cols, std::uint8_t flip = 0);

/// The entries of a plane that encoding rows [begin, begin + count) writes: those whose first weight lies in them, so
/// that ranges given in order write each entry once.
EntryRange owned_entries(const Grouping& grouping, std::int64_t rows, std::int64_t cols, std::int64_t begin,
                         std::int64_t count);

/// The outer scales of a nested plane that go with `owned` entries: those whose first entry is among them; the only one
/// of a plane goes with the first rows.
EntryRange owned_outers(const NestedFormat& nested, const EntryRange& owned, bool first_rows);

}  // namespace nibble
