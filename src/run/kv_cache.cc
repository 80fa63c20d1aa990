// Blocks of the key-value cache.
#include "run/kv_cache.h"

#include <algorithm>
#include <cstdlib>

#include "base/check.h"

namespace nibble {
namespace {

constexpr std::int64_t kTokens = kernel::KvBlockLayout::kTokens;

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

Result<std::byte*> KvBlockPool::take() {
  if (max_blocks_ > 0 && in_use_ >= max_blocks_)
    return fail(ErrorCode::kOutOfMemory, "the key-value cache is full: {} blocks of {} tokens are in use", in_use_,
                kTokens);
  if (free_.empty()) {
    void* memory = std::aligned_alloc(64, (block_bytes_ + 63) / 64 * 64);
    if (memory == nullptr)
      return fail(ErrorCode::kOutOfMemory, "no memory for a key-value block of {} bytes", block_bytes_);
    all_.emplace_back(static_cast<std::byte*>(memory));
    free_.push_back(all_.back().get());
  }
  std::byte* block = free_.back();
  free_.pop_back();
  ++in_use_;
  return block;
}

void KvBlockPool::give_back(std::byte* block) {
  free_.push_back(block);
  --in_use_;
}

KvCache::KvCache(const ModelConfig& config, const KvCacheOptions& options)
    : layers_(static_cast<std::size_t>(config.num_hidden_layers)),
      layout_(layout_of(config, options.type)),
      packed_layout_(packed_layout_of(config, options.packed_bits)),
      blocks_(layout_.block_bytes() * layers_, options.max_blocks),
      packed_blocks_(packed_layout_ ? packed_layout_->block_bytes() * layers_ : 0, options.max_blocks) {}

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

Status Sequence::truncate(std::int64_t length) {
  NIBBLE_CHECK(length >= 0 && length <= length_);
  const std::size_t keep = blocks_of(length);
  if (packs())
    for (std::size_t b = first_recent(length); b < keep; ++b)
      if (blocks_[b] == nullptr) NIBBLE_TRY_STATUS(unpack(b));
  for (; blocks_.size() > keep; blocks_.pop_back())
    if (blocks_.back() != nullptr) cache_->blocks().give_back(blocks_.back());
  for (std::size_t b = full_blocks_of(length); b < packed_.size(); ++b)
    if (packed_[b] != nullptr) {
      cache_->packed_blocks().give_back(packed_[b]);
      packed_[b] = nullptr;
    }
  if (packs()) packed_.resize(keep);
  length_ = length;
  return {};
}

}  // namespace nibble
