// Lookup tables of tokenizers: text to id, and pair of ids to merge. Open addressing, built once, then only read.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace nibble {

/// Maps strings to ids. Holds views: the strings must outlive it and not move.
class TokenIndex {
 public:
  void reserve(std::size_t count);
  /// Adds a key; returns the id that the key had already, or nothing when it is new.
  std::optional<std::int32_t> insert(std::string_view key, std::int32_t id);
  /// The id of `key`, or -1.
  std::int32_t find(std::string_view key) const noexcept;
  std::size_t max_key_bytes() const noexcept { return max_key_bytes_; }

 private:
  struct Entry {
    std::string_view key;
    std::int32_t id = -1;
  };
  struct Slot {  // small, so that probing stays in the cache
    std::uint32_t hash = 0;
    std::int32_t entry = -1;
  };
  void grow(std::size_t slots);
  std::vector<Slot> slots_;
  std::vector<Entry> entries_;
  std::size_t max_key_bytes_ = 0;
};

/// What a pair of adjacent tokens merges to.
struct MergeResult {
  std::uint32_t rank = UINT32_MAX;  ///< UINT32_MAX: the pair does not merge
  std::int32_t id = -1;
};

/// Maps (left id, right id) to a MergeResult.
class MergeIndex {
 public:
  void reserve(std::size_t count);
  /// Adds a pair; a pair that is there keeps its result unless `replace`. Returns whether it was new.
  bool insert(std::int32_t left, std::int32_t right, MergeResult result, bool replace);
  MergeResult find(std::int32_t left, std::int32_t right) const noexcept;
  std::size_t size() const noexcept { return count_; }

 private:
  struct Slot {
    std::uint64_t key = UINT64_MAX;
    MergeResult result;
  };
  void grow(std::size_t slots);
  std::vector<Slot> slots_;
  std::size_t count_ = 0;
};

}  // namespace nibble
