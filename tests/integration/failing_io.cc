// Preloaded into `nibble`: its N-th call of write, fsync or rename on a file fails. N is NIBBLE_FAIL_CALL, the error
// NIBBLE_FAIL_ERRNO. For resume_test.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

namespace {

bool is_file(int fd) {
  struct stat info = {};
  return fstat(fd, &info) == 0 && (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode));
}

/// Is this call the one that fails?
bool fails_now() {
  static std::atomic<long> calls{0};
  static const long chosen = std::atol(std::getenv("NIBBLE_FAIL_CALL"));
  if (++calls != chosen) return false;
  errno = std::atoi(std::getenv("NIBBLE_FAIL_ERRNO"));
  return true;
}

template <typename F>
F next(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* data, size_t count) {
  if (is_file(fd) && fails_now()) return -1;
  return next<ssize_t (*)(int, const void*, size_t)>("write")(fd, data, count);
}

ssize_t pwrite(int fd, const void* data, size_t count, off_t offset) {
  if (is_file(fd) && fails_now()) return -1;
  return next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite")(fd, data, count, offset);
}

ssize_t pwrite64(int fd, const void* data, size_t count, off_t offset) { return pwrite(fd, data, count, offset); }

int fsync(int fd) {
  if (is_file(fd) && fails_now()) return -1;
  return next<int (*)(int)>("fsync")(fd);
}

int rename(const char* from, const char* to) {
  if (fails_now()) return -1;
  return next<int (*)(const char*, const char*)>("rename")(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  if (fails_now()) return -1;
  return next<int (*)(int, const char*, int, const char*, unsigned)>("renameat2")(from_folder, from, to_folder, to,
                                                                                  flags);
}
}
