// Blocks of the key-value cache.
#include "run/kv_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "base/check.h"

namespace nibble {
namespace {

constexpr std::int64_t kTokens = kernel::KvBlockLayout::kTokens;
constexpr std::size_t kHeaderBytes = 64;  ///< a block begins at a multiple of it
constexpr std::size_t kSmallPage = 4096;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kSlabBytes = std::size_t{64} << 20;  ///< blocks are allocated together up to so many bytes

/// Blocks before this one are seen packed by the position `length` and all later ones.
std::size_t first_recent(std::int64_t length) {
  return static_cast<std::size_t>(std::max<std::int64_t>(0, length / kTokens - kernel::kKvRecentBlocks));
}

std::size_t blocks_of(std::int64_t length) { return static_cast<std::size_t>((length + kTokens - 1) / kTokens); }
std::size_t full_blocks_of(std::int64_t length) { return static_cast<std::size_t>(length / kTokens); }

kernel::KvBlockLayout layout_of(const ModelConfig& config, kernel::KvType type) {
  return {static_cast<int>(config.num_key_value_heads), static_cast<int>(config.head_dim), type};
}

std::optional<kernel::KvPackedLayout> packed_layout_of(const ModelConfig& config, int bits) {
  if (bits == 0) return std::nullopt;
  return kernel::KvPackedLayout{static_cast<int>(config.num_key_value_heads), static_cast<int>(config.head_dim), bits};
}

}  // namespace

void KvBlockPool::FreeBytes::operator()(std::byte* bytes) const { std::free(bytes); }

KvBlockPool::Header& KvBlockPool::header(std::byte* block) { return *reinterpret_cast<Header*>(block - kHeaderBytes); }

std::size_t KvBlockPool::blocks_in_use() const {
  const std::lock_guard lock(mutex_);
  return in_use_;
}

std::size_t KvBlockPool::blocks_only_kept() const {
  const std::lock_guard lock(mutex_);
  return only_kept_;
}

std::size_t KvBlockPool::available() const {
  const std::lock_guard lock(mutex_);
  if (max_blocks_ == 0) return std::numeric_limits<std::size_t>::max();
  return max_blocks_ - in_use_ + (give_up_ ? only_kept_ : 0);
}

/// As many blocks as there are, up to a slab's size: most of a large cache is in huge pages then. In small ones
/// attention would wait for their addresses.
Status KvBlockPool::grow() {
  static_assert(sizeof(Header) <= kHeaderBytes);
  const std::size_t stride = kHeaderBytes + (block_bytes_ + 63) / 64 * 64;
  std::size_t count = std::clamp<std::size_t>(kSlabBytes / stride, 1, std::max<std::size_t>(blocks_, 1));
  if (max_blocks_ > 0) count = std::min(count, max_blocks_ - blocks_);
  const std::size_t bytes = (count * stride + kHugePage - 1) / kHugePage * kHugePage;
  const bool is_huge = count * stride >= kHugePage;
  void* memory = std::aligned_alloc(is_huge ? kHugePage : 64, is_huge ? bytes : count * stride);
  if (memory == nullptr)
    return fail(ErrorCode::kOutOfMemory, "no memory for {} key-value blocks of {} bytes", count, block_bytes_);
  if (is_huge) madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: without it all works as well
  slabs_.emplace_back(static_cast<std::byte*>(memory));
  blocks_ += count;
  for (std::size_t i = count; i-- > 0;) fresh_.push_back(slabs_.back().get() + i * stride + kHeaderBytes);
  return {};
}

Result<std::byte*> KvBlockPool::take() {
  std::unique_lock lock(mutex_);
  while (max_blocks_ > 0 && in_use_ >= max_blocks_) {
    const std::size_t in_use = in_use_;
    lock.unlock();  // the keeper drops what it gives up
    if (!give_up_ || !give_up_())
      return fail(ErrorCode::kOutOfMemory, "the key-value cache is full: {} blocks of {} tokens are in use", in_use,
                  kTokens);
    lock.lock();
  }
  if (free_.empty() && fresh_.empty()) NIBBLE_TRY_STATUS(grow());
  std::vector<std::byte*>& from = free_.empty() ? fresh_ : free_;
  std::byte* block = from.back();
  from.pop_back();
  new (block - kHeaderBytes) Header{1, false};
  ++in_use_;
  return block;
}

bool KvBlockPool::prepare(std::size_t blocks) {
  const std::lock_guard lock(mutex_);
  if (free_.size() >= blocks) return false;
  if (fresh_.empty() && ((max_blocks_ > 0 && blocks_ == max_blocks_) || !grow().ok())) return false;
  volatile std::byte* pages = fresh_.back();
  for (std::size_t at = 0; at < block_bytes_; at += kSmallPage) pages[at] = std::byte{0};
  free_.push_back(fresh_.back());
  fresh_.pop_back();
  return true;
}

void KvBlockPool::share(std::byte* block) {
  const std::lock_guard lock(mutex_);
  Header& h = header(block);
  if (h.kept && h.holders == 1) --only_kept_;
  ++h.holders;
}

void KvBlockPool::release(std::byte* block) {
  Header& h = header(block);
  NIBBLE_CHECK(h.holders > 0);
  if (--h.holders == 0) {
    free_.push_back(block);
    --in_use_;
  }
}

void KvBlockPool::give_back(std::byte* block) {
  const std::lock_guard lock(mutex_);
  release(block);
  const Header& h = header(block);
  if (h.kept && h.holders == 1) ++only_kept_;
}

bool KvBlockPool::is_shared(const std::byte* block) const {
  const std::lock_guard lock(mutex_);
  return header(const_cast<std::byte*>(block)).holders > 1;
}

void KvBlockPool::keep(std::byte* block) {
  const std::lock_guard lock(mutex_);
  NIBBLE_CHECK(!header(block).kept);
  ++header(block).holders;  // of the keeper and at least one other
  header(block).kept = true;
}

void KvBlockPool::drop(std::byte* block) {
  const std::lock_guard lock(mutex_);
  NIBBLE_CHECK(header(block).kept);
  if (header(block).holders == 1) --only_kept_;
  header(block).kept = false;
  release(block);
}

KvCache::KvCache(const ModelConfig& config, const KvCacheOptions& options)
    : layers_(static_cast<std::size_t>(config.num_hidden_layers)),
      layout_(layout_of(config, options.type)),
      packed_layout_(packed_layout_of(config, options.packed_bits)),
      blocks_(layout_.block_bytes() * layers_, options.max_blocks),
      packed_blocks_(packed_layout_ ? packed_layout_->block_bytes() * layers_ : 0, options.max_packed_blocks) {}

std::size_t KvCache::bytes_in_use() const {
  return blocks_.blocks_in_use() * blocks_.block_bytes() +
         packed_blocks_.blocks_in_use() * packed_blocks_.block_bytes();
}

Sequence::~Sequence() {
  for (std::byte* block : blocks_)
    if (block != nullptr) cache_->blocks().give_back(block);
  for (std::byte* block : packed_)
    if (block != nullptr) cache_->packed_blocks().give_back(block);
}

Status Sequence::reserve(std::int64_t tokens) {
  while (blocks_.size() < blocks_of(length_ + tokens)) {
    NIBBLE_TRY(std::byte * block, cache_->blocks().take());
    blocks_.push_back(block);
    if (packs()) packed_.push_back(nullptr);
  }
  if (!packs()) return {};
  for (std::size_t b = full_blocks_of(length_); b < full_blocks_of(length_ + tokens); ++b)
    if (packed_[b] == nullptr) {
      NIBBLE_TRY(packed_[b], cache_->packed_blocks().take());
    }
  return {};
}

void Sequence::advance(std::int64_t tokens) {
  length_ += tokens;
  if (!packs()) return;
  for (std::size_t b = first_recent(length_); b-- > 0 && blocks_[b] != nullptr;) {
    cache_->blocks().give_back(blocks_[b]);
    blocks_[b] = nullptr;
  }
}

Status Sequence::unpack(std::size_t block) {
  NIBBLE_TRY(std::byte * floats, cache_->blocks().take());
  for (int layer = 0; layer < static_cast<int>(cache_->layers()); ++layer)
    kernel::kv_unpack(*cache_->packed_layout(), packed_[block] + cache_->packed_offset(layer), cache_->layout(),
                      floats + cache_->layer_offset(layer));
  blocks_[block] = floats;
  return {};
}

void Sequence::give_back_from(std::size_t block, std::size_t packed_block) {
  for (; blocks_.size() > block; blocks_.pop_back())
    if (blocks_.back() != nullptr) cache_->blocks().give_back(blocks_.back());
  for (std::size_t b = packed_block; b < packed_.size(); ++b)
    if (packed_[b] != nullptr) {
      cache_->packed_blocks().give_back(packed_[b]);
      packed_[b] = nullptr;
    }
  if (packs()) packed_.resize(blocks_.size());
}

Status Sequence::truncate(std::int64_t length) {
  NIBBLE_CHECK(length >= 0 && length <= length_);
  const std::size_t keep = blocks_of(length);
  if (packs())
    for (std::size_t b = first_recent(length); b < keep; ++b)
      if (blocks_[b] == nullptr) NIBBLE_TRY_STATUS(unpack(b));
  // What is written next lies in the last block: not in one that others read.
  if (length % kTokens != 0 && cache_->blocks().is_shared(blocks_[keep - 1])) {
    NIBBLE_TRY(std::byte * own, cache_->blocks().take());
    std::memcpy(own, blocks_[keep - 1], cache_->blocks().block_bytes());
    cache_->blocks().give_back(std::exchange(blocks_[keep - 1], own));
  }
  give_back_from(keep, full_blocks_of(length));
  length_ = length;
  return {};
}

Status Sequence::adopt_beginning(std::byte* floats, std::int64_t tokens) {
  NIBBLE_CHECK(length_ % kTokens == 0 && tokens < kTokens);
  KvBlockPool& pool = cache_->blocks();
  pool.share(floats);  // else the keeper might give it up for the copy
  const Status reserved = reserve(tokens);
  if (reserved.ok()) {
    std::memcpy(blocks_[full_blocks()], floats, pool.block_bytes());
    length_ += tokens;
  }
  pool.give_back(floats);
  return reserved;
}

void Sequence::adopt(std::span<const SharedKvBlock> blocks) {
  NIBBLE_CHECK(length_ % kTokens == 0);
  if (blocks.empty()) return;
  give_back_from(full_blocks_of(length_), full_blocks_of(length_));  // those that were reserved
  for (const SharedKvBlock& block : blocks) {
    if (block.floats != nullptr) cache_->blocks().share(block.floats);
    blocks_.push_back(block.floats);
    if (!packs()) continue;
    cache_->packed_blocks().share(block.packed);
    packed_.push_back(block.packed);
  }
  NIBBLE_CHECK(blocks_.back() != nullptr);
  length_ += static_cast<std::int64_t>(blocks.size()) * kTokens;
  if (!packs()) return;
  for (std::size_t b = 0; b < first_recent(length_); ++b)
    if (blocks_[b] != nullptr) cache_->blocks().give_back(std::exchange(blocks_[b], nullptr));
}

}  // namespace nibble
