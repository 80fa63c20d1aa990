// A read-only memory mapping of a file that survives the file being cut while it is mapped.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace nibble {

/// The bytes of a file, mapped read-only. Movable, shared through MappedFile::Ptr.
///
/// If the file shrinks while it is mapped, reads of the lost pages give zeros instead of SIGBUS and check_intact()
/// fails from then on. Whoever finishes a unit of work on the bytes calls check_intact() before using its result.
class MappedFile {
 public:
  using Ptr = std::shared_ptr<const MappedFile>;

  /// Maps the whole file. An empty file gives an empty span. Errors: kNotFound, kIo.
  static Result<Ptr> open(const std::filesystem::path& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  const std::string& path() const noexcept { return path_; }

  /// Fails with kIo when the file was found to have shrunk.
  Status check_intact() const;

  /// Tells the operating system that [offset, offset + size) was read and will not be needed again soon: its pages
  /// leave this process's resident set (they stay in the page cache).
  void release(std::size_t offset, std::size_t size) const noexcept;

  /// Asks for read-ahead of [offset, offset + size).
  void prefetch(std::size_t offset, std::size_t size) const noexcept;

 private:
  MappedFile() = default;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_;
  int slot_ = -1;
};

/// Reads a small text file whole. Errors: kNotFound, kIo, kCorrupt when larger than `max_bytes`.
Result<std::string> read_text_file(const std::filesystem::path& path, std::size_t max_bytes = std::size_t{256} << 20);

}  // namespace nibble
