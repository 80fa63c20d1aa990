#include "quant/calibration/activation_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"

namespace nibble {

ActivationStore::~ActivationStore() {
  if (file_ >= 0) close(file_);
}

Status ActivationStore::open_file() {
  if (file_ >= 0) return {};
  file_ = open(options_.folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file_ < 0) {  // a file system that knows no files without a name
    std::string name = (options_.folder / ".nibble-activations-XXXXXX").string();
    file_ = mkostemp(name.data(), O_CLOEXEC);
    if (file_ >= 0) unlink(name.c_str());
  }
  if (file_ < 0)
    return fail(ErrorCode::kIo, "{}: cannot create a file for activations: {}", options_.folder.string(),
                std::strerror(errno));
  return {};
}

Status ActivationStore::transfer(bool writing, std::uint64_t offset, void* data, std::uint64_t bytes) {
  auto* at = static_cast<std::byte*>(data);
  while (bytes > 0) {
    const ssize_t done = writing ? pwrite(file_, at, bytes, static_cast<off_t>(offset))
                                 : pread(file_, at, bytes, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && (errno == ENOSPC || errno == EDQUOT))
      return fail(ErrorCode::kIo,
                  "{}: disk full while activations were put there; free some space, calibrate with fewer --samples or "
                  "raise --max-memory",
                  options_.folder.string());
    if (done <= 0)
      return fail(ErrorCode::kIo, "{}: activations that were put there cannot be {}: {}", options_.folder.string(),
                  writing ? "written" : "read", done < 0 ? std::strerror(errno) : "the file is shorter than it was");
    at += done;
    offset += static_cast<std::uint64_t>(done);
    bytes -= static_cast<std::uint64_t>(done);
  }
  return {};
}

std::uint64_t ActivationStore::take_region(std::uint64_t bytes) {
  std::vector<std::uint64_t>& free = free_regions_[bytes];
  if (free.empty()) return std::exchange(file_end_, file_end_ + bytes);
  const std::uint64_t offset = free.back();
  free.pop_back();
  return offset;
}

StoredActivations& StoredActivations::operator=(StoredActivations&& other) noexcept {
  if (this == &other) return *this;
  clear();
  store_ = std::move(other.store_);
  slices_ = std::move(other.slices_);
  held_ = std::exchange(other.held_, 0);
  return *this;
}

Status StoredActivations::put(std::size_t slice, std::span<const float> numbers) {
  NIBBLE_CHECK(slice < slices_.size() && !numbers.empty());
  Slice& s = slices_[slice];
  if (s.count > 0) return {};
  const std::uint64_t bytes = numbers.size_bytes();
  if (bytes <= store_->options_.memory && store_->in_memory_ <= store_->options_.memory - bytes) {
    s.numbers.assign(numbers.begin(), numbers.end());
    store_->in_memory_ += bytes;
  } else {
    NIBBLE_TRY_STATUS(store_->open_file());
    s.offset = store_->take_region(bytes);
    // pwrite does not change what it reads from.
    const Status written = store_->transfer(true, s.offset, const_cast<float*>(numbers.data()), bytes);
    if (!written.ok()) {
      store_->give_region_back(s.offset, bytes);
      return written;
    }
  }
  s.count = numbers.size();
  ++held_;
  return {};
}

Status StoredActivations::read(std::size_t slice, std::vector<float>& out) const {
  out.resize(count(slice));
  return read(slice, 0, out);
}

Status StoredActivations::read(std::size_t slice, std::size_t first, std::span<float> out) const {
  NIBBLE_CHECK(slice < slices_.size() && slices_[slice].count >= first + out.size());
  const Slice& s = slices_[slice];
  NIBBLE_CHECK(s.count > 0);
  if (s.numbers.empty()) return store_->transfer(false, s.offset + first * sizeof(float), out.data(), out.size_bytes());
  std::copy_n(s.numbers.begin() + static_cast<std::ptrdiff_t>(first), out.size(), out.begin());
  return {};
}

void StoredActivations::clear() {
  for (Slice& s : slices_) {
    if (s.count == 0) continue;
    if (s.numbers.empty())
      store_->give_region_back(s.offset, s.bytes());
    else
      store_->in_memory_ -= s.bytes();
    s = Slice{};
  }
  held_ = 0;
}

}  // namespace nibble
