// Temporary files and folders beside their targets, and the renames that put them in place.
#include "base/atomic_output.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/unfinished_outputs.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTemporarySuffix = ".nibble-unfinished";

Error system_error(const fs::path& path, std::string_view doing, int error_number) {
  if (error_number == ENOSPC || error_number == EDQUOT)
    return fail(ErrorCode::kIo, "{}: disk full while {}; free some space or choose another disk", path.string(), doing);
  if (error_number == EFBIG)
    return fail(ErrorCode::kIo, "{}: {}: larger than the file system or `ulimit -f` allows", path.string(), doing);
  return fail(ErrorCode::kIo, "{}: {}: {}", path.string(), doing, std::strerror(error_number));
}

/// The absolute path of what the user named; a symbolic link is followed, so that what it points to is replaced.
Result<fs::path> resolve_target(const fs::path& target) {
  if (target.empty()) return fail(ErrorCode::kInvalidArgument, "the name of the output is empty");
  std::error_code error;
  fs::path path = fs::absolute(target, error);
  if (!error && !path.has_filename()) path = path.parent_path();  // "out/"
  if (!error && (path.filename() == "." || path.filename() == "..")) path = fs::canonical(path, error);
  if (!error && fs::is_symlink(path)) path = fs::weakly_canonical(path, error);
  if (error) return fail(ErrorCode::kIo, "{}: {}", target.string(), error.message());
  if (!fs::is_directory(path.parent_path(), error))
    return fail(ErrorCode::kNotFound, "{}: the folder {} does not exist; create it first", target.string(),
                path.parent_path().string());
  return path;
}

std::string temporary_prefix(const fs::path& target) {
  constexpr std::size_t kMaxKept = 180;  // file names end at 255 bytes
  return "." + target.filename().string().substr(0, kMaxKept) + ".";
}

fs::path next_temporary(const fs::path& target) {
  static std::atomic<unsigned> counter{0};
  return target.parent_path() /
         fmt::format("{}{}-{}{}", temporary_prefix(target), getpid(), counter.fetch_add(1), kTemporarySuffix);
}

bool try_lock(int fd) { return flock(fd, LOCK_EX | LOCK_NB) == 0; }

/// Does `path` still name what `fd` has open? Another process may have taken it for a leftover before it was locked.
bool still_named(int fd, const fs::path& path) {
  struct stat opened = {};
  struct stat named = {};
  return fstat(fd, &opened) == 0 && lstat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

/// Removes temporaries for this target whose process is gone: whoever is at work on one holds a lock on it.
void remove_leftovers(const fs::path& target) {
  const std::string prefix = temporary_prefix(target);
  std::error_code error;
  for (fs::directory_iterator it(target.parent_path(), error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.size() <= prefix.size() + kTemporarySuffix.size() || name.compare(0, prefix.size(), prefix) != 0) continue;
    const std::string_view ours = std::string_view(name).substr(prefix.size());
    const std::string_view middle = ours.substr(0, ours.size() - kTemporarySuffix.size());
    if (!ours.ends_with(kTemporarySuffix) || middle.find_first_not_of("0123456789-") != std::string_view::npos)
      continue;
    const int fd = open(it->path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) continue;
    if (try_lock(fd) && remove_tree_signal_safe(it->path().c_str()))
      log_info("removed {}, left behind by an interrupted run", it->path().string());
    close(fd);
  }
}

Status sync_path(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return system_error(path, "syncing", errno);
  const int failed = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;  // EINVAL: a file system that cannot sync folders
  close(fd);
  if (failed != 0) return system_error(path, "syncing", failed);
  return {};
}

Status sync_tree(const fs::path& folder) {
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->is_regular_file(error) || it->is_directory(error)) NIBBLE_TRY_STATUS(sync_path(it->path()));
  if (error) return fail(ErrorCode::kIo, "{}: {}", folder.string(), error.message());
  return sync_path(folder);
}

/// Kinds of files that model folders hold; a folder with anything else may be more than a model and is not replaced.
bool is_model_file(const fs::path& path) {
  static constexpr std::array kExtensions = {".json", ".safetensors", ".gguf", ".txt", ".model",    ".jinja",  ".md",
                                             ".bin",  ".py",          ".pt",   ".pth", ".tiktoken", ".spm",    ".vocab",
                                             ".yaml", ".yml",         ".pack", ".h5",  ".png",      ".msgpack"};
  static constexpr std::array kNames = {"LICENSE", "NOTICE", "README", ".gitattributes", "USE_POLICY"};
  const std::string extension = path.extension().string();
  const std::string name = path.filename().string();
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end() ||
         std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

bool has_weights_extension(const fs::path& path) {
  return path.extension() == ".safetensors" || path.extension() == ".gguf";
}

/// A layer's own folder, the mark that a download leaves, or packed weights.
bool is_model_subfolder(const fs::path& path) {
  if (path.filename() == ".cache" || path.filename() == ".nibble-pack") return true;
  std::error_code error;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
    if (!has_weights_extension(it->path())) return false;
  return !error;
}

Status check_replaceable(const fs::path& folder) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(folder, error);
  if (status.type() == fs::file_type::not_found) return {};
  if (status.type() != fs::file_type::directory)
    return fail(ErrorCode::kInvalidArgument, "{}: exists and is not a folder; choose another output", folder.string());
  bool has_model = false;
  bool is_empty = true;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    is_empty = false;
    const bool known = it->is_directory() ? is_model_subfolder(it->path()) : is_model_file(it->path());
    if (!known)
      return fail(ErrorCode::kInvalidArgument,
                  "{}: exists and holds \"{}\", which is not part of a model; move it away or choose another output",
                  folder.string(), it->path().filename().string());
    if (it->path().filename() == "config.json" || has_weights_extension(it->path())) has_model = true;
  }
  if (error) return fail(ErrorCode::kIo, "{}: {}", folder.string(), error.message());
  if (!is_empty && !has_model)
    return fail(ErrorCode::kInvalidArgument,
                "{}: exists and does not look like a model folder (no config.json, no weights); choose another output",
                folder.string());
  return {};
}

}  // namespace

// --- AtomicFile ---

Result<AtomicFile> AtomicFile::create(const fs::path& target) {
  AtomicFile file;
  NIBBLE_TRY(file.target_, resolve_target(target));
  std::error_code error;
  const fs::file_status status = fs::status(file.target_, error);
  if (fs::exists(status) && !fs::is_regular_file(status))
    return fail(ErrorCode::kInvalidArgument, "{}: exists and is not a regular file; choose another output",
                target.string());
  remove_leftovers(file.target_);
  for (int attempt = 0; attempt < 100; ++attempt) {
    const fs::path temporary = next_temporary(file.target_);
    const int fd = open(temporary.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) return system_error(target, "creating it", errno);
    file.slot_ = register_unfinished_output(temporary);
    file.fd_ = fd;
    file.temporary_ = temporary;
    try_lock(fd);  // fails only where locks are not supported
    if (still_named(fd, temporary)) return file;
    file.discard();
  }
  return fail(ErrorCode::kIo, "{}: no free name for a temporary file beside it", target.string());
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : target_(std::move(other.target_)),
      temporary_(std::move(other.temporary_)),
      fd_(std::exchange(other.fd_, -1)),
      slot_(std::exchange(other.slot_, -1)),
      size_(other.size_.load()),
      unsynced_bytes_(other.unsynced_bytes_.load()) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this == &other) return *this;
  discard();
  target_ = std::move(other.target_);
  temporary_ = std::move(other.temporary_);
  fd_ = std::exchange(other.fd_, -1);
  slot_ = std::exchange(other.slot_, -1);
  size_ = other.size_.load();
  unsynced_bytes_ = other.unsynced_bytes_.load();
  return *this;
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (fd_ < 0) return;
  unlink(temporary_.c_str());
  close(std::exchange(fd_, -1));
  forget_unfinished_output(std::exchange(slot_, -1));
}

Status AtomicFile::reserve(std::uint64_t bytes) {
  NIBBLE_CHECK(fd_ >= 0);
  if (bytes == 0) return {};
  if (bytes > static_cast<std::uint64_t>(INT64_MAX)) return system_error(target_, "making room", EFBIG);
  if (fallocate(fd_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0) return {};
  if (errno != ENOSPC && errno != EDQUOT && errno != EFBIG) return {};
  return system_error(target_, fmt::format("making room for {} bytes", bytes), errno);
}

Status AtomicFile::append(std::span<const std::byte> bytes) { return write_at(size_, bytes); }

Status AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  NIBBLE_CHECK(fd_ >= 0);
  constexpr std::size_t kMaxAtOnce = std::size_t{1} << 30;  // Linux writes at most 2 GiB per call
  while (!bytes.empty()) {
    const ssize_t written = pwrite(fd_, bytes.data(), std::min(bytes.size(), kMaxAtOnce), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0)
      return system_error(target_, fmt::format("writing at byte {}", offset), written == 0 ? ENOSPC : errno);
    offset += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    std::uint64_t size = size_;
    while (size < offset && !size_.compare_exchange_weak(size, offset)) {
    }
    unsynced_bytes_ += static_cast<std::uint64_t>(written);
  }
  // Starts writing to disk early, without waiting: memory does not fill with dirty pages, and commit()'s fsync is
  // short.
  constexpr std::uint64_t kSyncEvery = std::uint64_t{64} << 20;
  if (unsynced_bytes_ >= kSyncEvery && unsynced_bytes_.exchange(0) >= kSyncEvery)
    sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE);
  return {};
}

Status AtomicFile::commit() {
  NIBBLE_CHECK(fd_ >= 0);
  // Gives back what reserve() asked for beyond the end.
  if (ftruncate(fd_, static_cast<off_t>(size_)) != 0) return system_error(target_, "setting its length", errno);
  if (fsync(fd_) != 0) return system_error(target_, "syncing", errno);
  if (rename(temporary_.c_str(), target_.c_str()) != 0) return system_error(target_, "putting it in place", errno);
  close(std::exchange(fd_, -1));
  forget_unfinished_output(std::exchange(slot_, -1));
  return sync_path(target_.parent_path());
}

// --- AtomicFolder ---

Result<AtomicFolder> AtomicFolder::create(const fs::path& target) {
  AtomicFolder folder;
  NIBBLE_TRY(folder.target_, resolve_target(target));
  NIBBLE_TRY_STATUS(check_replaceable(folder.target_));
  remove_leftovers(folder.target_);
  for (int attempt = 0; attempt < 100; ++attempt) {
    const fs::path temporary = next_temporary(folder.target_);
    if (mkdir(temporary.c_str(), 0777) != 0) {
      if (errno == EEXIST) continue;
      return system_error(target, "creating it", errno);
    }
    folder.slot_ = register_unfinished_output(temporary);
    folder.temporary_ = temporary;
    folder.lock_fd_ = open(temporary.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder.lock_fd_ >= 0) try_lock(folder.lock_fd_);
    if (folder.lock_fd_ >= 0 && still_named(folder.lock_fd_, temporary)) return folder;
    folder.discard();
  }
  return fail(ErrorCode::kIo, "{}: no free name for a temporary folder beside it", target.string());
}

AtomicFolder::AtomicFolder(AtomicFolder&& other) noexcept
    : target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})),
      lock_fd_(std::exchange(other.lock_fd_, -1)),
      slot_(std::exchange(other.slot_, -1)) {}

AtomicFolder& AtomicFolder::operator=(AtomicFolder&& other) noexcept {
  if (this == &other) return *this;
  discard();
  target_ = std::move(other.target_);
  temporary_ = std::exchange(other.temporary_, {});
  lock_fd_ = std::exchange(other.lock_fd_, -1);
  slot_ = std::exchange(other.slot_, -1);
  return *this;
}

AtomicFolder::~AtomicFolder() { discard(); }

void AtomicFolder::discard() noexcept {
  if (temporary_.empty()) return;
  remove_tree_signal_safe(temporary_.c_str());
  temporary_.clear();
  if (lock_fd_ >= 0) close(std::exchange(lock_fd_, -1));
  forget_unfinished_output(std::exchange(slot_, -1));
}

Status AtomicFolder::write_file(const std::string& name, std::string_view text) {
  const fs::path relative(name);
  if (relative.is_absolute() || std::find(relative.begin(), relative.end(), "..") != relative.end())
    return fail(ErrorCode::kInvalidArgument, "{}: \"{}\" would be written outside of it", target_.string(), name);
  NIBBLE_TRY(AtomicFile file, AtomicFile::create(temporary_ / name));
  NIBBLE_TRY_STATUS(file.append(std::as_bytes(std::span(text))));
  return file.commit();
}

Status AtomicFolder::commit() {
  NIBBLE_CHECK(!temporary_.empty());
  NIBBLE_TRY_STATUS(sync_tree(temporary_));
  NIBBLE_TRY_STATUS(check_replaceable(target_));
  const char* from = temporary_.c_str();
  const char* to = target_.c_str();
  bool placed = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0;
  if (!placed) placed = rename(from, to) == 0;  // nothing or an empty folder is there
  if (!placed && (errno == ENOTEMPTY || errno == EEXIST)) {
    // A file system that cannot exchange: for a moment nothing bears the target's name, but both folders stay whole.
    const fs::path previous = target_.parent_path() / (temporary_.filename().string() + "-previous");
    placed = rename(to, previous.c_str()) == 0 && rename(from, to) == 0;
    if (!placed) {
      const int error = errno;
      rename(previous.c_str(), to);
      errno = error;
    } else if (!remove_tree_signal_safe(previous.c_str())) {
      log_warning("{}: cannot remove the previous output", previous.string());
    }
  }
  if (!placed) return system_error(target_, "putting it in place", errno);
  std::error_code error;
  if (fs::exists(temporary_, error) && !remove_tree_signal_safe(from))  // after an exchange: the previous output
    log_warning("{}: cannot remove the previous output", temporary_.string());
  temporary_.clear();
  if (lock_fd_ >= 0) close(std::exchange(lock_fd_, -1));
  forget_unfinished_output(std::exchange(slot_, -1));
  return sync_path(target_.parent_path());
}

}  // namespace nibble
