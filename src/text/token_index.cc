// Linear probing at a load of at most one half. The hash starts from a number drawn once per process, so that a file
// cannot be made whose keys all collide; results never depend on it.
#include "text/token_index.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>

namespace nibble {
namespace {

std::uint64_t mix(std::uint64_t x) noexcept {
  x ^= x >> 32;
  x *= 0xD6E8FEB86659FD93U;
  x ^= x >> 32;
  x *= 0xD6E8FEB86659FD93U;
  return x ^ (x >> 32);
}

std::uint64_t process_seed() {
  static const std::uint64_t seed = (static_cast<std::uint64_t>(std::random_device{}()) << 32) | std::random_device{}();
  return seed;
}

const std::uint64_t kSeed = process_seed();

std::uint64_t hash_bytes(std::string_view text) noexcept {
  std::uint64_t hash = kSeed ^ text.size();
  const char* data = text.data();
  std::size_t left = text.size();
  for (; left >= 8; left -= 8, data += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, data, 8);
    hash = mix(hash ^ word);
  }
  std::uint64_t tail = 0;
  if (left > 0) std::memcpy(&tail, data, left);  // the data of an empty view may be null
  return mix(hash ^ tail);
}

std::size_t slots_for(std::size_t count) { return std::max<std::size_t>(16, std::bit_ceil(2 * count)); }

std::uint64_t pair_key(std::int32_t left, std::int32_t right) noexcept {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
}

}  // namespace

void TokenIndex::reserve(std::size_t count) {
  if (slots_for(count) <= slots_.size()) return;
  grow(slots_for(count));
  entries_.reserve(count);
}

void TokenIndex::grow(std::size_t slots) {
  std::vector<Slot> old(slots);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.entry < 0) continue;
    std::size_t at = slot.hash & (slots - 1);
    while (slots_[at].entry >= 0) at = (at + 1) & (slots - 1);
    slots_[at] = slot;
  }
}

std::optional<std::int32_t> TokenIndex::insert(std::string_view key, std::int32_t id) {
  if (2 * (entries_.size() + 1) > slots_.size()) grow(slots_for(entries_.size() + 1));
  const auto hash = static_cast<std::uint32_t>(hash_bytes(key));
  std::size_t at = hash & (slots_.size() - 1);
  while (slots_[at].entry >= 0) {
    const Entry& entry = entries_[static_cast<std::size_t>(slots_[at].entry)];
    if (slots_[at].hash == hash && entry.key == key) return entry.id;
    at = (at + 1) & (slots_.size() - 1);
  }
  slots_[at] = {hash, static_cast<std::int32_t>(entries_.size())};
  entries_.push_back({key, id});
  max_key_bytes_ = std::max(max_key_bytes_, key.size());
  return std::nullopt;
}

std::int32_t TokenIndex::find(std::string_view key) const noexcept {
  if (slots_.empty() || key.size() > max_key_bytes_) return -1;
  const auto hash = static_cast<std::uint32_t>(hash_bytes(key));
  std::size_t at = hash & (slots_.size() - 1);
  while (slots_[at].entry >= 0) {
    const Entry& entry = entries_[static_cast<std::size_t>(slots_[at].entry)];
    if (slots_[at].hash == hash && entry.key == key) return entry.id;
    at = (at + 1) & (slots_.size() - 1);
  }
  return -1;
}

void MergeIndex::reserve(std::size_t count) {
  if (slots_for(count) > slots_.size()) grow(slots_for(count));
}

void MergeIndex::grow(std::size_t slots) {
  std::vector<Slot> old(slots);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.key == UINT64_MAX) continue;
    std::size_t at = mix(slot.key ^ kSeed) & (slots - 1);
    while (slots_[at].key != UINT64_MAX) at = (at + 1) & (slots - 1);
    slots_[at] = slot;
  }
}

bool MergeIndex::insert(std::int32_t left, std::int32_t right, MergeResult result, bool replace) {
  if (2 * (count_ + 1) > slots_.size()) grow(slots_for(count_ + 1));
  const std::uint64_t key = pair_key(left, right);
  std::size_t at = mix(key ^ kSeed) & (slots_.size() - 1);
  while (slots_[at].key != UINT64_MAX) {
    if (slots_[at].key == key) {
      if (replace) slots_[at].result = result;
      return false;
    }
    at = (at + 1) & (slots_.size() - 1);
  }
  slots_[at] = {key, result};
  ++count_;
  return true;
}

MergeResult MergeIndex::find(std::int32_t left, std::int32_t right) const noexcept {
  if (slots_.empty()) return {};
  const std::uint64_t key = pair_key(left, right);
  std::size_t at = mix(key ^ kSeed) & (slots_.size() - 1);
  while (slots_[at].key != UINT64_MAX) {
    if (slots_[at].key == key) return slots_[at].result;
    at = (at + 1) & (slots_.size() - 1);
  }
  return {};
}

}  // namespace nibble
