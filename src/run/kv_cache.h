// The key-value cache: blocks of 64 positions, all layers of a position together, behind a block table per sequence.
// Older blocks may be packed to 8 or 4 bits; the latest stay floats (kernel/attention/attention.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernel/attention/attention.h"
#include "model/model_config.h"

namespace nibble {

/// Hands out blocks of one size and takes them back. A block may have several holders; it is free again when the last
/// one gave it back. Sequences of several threads may share a pool; the keeper's calls come from one of them.
class KvBlockPool {
 public:
  /// `max_blocks` bounds what may be in use at once (0: only memory does).
  KvBlockPool(std::size_t block_bytes, std::size_t max_blocks) : block_bytes_(block_bytes), max_blocks_(max_blocks) {}

  std::size_t block_bytes() const { return block_bytes_; }
  std::size_t max_blocks() const { return max_blocks_; }
  std::size_t blocks_in_use() const;
  /// Those in use that nothing but the keeper holds.
  std::size_t blocks_only_kept() const;
  /// How many take() can give, one after the other.
  std::size_t available() const;

  /// A block with one holder. When all are in use, the keeper is asked to give up one that only it holds.
  Result<std::byte*> take();
  /// Writes to the pages of one more free block, where fewer than `blocks` free ones were written to: a page's first
  /// write waits until the system has found and cleared it. False when enough were, or no more blocks may be made.
  bool prepare(std::size_t blocks);
  /// One more holder.
  void share(std::byte* block);
  void give_back(std::byte* block);
  bool is_shared(const std::byte* block) const;

  /// The keeper is a holder that gives blocks up when others need them (PrefixIndex). `give_up` drops one that only the
  /// keeper holds, or returns false.
  void set_keeper(std::function<bool()> give_up) { give_up_ = std::move(give_up); }
  /// The keeper holds the block, or no longer does.
  void keep(std::byte* block);
  void drop(std::byte* block);

 private:
  struct FreeBytes {
    void operator()(std::byte* bytes) const;
  };
  /// Lies before the block's bytes.
  struct Header {
    std::uint32_t holders = 0;
    bool kept = false;  ///< the keeper is one of them
  };
  static Header& header(std::byte* block);
  Status grow();
  void release(std::byte* block);

  std::size_t block_bytes_ = 0;
  std::size_t max_blocks_ = 0;
  mutable std::mutex mutex_;  ///< of all that follows and of the headers
  std::size_t in_use_ = 0;
  std::size_t only_kept_ = 0;
  std::function<bool()> give_up_;
  std::vector<std::unique_ptr<std::byte, FreeBytes>> slabs_;
  std::size_t blocks_ = 0;         ///< in all slabs
  std::vector<std::byte*> free_;   ///< those that were written to once
  std::vector<std::byte*> fresh_;  ///< those that never were
};

/// What a cache's blocks hold.
struct KvCacheOptions {
  kernel::KvType type = kernel::KvType::kF16;
  int packed_bits = 0;         ///< 8 or 4: blocks that are not recent hold codes of so many bits; 0: all hold floats
  std::size_t max_blocks = 0;  ///< of floats in use at once; 0: only memory bounds them
  std::size_t max_packed_blocks = 0;  ///< of codes
};

/// The blocks of an engine's sequences and what lies where in them.
class KvCache {
 public:
  KvCache(const ModelConfig& config, const KvCacheOptions& options);

  const kernel::KvBlockLayout& layout() const { return layout_; }
  /// Null where no blocks are packed.
  const kernel::KvPackedLayout* packed_layout() const { return packed_layout_ ? &*packed_layout_ : nullptr; }
  /// Bytes from a block's start to a layer's part. A cache made for fewer layers than the model has serves them in
  /// turn.
  std::size_t layer_offset(int layer) const { return part(layer) * layout_.block_bytes(); }
  std::size_t packed_offset(int layer) const {
    return packed_layout_ ? part(layer) * packed_layout_->block_bytes() : 0;
  }
  std::size_t layers() const { return layers_; }
  /// Bytes of a block, all layers together.
  std::size_t block_bytes() const { return blocks_.block_bytes(); }
  std::size_t packed_block_bytes() const { return packed_blocks_.block_bytes(); }
  std::size_t bytes_in_use() const;

  KvBlockPool& blocks() { return blocks_; }
  KvBlockPool& packed_blocks() { return packed_blocks_; }

 private:
  std::size_t part(int layer) const { return static_cast<std::size_t>(layer) % layers_; }

  std::size_t layers_;
  kernel::KvBlockLayout layout_;
  std::optional<kernel::KvPackedLayout> packed_layout_;
  KvBlockPool blocks_;
  KvBlockPool packed_blocks_;
};

/// A full block as sequences share it. In a cache that packs, `packed` is there and `floats` may be null.
struct SharedKvBlock {
  std::byte* floats = nullptr;
  std::byte* packed = nullptr;
};

/// One text under way: how many positions are cached, and where. Gives its blocks back when destroyed. Blocks that it
/// shares with others are never written.
class Sequence {
 public:
  explicit Sequence(std::shared_ptr<KvCache> cache) : cache_(std::move(cache)) {}
  ~Sequence();
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  /// Positions cached so far; the next token stands at this position.
  std::int64_t length() const { return length_; }
  /// Makes room for `tokens` more positions.
  Status reserve(std::int64_t tokens);
  /// So many more positions are in the blocks. Floats that no later position sees are given back.
  void advance(std::int64_t tokens);
  /// Forgets everything from position `length` on. Of a packed cache, blocks that are recent again become floats; on an
  /// error (no memory for them) nothing has changed.
  Status truncate(std::int64_t length);
  /// Continues with full blocks that another sequence computed for the same tokens at the same positions. length() is a
  /// multiple of 64; in a cache that packs, the last of them has floats.
  void adopt(std::span<const SharedKvBlock> blocks);
  /// Continues with the first `tokens` positions of another sequence's full block of floats, in a copy: what comes next
  /// differs. length() is a multiple of 64 and tokens < 64. On an error (no memory for it) nothing has changed.
  Status adopt_beginning(std::byte* floats, std::int64_t tokens);
  /// Full block `index`, for others to share.
  SharedKvBlock full_block(std::size_t index) const { return {blocks_[index], packs() ? packed_[index] : nullptr}; }
  std::size_t full_blocks() const { return static_cast<std::size_t>(length_) / kernel::KvBlockLayout::kTokens; }
  /// The cache blocks of positions 0, 64, 128 ..., and those of them that are packed (null in a cache without); valid
  /// until the next call.
  std::byte* const* blocks() const { return blocks_.data(); }
  std::byte* const* packed_blocks() const { return packed_.empty() ? nullptr : packed_.data(); }

 private:
  bool packs() const { return cache_->packed_layout() != nullptr; }
  Status unpack(std::size_t block);
  /// Gives back blocks and packed blocks from those numbers on.
  void give_back_from(std::size_t block, std::size_t packed_block);

  std::shared_ptr<KvCache> cache_;
  std::vector<std::byte*> blocks_;  ///< null where only the packed block is left
  std::vector<std::byte*> packed_;  ///< as many in a cache that packs; null where the block is not full
  std::int64_t length_ = 0;
};

}  // namespace nibble
