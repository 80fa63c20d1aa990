// Decoding of row ranges from reader functions, and the reader functions that several families use.
#include "io/stored_matrix.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "io/bit_packing.h"

namespace nibble {
namespace {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

void read_plane(const PlaneFormat& format, const PlaneReaders& readers, PlaneData& data) {
  const EntryRange held{data.first_entry, plane_entries_held(format, data)};
  if (held.count == 0) return;
  if (!format.nested) {
    readers.entries(held, data.entries.data());
    return;
  }
  readers.codes(held, reinterpret_cast<std::byte*>(data.codes.data()));
  const std::size_t outer_bytes = static_cast<std::size_t>(element_info(format.nested->outer).bits) / 8;
  readers.outer({data.first_outer, static_cast<std::int64_t>(data.outer.size() / outer_bytes)}, data.outer.data());
  data.table = readers.table;
  data.constant = readers.constant;
}

/// Fills the supplement of the rows of `out`, which is allocated.
void read_supplement(const SupplementParts& parts, QuantizedMatrix& out) {
  SupplementData& data = out.supplement;
  data.columns = parts.columns;
  const auto rows = [&](const HeldBytes& held, std::vector<std::byte>& to) {
    const std::size_t row_bytes = to.size() / static_cast<std::size_t>(out.row_count);
    if (!to.empty())
      std::memcpy(to.data(), held.data() + static_cast<std::size_t>(out.row_begin) * row_bytes, to.size());
  };
  rows(parts.kept, data.kept);
  rows(parts.kept_scale, data.kept_scale);
  rows(parts.left, data.left);
  if (!data.right.empty()) std::memcpy(data.right.data(), parts.right.data(), data.right.size());
}

class StoredMatrix final : public MatrixSource {
 public:
  explicit StoredMatrix(StoredParts parts) : parts_(std::move(parts)) {}

  const QuantScheme& scheme() const override { return parts_.scheme; }
  std::int64_t rows() const override { return parts_.rows; }
  std::int64_t cols() const override { return parts_.cols; }
  std::int64_t row_step() const override { return parts_.row_step; }

  Status decode(std::int64_t begin, std::int64_t count, QuantizedMatrix& out) const override {
    NIBBLE_CHECK(begin >= 0 && count >= 0 && begin <= parts_.rows && count <= parts_.rows - begin);
    NIBBLE_CHECK(begin % parts_.row_step == 0);
    out.allocate(parts_.scheme, parts_.rows, parts_.cols, begin, count);
    if (count == 0) return {};
    NIBBLE_TRY_STATUS(parts_.codes(begin, count, out.codes.data()));
    const QuantScheme& scheme = parts_.scheme;
    if (scheme.scale) read_plane(*scheme.scale, parts_.scale, out.scale);
    if (scheme.zero_kind != ZeroKind::kNone) read_plane(scheme.zero, parts_.zero, out.zero);
    if (scheme.offset) read_plane(*scheme.offset, parts_.offset, out.offset);
    if (scheme.code.table == TableKind::kStored) {
      const auto held = static_cast<std::int64_t>(out.tables.size() >> scheme.code.bits);
      const bool bank = scheme.table.bank_size > 0;
      parts_.tables({bank ? 0 : out.first_table, held}, out.tables.data());
      if (bank)
        parts_.selector({out.first_table, static_cast<std::int64_t>(out.selector.size())},
                        reinterpret_cast<std::byte*>(out.selector.data()));
    }
    if (!out.group_index.empty()) out.group_index = parts_.group_index;
    if (!scheme.supplement.empty()) read_supplement(parts_.supplement, out);
    return {};
  }

  void release(std::int64_t begin, std::int64_t count) const override {
    if (parts_.rows == 0) return;
    for (const HeldBytes& held : parts_.by_rows) {
      if (held.file == nullptr || held.bytes.empty()) continue;
      const std::size_t row_bytes = held.bytes.size() / static_cast<std::size_t>(parts_.rows);
      const auto start = static_cast<std::size_t>(held.data() - held.file->bytes().data());
      held.file->release(start + static_cast<std::size_t>(begin) * row_bytes,
                         static_cast<std::size_t>(count) * row_bytes);
    }
    if (count != parts_.rows) return;
    for (const HeldBytes& held : parts_.by_matrix)
      if (held.file != nullptr)
        held.file->release(static_cast<std::size_t>(held.data() - held.file->bytes().data()), held.bytes.size());
  }

 private:
  StoredParts parts_;
};

}  // namespace

MatrixPtr make_stored_matrix(StoredParts parts) {
  NIBBLE_CHECK(parts.rows >= 0 && parts.cols >= 0 && parts.row_step >= 1 && parts.codes != nullptr);
  return std::make_shared<StoredMatrix>(std::move(parts));
}

EntryReader entries_in_order(HeldBytes bytes, std::size_t entry_bytes) {
  return [bytes = std::move(bytes), entry_bytes](const EntryRange& range, std::byte* out) {
    std::memcpy(out, bytes.data() + static_cast<std::size_t>(range.first) * entry_bytes,
                static_cast<std::size_t>(range.count) * entry_bytes);
  };
}

EntryReader entries_transposed(HeldBytes bytes, std::size_t entry_bytes, std::int64_t groups, std::int64_t pitch) {
  return [bytes = std::move(bytes), entry_bytes, groups, pitch](const EntryRange& range, std::byte* out) {
    std::int64_t row = range.first / groups;
    std::int64_t group = range.first % groups;
    for (std::int64_t e = 0; e < range.count; ++e, out += entry_bytes) {
      std::memcpy(out, bytes.data() + static_cast<std::size_t>(group * pitch + row) * entry_bytes, entry_bytes);
      if (++group == groups) group = 0, ++row;
    }
  };
}

EntryReader entries_padded(HeldBytes bytes, std::size_t entry_bytes, std::int64_t groups, std::int64_t pitch) {
  return [bytes = std::move(bytes), entry_bytes, groups, pitch](const EntryRange& range, std::byte* out) {
    for (std::int64_t e = range.first; e < range.first + range.count; ++e, out += entry_bytes)
      std::memcpy(out, bytes.data() + static_cast<std::size_t>(e / groups * pitch + e % groups) * entry_bytes,
                  entry_bytes);
  };
}

EntryReader zero_entries(std::function<std::int32_t(std::int64_t entry)> value) {
  return [value = std::move(value)](const EntryRange& range, std::byte* out) {
    for (std::int64_t e = 0; e < range.count; ++e) {
      const auto zero = static_cast<std::int16_t>(value(range.first + e));
      std::memcpy(out + 2 * e, &zero, 2);
    }
  };
}

CodeReader packed_rows(HeldBytes bytes, int bits, std::int64_t cols, std::uint64_t row_bytes) {
  return [bytes = std::move(bytes), bits, cols, row_bytes](std::int64_t begin, std::int64_t count,
                                                           std::uint8_t* codes) -> Status {
    for (std::int64_t r = 0; r < count; ++r)
      unpack_bits(bytes.data() + static_cast<std::uint64_t>(begin + r) * row_bytes, bits,
                  static_cast<std::size_t>(cols), codes + r * cols);
    return {};
  };
}

CodeReader byte_rows(HeldBytes bytes, std::int64_t cols, std::uint8_t flip) {
  return [bytes = std::move(bytes), cols, flip](std::int64_t begin, std::int64_t count, std::uint8_t* codes) -> Status {
    const std::byte* from = bytes.data() + begin * cols;
    const auto n = static_cast<std::size_t>(count * cols);
    if (flip == 0) {
      std::memcpy(codes, from, n);
    } else {
      for (std::size_t i = 0; i < n; ++i)
        codes[i] = static_cast<std::uint8_t>(std::to_integer<std::uint8_t>(from[i]) ^ flip);
    }
    return {};
  };
}

EntryRange owned_entries(const Grouping& grouping, std::int64_t rows, std::int64_t cols, std::int64_t begin,
                         std::int64_t count) {
  switch (grouping.kind) {
    case Grouping::Kind::kTensor:
      return {0, begin == 0 ? 1 : 0};
    case Grouping::Kind::kFlat: {
      const std::int64_t first = divide_up(begin * cols, grouping.size);
      return {first, divide_up((begin + count) * cols, grouping.size) - first};
    }
    case Grouping::Kind::kStrided: {
      const std::int64_t entries = grouping.entries(rows, cols);
      const std::int64_t first = std::min(begin * cols, entries);
      return {first, std::min((begin + count) * cols, entries) - first};
    }
    default:
      return entry_range(grouping, rows, cols, begin, count);
  }
}

EntryRange owned_outers(const NestedFormat& nested, const EntryRange& owned, bool first_rows) {
  if (nested.entries_per_outer == 0) return {0, first_rows ? 1 : 0};
  const std::int64_t first = divide_up(owned.first, nested.entries_per_outer);
  return {first, divide_up(owned.first + owned.count, nested.entries_per_outer) - first};
}

}  // namespace nibble
