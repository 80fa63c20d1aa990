// Where activations wait until they are needed again: in memory up to a bound, beyond it in a file without a name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"

namespace nibble {

/// What all stored activations share: the bound and the file. For one thread at a time.
class ActivationStore {
 public:
  struct Options {
    std::uint64_t memory = std::numeric_limits<std::uint64_t>::max();  ///< bytes that may wait in memory
    std::filesystem::path folder = ".";  ///< of the file, which takes the rest; on a disk, not in memory
  };

  explicit ActivationStore(Options options) : options_(std::move(options)) {}
  ~ActivationStore();
  ActivationStore(const ActivationStore&) = delete;
  ActivationStore& operator=(const ActivationStore&) = delete;

  std::uint64_t bytes_in_memory() const { return in_memory_; }
  /// The size that the file has grown to.
  std::uint64_t file_bytes() const { return file_end_; }

 private:
  friend class StoredActivations;
  Status open_file();
  Status transfer(bool writing, std::uint64_t offset, void* data, std::uint64_t bytes);
  std::uint64_t take_region(std::uint64_t bytes);
  void give_region_back(std::uint64_t offset, std::uint64_t bytes) { free_regions_[bytes].push_back(offset); }

  Options options_;
  std::uint64_t in_memory_ = 0;
  int file_ = -1;
  std::uint64_t file_end_ = 0;
  std::map<std::uint64_t, std::vector<std::uint64_t>> free_regions_;  ///< offsets by size: slices have few sizes
};

/// The numbers of one value, slice by slice.
class StoredActivations {
 public:
  StoredActivations(std::shared_ptr<ActivationStore> store, std::size_t slices)
      : store_(std::move(store)), slices_(slices) {}
  ~StoredActivations() { clear(); }
  StoredActivations(StoredActivations&&) = default;
  StoredActivations& operator=(StoredActivations&& other) noexcept;

  bool has(std::size_t slice) const { return slices_[slice].count > 0; }
  bool complete() const { return held_ == slices_.size(); }
  /// Numbers of a slice; 0 where it is not held.
  std::size_t count(std::size_t slice) const { return slices_[slice].count; }
  /// Holds a slice from now on. Where it is held already, nothing is done.
  Status put(std::size_t slice, std::span<const float> numbers);
  /// Replaces `out` with the numbers of a slice that is held.
  Status read(std::size_t slice, std::vector<float>& out) const;
  /// Fills `out` with the numbers from number `first` of the slice on. Several threads may read at once.
  Status read(std::size_t slice, std::size_t first, std::span<float> out) const;
  void clear();

 private:
  struct Slice {
    std::size_t count = 0;
    std::vector<float> numbers;  ///< empty: in the file
    std::uint64_t offset = 0;
    std::uint64_t bytes() const { return count * sizeof(float); }
  };
  std::shared_ptr<ActivationStore> store_;
  std::vector<Slice> slices_;
  std::size_t held_ = 0;
};

}  // namespace nibble
