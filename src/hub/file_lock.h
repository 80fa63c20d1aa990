// Locks between processes, the same that huggingface_hub takes (flock on a file of its own).
#pragma once

#include <filesystem>
#include <functional>

#include "base/result.h"

namespace nibble {

/// Asked now and then while something waits; false means that the user wants to stop.
using KeepGoing = std::function<bool()>;

/// Held as long as it lives; the system drops it with the process.
class FileLock {
 public:
  /// Waits for whoever holds it, saying so once. Errors: kIo, kCancelled.
  static Result<FileLock> acquire(const std::filesystem::path& path, const KeepGoing& keep_going);
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace nibble
