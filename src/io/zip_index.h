// ZIP as far as PyTorch files use it: an index of records, to be read through a mapping.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble {

/// A record: bytes [offset, offset + size) of the archive.
struct ZipRecord {
  std::string name;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  bool is_compressed = false;  ///< then these bytes are not its content
};

/// The records of an archive in the order of its directory; records of several gigabytes too (ZIP64). `what` names the
/// file in messages.
///
/// The archive is the whole file: it ends with its end record, without a comment. Refused are encrypted and repeated
/// records, local headers that do not say what the directory says, and records that overlap or leave the file.
/// Checksums are not computed: that would read every tensor.
Result<std::vector<ZipRecord>> read_zip_index(std::span<const std::byte> file, std::string_view what);

/// "PK\3\4", with which an archive begins that has a record.
bool has_zip_magic(std::span<const std::byte> file) noexcept;

}  // namespace nibble
