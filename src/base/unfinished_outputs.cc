// A fixed array of paths guarded by atomics, and removal of files and folders with nothing but system calls.
#include "base/unfinished_outputs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/atomic_output.h"

namespace nibble {
namespace {

/// A path belongs to the process that made it: after fork() the child must not remove its parent's outputs.
struct Slot {
  std::atomic<bool> taken{false};
  std::atomic<pid_t> owner{0};  ///< nonzero once `path` is complete
  std::array<char, 4096> path;
};
constexpr int kMaxSlots = 1024;  // 4 MiB of address space; pages that were never used take no memory
std::array<Slot, kMaxSlots> g_slots;

/// What the kernel's getdents64 fills in (linux/dirent.h).
struct DirectoryEntry {
  std::uint64_t inode;
  std::int64_t next;
  std::uint16_t size;
  std::uint8_t type;
  char name[1];
};

bool remove_entry(int folder, const char* name, int depth) noexcept;

/// Removes what a folder holds. Entries may be skipped when they are removed while being listed, so it lists again
/// until a pass finds nothing to remove.
bool empty_folder(int fd, int depth) noexcept {
  alignas(8) char buffer[4096];
  constexpr int kMaxPasses = 1000;  // so that another thread that still writes cannot keep us here
  bool removed = true;
  for (int pass = 0; removed && pass < kMaxPasses; ++pass) {
    removed = false;
    if (lseek(fd, 0, SEEK_SET) != 0) return false;
    for (;;) {
      const long filled = syscall(SYS_getdents64, fd, buffer, sizeof(buffer));
      if (filled < 0) return false;
      if (filled == 0) break;
      for (long at = 0; at < filled;) {
        std::uint16_t size = 0;
        std::memcpy(&size, buffer + at + offsetof(DirectoryEntry, size), sizeof(size));
        const char* name = buffer + at + offsetof(DirectoryEntry, name);
        at += size;
        if (std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0) continue;
        if (!remove_entry(fd, name, depth)) return false;
        removed = true;
      }
    }
  }
  return true;
}

bool remove_entry(int folder, const char* name, int depth) noexcept {
  if (unlinkat(folder, name, 0) == 0 || errno == ENOENT) return true;
  if ((errno != EISDIR && errno != EPERM) || depth == 0) return false;
  const int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return false;
  const bool emptied = empty_folder(fd, depth - 1);
  close(fd);
  return emptied && unlinkat(folder, name, AT_REMOVEDIR) == 0;
}

}  // namespace

bool remove_tree_signal_safe(const char* path) noexcept {
  constexpr int kMaxDepth = 16;  // of folders; bounds the stack
  return remove_entry(AT_FDCWD, path, kMaxDepth);
}

int register_unfinished_output(const std::string& path) noexcept {
  if (path.size() >= g_slots[0].path.size()) return -1;
  for (int i = 0; i < kMaxSlots; ++i) {
    Slot& slot = g_slots[static_cast<std::size_t>(i)];
    if (slot.taken.exchange(true, std::memory_order_acquire)) continue;
    std::memcpy(slot.path.data(), path.c_str(), path.size() + 1);
    slot.owner.store(getpid(), std::memory_order_release);
    return i;
  }
  return -1;
}

void forget_unfinished_output(int index) noexcept {
  if (index < 0) return;
  Slot& slot = g_slots[static_cast<std::size_t>(index)];
  slot.owner.store(0, std::memory_order_relaxed);
  slot.taken.store(false, std::memory_order_release);
}

void remove_unfinished_outputs() noexcept {
  const int saved_errno = errno;
  const pid_t self = getpid();
  for (Slot& slot : g_slots)
    if (slot.owner.load(std::memory_order_acquire) == self) remove_tree_signal_safe(slot.path.data());
  errno = saved_errno;
}

}  // namespace nibble
