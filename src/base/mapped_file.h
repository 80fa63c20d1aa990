// A read-only memory mapping of a file that survives the file being cut while it is mapped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace nibble {

/// What tells a file's content from another's without reading it: a file that was replaced has another inode, one that
/// was written has another time of change, which programs cannot set.
struct FileStamp {
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
  bool operator==(const FileStamp&) const = default;
};
Result<FileStamp> file_stamp(const std::filesystem::path& path);

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

  /// The file's when it was mapped.
  const FileStamp& stamp() const noexcept { return stamp_; }

  /// Fails with kIo when the file was found to have shrunk.
  Status check_intact() const;

  /// Tells the operating system that [offset, offset + size) was read and will not be needed again soon: its pages
  /// leave this process's resident set (they stay in the page cache).
  void release(std::size_t offset, std::size_t size) const noexcept;

  /// Asks for read-ahead of [offset, offset + size).
  void prefetch(std::size_t offset, std::size_t size) const noexcept;

  /// Maps the pages of [offset, offset + size) at once, reading those that are not in memory. Only a hint.
  void populate(std::size_t offset, std::size_t size) const noexcept;

  /// The pages of [offset, offset + size) leave the page cache too, unless another process has them mapped. Only a
  /// hint; release() comes first.
  void drop(std::size_t offset, std::size_t size) const noexcept;

 private:
  MappedFile() = default;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_;
  FileStamp stamp_;
  int slot_ = -1;
};

/// Reads a small text file whole. Errors: kNotFound, kIo, kCorrupt when larger than `max_bytes`.
Result<std::string> read_text_file(const std::filesystem::path& path, std::size_t max_bytes = std::size_t{256} << 20);

}  // namespace nibble
