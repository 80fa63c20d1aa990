// Blocks of the key-value cache.
#include "run/kv_cache.h"

#include <cstdlib>

#include "base/check.h"

namespace nibble {

KvBlockPool::KvBlockPool(const ModelConfig& config, kernel::KvType type, std::size_t max_blocks)
    : max_blocks_(max_blocks) {
  layout_.kv_heads = static_cast<int>(config.num_key_value_heads);
  layout_.head_dim = static_cast<int>(config.head_dim);
  layout_.type = type;
  block_bytes_ = layout_.block_bytes() * static_cast<std::size_t>(config.num_hidden_layers);
}

void KvBlockPool::FreeBytes::operator()(std::byte* bytes) const { std::free(bytes); }

Result<std::byte*> KvBlockPool::take() {
  if (max_blocks_ > 0 && in_use_ >= max_blocks_)
    return fail(ErrorCode::kOutOfMemory, "the key-value cache is full: {} blocks of {} tokens are in use", in_use_,
                kernel::KvBlockLayout::kTokens);
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

void Sequence::truncate(std::int64_t length) {
  NIBBLE_CHECK(length >= 0 && length <= length_);
  constexpr std::int64_t kTokens = kernel::KvBlockLayout::kTokens;
  const auto keep = static_cast<std::size_t>((length + kTokens - 1) / kTokens);
  while (blocks_.size() > keep) {
    pool_->give_back(blocks_.back());
    blocks_.pop_back();
  }
  length_ = length;
}

Status Sequence::reserve(std::int64_t tokens) {
  constexpr std::int64_t kTokens = kernel::KvBlockLayout::kTokens;
  const auto needed = static_cast<std::size_t>((length_ + tokens + kTokens - 1) / kTokens);
  while (blocks_.size() < needed) {
    NIBBLE_TRY(std::byte * block, pool_->take());
    blocks_.push_back(block);
  }
  return {};
}

}  // namespace nibble
