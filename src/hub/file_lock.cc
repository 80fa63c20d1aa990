// flock(), tried every tenth of a second so that Ctrl-C is heard.
#include "hub/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "base/log.h"

namespace nibble {

Result<FileLock> FileLock::acquire(const std::filesystem::path& path, const KeepGoing& keep_going) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  FileLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (lock.fd_ < 0) return fail(ErrorCode::kIo, "{}: cannot open: {}", path.string(), std::strerror(errno));
  bool said = false;
  while (flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return fail(ErrorCode::kIo, "{}: cannot lock: {}", path.string(), std::strerror(errno));
    if (!std::exchange(said, true)) log_info("waiting for another download of the same file ({})", path.string());
    if (!keep_going())
      return fail(ErrorCode::kCancelled, "{}: stopped while waiting for another download", path.string());
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return lock;
}

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FileLock::~FileLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace nibble
