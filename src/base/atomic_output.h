// Outputs that appear whole or not at all: written under a temporary name beside the target, synced, then renamed.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace nibble {

/// A file under construction. Destroyed without commit(), it leaves nothing behind and the previous file intact. The
/// temporary name is registered so that remove_unfinished_outputs() can be called from a signal handler's thread. What
/// a killed process left behind for the same target is removed by the next create(). Ranges that do not overlap may be
/// written by many threads at once; everything else is for one thread at a time.
class AtomicFile {
 public:
  static Result<AtomicFile> create(const std::filesystem::path& target);
  AtomicFile(AtomicFile&&) noexcept;
  AtomicFile& operator=(AtomicFile&&) noexcept;
  ~AtomicFile();

  /// Asks the file system for room for a file of this size, so that a full disk shows before the work and not after it.
  /// Succeeds without effect where the file system cannot tell.
  Status reserve(std::uint64_t bytes);
  /// Appends at the end.
  Status append(std::span<const std::byte> bytes);
  /// Writes at an offset (the file grows as needed). Errors name the target and say "disk full" when it is.
  Status write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  std::uint64_t size() const noexcept { return size_; }
  /// fsync, rename onto the target, fsync of the folder.
  Status commit();

 private:
  AtomicFile() = default;
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  int slot_ = -1;  ///< in the register of unfinished outputs
  std::atomic<std::uint64_t> size_{0};
  std::atomic<std::uint64_t> unsynced_bytes_{0};
  void discard() noexcept;
};

/// A folder under construction: fill path(), then commit() puts it in place of the target (an existing folder is
/// exchanged in one step and removed afterwards). Refuses a target that exists and does not look like an output of ours
/// or a model folder.
class AtomicFolder {
 public:
  static Result<AtomicFolder> create(const std::filesystem::path& target);
  AtomicFolder(AtomicFolder&&) noexcept;
  AtomicFolder& operator=(AtomicFolder&&) noexcept;
  ~AtomicFolder();

  const std::filesystem::path& path() const noexcept { return temporary_; }
  /// Writes a whole small file into the folder, synced.
  Status write_file(const std::string& name, std::string_view text);
  Status commit();

 private:
  AtomicFolder() = default;
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int lock_fd_ = -1;  ///< the temporary folder, locked as long as this process is at work on it
  int slot_ = -1;
  void discard() noexcept;
};

/// Removes every unfinished output of this process; for clients that are about to exit on a signal. Async-signal-safe.
void remove_unfinished_outputs() noexcept;

}  // namespace nibble
