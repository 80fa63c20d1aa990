// Reading a ZIP directory (PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3). What it says is compared with the header
// before each record and, where sizes follow the data, with the descriptor behind it.
#include "io/zip_index.h"

#include <algorithm>
#include <unordered_set>

#include "base/byte_reader.h"
#include "base/utf8.h"

namespace nibble {
namespace {

constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kDescriptor = 0x08074b50;
constexpr std::uint32_t kDirectoryEntry = 0x02014b50;
constexpr std::uint32_t kEnd = 0x06054b50;
constexpr std::uint32_t kEnd64 = 0x06064b50;
constexpr std::uint32_t kEnd64Locator = 0x07064b50;

constexpr std::size_t kEndBytes = 22;
constexpr std::size_t kEnd64Bytes = 56;
constexpr std::size_t kLocatorBytes = 20;
constexpr std::size_t kEntryBytes = 46;

constexpr unsigned kHasDescriptor = 1u << 3;
constexpr unsigned kUtf8Name = 1u << 11;
constexpr std::uint16_t kZip64Extra = 1;
constexpr std::uint32_t kIn64 = 0xFFFFFFFF;  // the number is in the ZIP64 field or record
constexpr std::uint16_t kIn64Short = 0xFFFF;

struct Directory {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t records = 0;
};

/// What the directory says of a record.
struct Entry {
  std::string name;
  unsigned flags = 0;
  unsigned method = 0;
  std::uint32_t crc = 0;
  std::uint64_t stored = 0;
  std::uint64_t size = 0;
  std::uint64_t local_offset = 0;
};

/// Where a record lies, its header and descriptor included.
struct Extent {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::size_t record = 0;
};

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class ZipReader {
 public:
  ZipReader(std::span<const std::byte> file, std::string_view what) : file_(file), what_(what) {}

  Result<std::vector<ZipRecord>> read() {
    NIBBLE_TRY(const Directory directory, find_directory());
    ByteReader reader(file_, what_);
    NIBBLE_TRY_STATUS(reader.seek(directory.offset, "zip directory"));
    std::vector<ZipRecord> records;
    std::vector<Extent> extents;
    for (std::uint64_t i = 0; i < directory.records; ++i) {
      NIBBLE_TRY(Entry entry, read_entry(reader));
      NIBBLE_TRY(Extent extent, check_local(entry));
      extent.record = records.size();
      extents.push_back(extent);
      records.push_back({std::move(entry.name), data_offset_, entry.stored, entry.method != 0});
    }
    if (reader.offset() != directory.offset + directory.size)
      return fail(ErrorCode::kCorrupt, "{}: the zip directory of {} records ends at byte {}, expected {}", what_,
                  directory.records, reader.offset(), directory.offset + directory.size);
    NIBBLE_TRY_STATUS(check_records(records, extents, directory.offset));
    return records;
  }

 private:
  Error corrupt(const Entry& entry, std::string_view problem) const {
    return fail(ErrorCode::kCorrupt, "{}: zip record \"{}\": {}", what_, printable(entry.name), problem);
  }

  /// The end record, which must be the file's last bytes, and its 64-bit form before it if there is one.
  Result<Directory> find_directory() const {
    ByteReader reader(file_, what_);
    const std::size_t end = file_.size() < kEndBytes ? 0 : file_.size() - kEndBytes;
    NIBBLE_TRY_STATUS(reader.seek(end, "zip end record"));
    NIBBLE_TRY(const auto signature, reader.read<std::uint32_t>("zip end record"));
    if (signature != kEnd)
      return fail(ErrorCode::kCorrupt, "{}: the file does not end with a zip end record; it may be cut short", what_);
    NIBBLE_TRY(const auto disk, reader.read<std::uint16_t>("disk"));
    NIBBLE_TRY(const auto directory_disk, reader.read<std::uint16_t>("disk of the directory"));
    NIBBLE_TRY(const auto records_here, reader.read<std::uint16_t>("records on this disk"));
    NIBBLE_TRY(const auto records, reader.read<std::uint16_t>("records"));
    NIBBLE_TRY(const auto size, reader.read<std::uint32_t>("directory size"));
    NIBBLE_TRY(const auto offset, reader.read<std::uint32_t>("directory offset"));
    NIBBLE_TRY(const auto comment, reader.read<std::uint16_t>("comment length"));
    if (disk != 0 || directory_disk != 0 || records_here != records || comment != 0)
      return fail(ErrorCode::kCorrupt, "{}: the zip end record speaks of several disks or of a comment", what_);
    Directory directory{offset, size, records};
    std::uint64_t directory_end = end;
    NIBBLE_TRY(const bool has_end64, has_locator(end));
    if (has_end64) {
      NIBBLE_TRY(directory, read_end64(end));
      directory_end = end - kLocatorBytes - kEnd64Bytes;
      if ((size != kIn64 && size != directory.size) || (offset != kIn64 && offset != directory.offset) ||
          (records != kIn64Short && records != directory.records))
        return fail(ErrorCode::kCorrupt, "{}: the two zip end records differ", what_);
    }
    std::uint64_t found_end;
    if (!checked_add(directory.offset, directory.size, found_end) || found_end != directory_end)
      return fail(ErrorCode::kCorrupt, "{}: the zip directory is {} bytes at {}, expected to end at {}", what_,
                  directory.size, directory.offset, directory_end);
    if (directory.records > directory.size / kEntryBytes)
      return fail(ErrorCode::kCorrupt, "{}: the zip directory of {} bytes cannot hold {} records", what_,
                  directory.size, directory.records);
    return directory;
  }

  Result<bool> has_locator(std::size_t end) const {
    if (end < kLocatorBytes + kEnd64Bytes) return false;
    ByteReader reader(file_, what_);
    NIBBLE_TRY_STATUS(reader.seek(end - kLocatorBytes, "zip64 locator"));
    NIBBLE_TRY(const auto signature, reader.read<std::uint32_t>("zip64 locator"));
    return signature == kEnd64Locator;
  }

  /// Locator and 64-bit end record, which lie directly before the end record.
  Result<Directory> read_end64(std::size_t end) const {
    const std::size_t begin = end - kLocatorBytes - kEnd64Bytes;
    ByteReader locator(file_, what_);
    NIBBLE_TRY_STATUS(locator.seek(end - kLocatorBytes + 4, "zip64 locator"));
    NIBBLE_TRY(const auto end64_disk, locator.read<std::uint32_t>("zip64 locator"));
    NIBBLE_TRY(const auto end64_offset, locator.read<std::uint64_t>("zip64 locator"));
    NIBBLE_TRY(const auto disks, locator.read<std::uint32_t>("zip64 locator"));
    if (end64_disk != 0 || end64_offset != begin || disks > 1)
      return fail(ErrorCode::kCorrupt, "{}: the zip64 locator points to byte {}, expected {}", what_, end64_offset,
                  begin);
    ByteReader reader(file_, what_);
    NIBBLE_TRY_STATUS(reader.seek(begin, "zip64 end record"));
    NIBBLE_TRY(const auto signature, reader.read<std::uint32_t>("zip64 end record"));
    NIBBLE_TRY(const auto bytes, reader.read<std::uint64_t>("zip64 end record size"));
    NIBBLE_TRY_STATUS(reader.seek(begin + 16, "zip64 end record"));  // versions made by and needed
    NIBBLE_TRY(const auto disk, reader.read<std::uint32_t>("disk"));
    NIBBLE_TRY(const auto directory_disk, reader.read<std::uint32_t>("disk of the directory"));
    NIBBLE_TRY(const auto records_here, reader.read<std::uint64_t>("records on this disk"));
    Directory directory;
    NIBBLE_TRY(directory.records, reader.read<std::uint64_t>("records"));
    NIBBLE_TRY(directory.size, reader.read<std::uint64_t>("directory size"));
    NIBBLE_TRY(directory.offset, reader.read<std::uint64_t>("directory offset"));
    if (signature != kEnd64 || bytes != kEnd64Bytes - 12 || disk != 0 || directory_disk != 0 ||
        records_here != directory.records)
      return fail(ErrorCode::kCorrupt, "{}: the zip64 end record at byte {} is not one of a single file", what_, begin);
    return directory;
  }

  Result<Entry> read_entry(ByteReader& reader) const {
    NIBBLE_TRY(const auto signature, reader.read<std::uint32_t>("zip directory"));
    if (signature != kDirectoryEntry)
      return fail(ErrorCode::kCorrupt, "{}: no entry of the zip directory at byte {}", what_, reader.offset() - 4);
    NIBBLE_TRY_STATUS(reader.read_bytes(4, "versions"));
    Entry entry;
    NIBBLE_TRY(entry.flags, reader.read<std::uint16_t>("flags"));
    NIBBLE_TRY(entry.method, reader.read<std::uint16_t>("compression method"));
    NIBBLE_TRY_STATUS(reader.read_bytes(4, "time"));
    NIBBLE_TRY(entry.crc, reader.read<std::uint32_t>("checksum"));
    NIBBLE_TRY(entry.stored, reader.read<std::uint32_t>("stored size"));
    NIBBLE_TRY(entry.size, reader.read<std::uint32_t>("size"));
    NIBBLE_TRY(const auto name_bytes, reader.read<std::uint16_t>("name length"));
    NIBBLE_TRY(const auto extra_bytes, reader.read<std::uint16_t>("extra length"));
    NIBBLE_TRY(const auto comment_bytes, reader.read<std::uint16_t>("comment length"));
    NIBBLE_TRY(const auto disk, reader.read<std::uint16_t>("disk"));
    NIBBLE_TRY_STATUS(reader.read_bytes(6, "attributes"));
    NIBBLE_TRY(entry.local_offset, reader.read<std::uint32_t>("offset"));
    NIBBLE_TRY(const auto name, reader.read_bytes(name_bytes, "name"));
    NIBBLE_TRY(const auto extra, reader.read_bytes(extra_bytes, "extra fields"));
    NIBBLE_TRY_STATUS(reader.read_bytes(comment_bytes, "comment"));
    entry.name = text_of(name);
    if (entry.name.empty() || !is_utf8(entry.name)) return corrupt(entry, "the name is empty or not UTF-8");
    if (disk != 0) return corrupt(entry, "lies on another disk");
    NIBBLE_TRY_STATUS(read_wide(entry, extra, {&entry.size, &entry.stored, &entry.local_offset}));
    if ((entry.flags & ~(kHasDescriptor | kUtf8Name)) != 0)
      return fail(ErrorCode::kUnsupported,
                  "{}: zip record \"{}\" is encrypted or of a kind that is not read (flags {:#x})", what_,
                  printable(entry.name), entry.flags);
    if (entry.method == 0 && entry.stored != entry.size)
      return corrupt(entry, "is not compressed, but its two sizes differ");
    return entry;
  }

  /// Replaces those of `numbers` that are 2^32 - 1 by what the ZIP64 extra field holds for them, in this order.
  Status read_wide(const Entry& entry, std::span<const std::byte> extra,
                   std::initializer_list<std::uint64_t*> numbers) const {
    if (std::none_of(numbers.begin(), numbers.end(), [](const std::uint64_t* n) { return *n == kIn64; })) return {};
    ByteReader reader(extra, what_);
    while (reader.remaining() >= 4) {
      NIBBLE_TRY(const auto id, reader.read<std::uint16_t>("extra field"));
      NIBBLE_TRY(const auto bytes, reader.read<std::uint16_t>("extra field"));
      NIBBLE_TRY(const auto content, reader.read_bytes(bytes, "extra field"));
      if (id != kZip64Extra) continue;
      ByteReader wide(content, what_);
      for (std::uint64_t* number : numbers)
        if (*number == kIn64) {
          NIBBLE_TRY(*number, wide.read<std::uint64_t>("zip64 size"));
        }
      return {};
    }
    return corrupt(entry, "a size of 64 bits is announced, but there is no zip64 field");
  }

  /// Compares the header before the data with the directory. Sets data_offset_.
  Result<Extent> check_local(const Entry& entry) {
    ByteReader reader(file_, what_);
    NIBBLE_TRY_STATUS(reader.seek(entry.local_offset, "zip local header"));
    NIBBLE_TRY(const auto signature, reader.read<std::uint32_t>("zip local header"));
    NIBBLE_TRY_STATUS(reader.read_bytes(2, "version"));
    NIBBLE_TRY(const auto flags, reader.read<std::uint16_t>("flags"));
    NIBBLE_TRY(const auto method, reader.read<std::uint16_t>("compression method"));
    NIBBLE_TRY_STATUS(reader.read_bytes(4, "time"));
    NIBBLE_TRY(const auto crc, reader.read<std::uint32_t>("checksum"));
    NIBBLE_TRY(std::uint64_t stored, reader.read<std::uint32_t>("stored size"));
    NIBBLE_TRY(std::uint64_t size, reader.read<std::uint32_t>("size"));
    NIBBLE_TRY(const auto name_bytes, reader.read<std::uint16_t>("name length"));
    NIBBLE_TRY(const auto extra_bytes, reader.read<std::uint16_t>("extra length"));
    if (signature != kLocalHeader) return corrupt(entry, "there is no local header where the directory points to");
    if (name_bytes != entry.name.size()) return corrupt(entry, "the local header has another name");
    NIBBLE_TRY(const auto name, reader.read_bytes(name_bytes, "name"));
    NIBBLE_TRY(const auto extra, reader.read_bytes(extra_bytes, "extra fields"));
    if (text_of(name) != entry.name) return corrupt(entry, "the local header has another name");
    if (flags != entry.flags || method != entry.method)
      return corrupt(entry, "local header and directory differ in flags or method");
    data_offset_ = reader.offset();
    NIBBLE_TRY_STATUS(reader.read_bytes(entry.stored, "zip record"));
    if ((flags & kHasDescriptor) != 0 && crc == 0 && stored == 0 && size == 0) {
      NIBBLE_TRY_STATUS(check_descriptor(entry, reader));
    } else {
      NIBBLE_TRY_STATUS(read_wide(entry, extra, {&size, &stored}));
      if (size != entry.size || stored != entry.stored || crc != entry.crc)
        return corrupt(entry, "local header and directory differ in size or checksum");
      if ((flags & kHasDescriptor) != 0) NIBBLE_TRY_STATUS(check_descriptor(entry, reader));
    }
    return Extent{entry.local_offset, reader.offset(), 0};
  }

  /// Checksum and sizes behind the data, with 32 or 64 bits each.
  Status check_descriptor(const Entry& entry, ByteReader& reader) const {
    NIBBLE_TRY(const auto signature, reader.read<std::uint32_t>("zip descriptor"));
    NIBBLE_TRY(const auto crc, reader.read<std::uint32_t>("zip descriptor"));
    if (signature != kDescriptor || crc != entry.crc)
      return corrupt(entry, "the descriptor behind the data is missing or has another checksum");
    NIBBLE_TRY(const auto low, reader.read<std::uint64_t>("zip descriptor"));
    if (low == (entry.stored | entry.size << 32) && entry.stored < kIn64 && entry.size < kIn64) return {};
    NIBBLE_TRY(const auto high, reader.read<std::uint64_t>("zip descriptor"));
    if (low != entry.stored || high != entry.size)
      return corrupt(entry, "the descriptor behind the data has other sizes");
    return {};
  }

  Status check_records(const std::vector<ZipRecord>& records, std::vector<Extent>& extents,
                       std::uint64_t directory_offset) const {
    std::unordered_set<std::string_view> names;
    for (const ZipRecord& record : records)
      if (!names.insert(record.name).second)
        return fail(ErrorCode::kCorrupt, "{}: the zip record \"{}\" appears twice", what_, printable(record.name));
    std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
    for (std::size_t i = 0; i < extents.size(); ++i) {
      const std::uint64_t next = i + 1 < extents.size() ? extents[i + 1].begin : directory_offset;
      if (extents[i].end > next)
        return fail(ErrorCode::kCorrupt, "{}: zip record \"{}\" ends at byte {}, where the next begins at {}", what_,
                    printable(records[extents[i].record].name), extents[i].end, next);
    }
    return {};
  }

  std::span<const std::byte> file_;
  std::string_view what_;
  std::uint64_t data_offset_ = 0;  // of the record that check_local() saw last
};

}  // namespace

Result<std::vector<ZipRecord>> read_zip_index(std::span<const std::byte> file, std::string_view what) {
  return ZipReader(file, what).read();
}

bool has_zip_magic(std::span<const std::byte> file) noexcept {
  ByteReader reader(file, {});
  const auto magic = reader.read<std::uint32_t>("magic");
  return magic.ok() && *magic == kLocalHeader;
}

}  // namespace nibble
