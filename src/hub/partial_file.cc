// Writing a download.
#include "hub/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace nibble {
namespace {

Error io_error(const std::filesystem::path& path, int number) {
  return fail(ErrorCode::kIo, "{}: {}", path.string(),
              number == ENOSPC || number == EDQUOT ? "disk full; make room and pull again, it goes on where it stopped"
                                                   : std::strerror(number));
}

}  // namespace

Result<PartialFile> PartialFile::open(const std::filesystem::path& path, const std::string& etag, std::uint64_t size) {
  PartialFile file;
  file.path_ = path;
  file.etag_ = etag;
  file.size_ = size;
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  file.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (file.fd_ < 0) return io_error(path, errno);
  struct stat info = {};
  if (fstat(file.fd_, &info) != 0) return io_error(path, errno);
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::kIo, "{}: is not a regular file", path.string());
  file.digest_ = EtagDigest::create(etag, size);
  if (static_cast<std::uint64_t>(info.st_size) > size) {
    NIBBLE_TRY_STATUS(file.restart());
  } else {
    NIBBLE_TRY_STATUS(file.read_present());
  }
  return file;
}

PartialFile::PartialFile(PartialFile&& other) noexcept { *this = std::move(other); }

PartialFile& PartialFile::operator=(PartialFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(etag_, other.etag_);
  std::swap(size_, other.size_);
  std::swap(bytes_, other.bytes_);
  std::swap(fd_, other.fd_);
  std::swap(digest_, other.digest_);
  return *this;
}

PartialFile::~PartialFile() {
  if (fd_ >= 0) close(fd_);
}

Status PartialFile::read_present() {
  std::vector<std::byte> buffer(std::size_t{1} << 20);
  while (true) {
    const ssize_t count = read(fd_, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error(path_, errno);
    if (count == 0) return {};
    const auto got = std::span(buffer).first(static_cast<std::size_t>(count));
    if (digest_) digest_->update(got);
    bytes_ += got.size();
  }
}

Status PartialFile::append(std::span<const std::byte> bytes) {
  if (bytes.size() > size_ - bytes_)
    return fail(ErrorCode::kIo, "{}: the server sends more than the {} bytes that it announced", path_.string(), size_);
  if (digest_) digest_->update(bytes);
  while (!bytes.empty()) {
    const ssize_t count = write(fd_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error(path_, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    bytes_ += static_cast<std::uint64_t>(count);
  }
  return {};
}

Status PartialFile::restart() {
  if (ftruncate(fd_, 0) != 0 || lseek(fd_, 0, SEEK_SET) != 0) return io_error(path_, errno);
  bytes_ = 0;
  digest_ = EtagDigest::create(etag_, size_);
  return {};
}

bool PartialFile::is_right() { return bytes_ == size_ && (!digest_ || digest_->matches()); }

Status PartialFile::finish(const std::filesystem::path& target) {
  if (fsync(fd_) != 0) return io_error(path_, errno);
  if (std::rename(path_.c_str(), target.c_str()) != 0) return io_error(target, errno);
  return {};
}

}  // namespace nibble
