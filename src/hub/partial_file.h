// A file that is being downloaded and that a later try goes on with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "hub/digest.h"

namespace nibble {

/// Appends to a file and keeps the digest of all of it. What is there when it is opened counts as downloaded.
class PartialFile {
 public:
  /// `size` is that of the whole file. A longer file than that is emptied. Errors: kIo.
  static Result<PartialFile> open(const std::filesystem::path& path, const std::string& etag, std::uint64_t size);
  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&& other) noexcept;
  ~PartialFile();

  std::uint64_t bytes() const { return bytes_; }
  /// Errors: kIo, "disk full" where it is.
  Status append(std::span<const std::byte> bytes);
  Status restart();
  /// All bytes are there, and their digest is the ETag, where it is one.
  bool is_right();
  /// fsync, then the name of the finished file.
  Status finish(const std::filesystem::path& target);

 private:
  PartialFile() = default;
  Status read_present();
  std::filesystem::path path_;
  std::string etag_;
  std::uint64_t size_ = 0;
  std::uint64_t bytes_ = 0;
  int fd_ = -1;
  std::optional<EtagDigest> digest_;
};

}  // namespace nibble
