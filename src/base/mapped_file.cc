// Memory mapping with a SIGBUS handler that replaces lost pages by zero pages and marks the mapping as damaged.
#include "base/mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

namespace nibble {
namespace {

/// The mappings the SIGBUS handler knows. Fixed size and lock-free, because a signal handler may only read atomics.
struct Slot {
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::uintptr_t> end{0};
  std::atomic<bool> damaged{false};
  dev_t device = 0;  ///< these are the owner's, not the handler's
  ino_t inode = 0;
};
constexpr int kMaxSlots = 4096;
std::array<Slot, kMaxSlots> g_slots;
struct sigaction g_previous_handler;
std::size_t g_page_size = 0;  ///< set before the handler is

void on_sigbus(int signal_number, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (Slot& slot : g_slots) {
    if (address < slot.begin.load(std::memory_order_acquire) || address >= slot.end.load(std::memory_order_acquire))
      continue;
    void* page = reinterpret_cast<void*>(address / g_page_size * g_page_size);
    if (mmap(page, g_page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page) {
      slot.damaged.store(true, std::memory_order_release);
      return;
    }
  }
  // Not ours: restore what was there before and let the fault happen again.
  sigaction(SIGBUS, &g_previous_handler, nullptr);
  (void)signal_number;
  (void)context;
}

void install_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    g_page_size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    struct sigaction action = {};
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &g_previous_handler);
  });
}

int take_slot(const std::byte* data, std::size_t size, const struct stat& info) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  for (int i = 0; i < kMaxSlots; ++i) {
    Slot& slot = g_slots[static_cast<std::size_t>(i)];
    if (slot.end.load(std::memory_order_relaxed) != 0) continue;
    slot.damaged.store(false, std::memory_order_relaxed);
    slot.device = info.st_dev;
    slot.inode = info.st_ino;
    slot.begin.store(reinterpret_cast<std::uintptr_t>(data), std::memory_order_relaxed);
    slot.end.store(reinterpret_cast<std::uintptr_t>(data) + size, std::memory_order_release);
    return i;
  }
  return -1;
}

/// Closes a file descriptor when it goes out of scope.
struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

std::int64_t nanoseconds(const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

FileStamp stamp_of(const struct stat& info) {
  return {static_cast<std::uint64_t>(info.st_ino), static_cast<std::uint64_t>(info.st_size), nanoseconds(info.st_mtim),
          nanoseconds(info.st_ctim)};
}

}  // namespace

Result<FileStamp> file_stamp(const std::filesystem::path& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) return fail(ErrorCode::kIo, "{}: {}", path.string(), std::strerror(errno));
  return stamp_of(info);
}

Result<MappedFile::Ptr> MappedFile::open(const std::filesystem::path& path) {
  // O_NONBLOCK: a named pipe without a writer is refused below, not waited for.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
    return fail(code, "{}: cannot open: {}", path.string(), std::strerror(errno));
  }
  struct stat info = {};
  if (fstat(file.fd, &info) != 0) return fail(ErrorCode::kIo, "{}: {}", path.string(), std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::kInvalidArgument, "{}: not a regular file", path.string());
  std::shared_ptr<MappedFile> mapped(new MappedFile);
  mapped->path_ = path.string();
  mapped->size_ = static_cast<std::size_t>(info.st_size);
  mapped->stamp_ = stamp_of(info);
  if (mapped->size_ == 0) return MappedFile::Ptr(std::move(mapped));
  void* data = mmap(nullptr, mapped->size_, PROT_READ, MAP_SHARED, file.fd, 0);
  if (data == MAP_FAILED) {
    mapped->size_ = 0;
    return fail(ErrorCode::kIo, "{}: cannot map: {}", path.string(), std::strerror(errno));
  }
  mapped->data_ = static_cast<const std::byte*>(data);
  install_handler();
  mapped->slot_ = take_slot(mapped->data_, mapped->size_, info);
  if (mapped->slot_ < 0)
    return fail(ErrorCode::kIo, "{}: more than {} files are mapped at once", path.string(), kMaxSlots);
  return MappedFile::Ptr(std::move(mapped));
}

MappedFile::~MappedFile() {
  if (slot_ >= 0) {
    Slot& slot = g_slots[static_cast<std::size_t>(slot_)];
    slot.begin.store(0, std::memory_order_relaxed);
    slot.end.store(0, std::memory_order_release);
  }
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

Status MappedFile::check_intact() const {
  if (slot_ < 0) return {};
  const Slot& slot = g_slots[static_cast<std::size_t>(slot_)];
  bool lost = slot.damaged.load(std::memory_order_acquire);
  // The end of a page that is lost in part reads as zeros without a signal. A file of another inode has replaced ours,
  // which the mapping keeps.
  struct stat now = {};
  if (!lost && stat(path_.c_str(), &now) == 0 && now.st_dev == slot.device && now.st_ino == slot.inode)
    lost = static_cast<std::size_t>(now.st_size) < size_;
  if (lost) return fail(ErrorCode::kIo, "{}: the file shrank while it was being read; restore it and try again", path_);
  return {};
}

void MappedFile::release(std::size_t offset, std::size_t size) const noexcept {
  if (data_ == nullptr || offset >= size_) return;
  const auto page_size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t begin = (offset + page_size - 1) / page_size * page_size;  // keep pages shared with neighbours
  const std::size_t end = std::min(offset + size, size_) / page_size * page_size;
  if (begin < end) madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

void MappedFile::prefetch(std::size_t offset, std::size_t size) const noexcept {
  if (data_ == nullptr || offset >= size_) return;
  const auto page_size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t begin = offset / page_size * page_size;
  madvise(const_cast<std::byte*>(data_) + begin, std::min(offset + size, size_) - begin, MADV_WILLNEED);
}

void MappedFile::populate(std::size_t offset, std::size_t size) const noexcept {
#ifdef MADV_POPULATE_READ
  if (data_ == nullptr || offset >= size_) return;
  const auto page_size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t begin = offset / page_size * page_size;
  madvise(const_cast<std::byte*>(data_) + begin, std::min(offset + size, size_) - begin, MADV_POPULATE_READ);
#else
  (void)offset;
  (void)size;
#endif
}

void MappedFile::drop(std::size_t offset, std::size_t size) const noexcept {
  const Descriptor file{::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat info = {};
  if (file.fd < 0 || fstat(file.fd, &info) != 0 || static_cast<std::uint64_t>(info.st_ino) != stamp_.inode) return;
  posix_fadvise(file.fd, static_cast<off_t>(offset), static_cast<off_t>(size), POSIX_FADV_DONTNEED);
}

Result<std::string> read_text_file(const std::filesystem::path& path, std::size_t max_bytes) {
  NIBBLE_TRY(const MappedFile::Ptr file, MappedFile::open(path));
  const auto bytes = file->bytes();
  if (bytes.size() > max_bytes)
    return fail(ErrorCode::kCorrupt, "{}: {} bytes, the limit for this kind of file is {}", path.string(), bytes.size(),
                max_bytes);
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  NIBBLE_TRY_STATUS(file->check_intact());
  return text;
}

}  // namespace nibble
