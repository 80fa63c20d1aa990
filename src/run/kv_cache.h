// The key-value cache: blocks of 64 positions, all layers of a position together, behind a block table per sequence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "kernel/attention/attention.h"
#include "model/model_config.h"

namespace nibble {

/// Hands out blocks and takes them back. Not thread-safe: one engine, one pool.
class KvBlockPool {
 public:
  /// `max_blocks` bounds what may be in use at once (0: only memory does).
  KvBlockPool(const ModelConfig& config, kernel::KvType type, std::size_t max_blocks = 0);

  const kernel::KvBlockLayout& layout() const { return layout_; }
  /// Bytes from a block's start to a layer's part. A pool made for fewer layers than the model has serves them in turn.
  std::size_t layer_offset(int layer) const {
    return static_cast<std::size_t>(layer) * layout_.block_bytes() % block_bytes_;
  }
  std::size_t block_bytes() const { return block_bytes_; }
  std::size_t blocks_in_use() const { return in_use_; }

  Result<std::byte*> take();
  void give_back(std::byte* block);

 private:
  struct FreeBytes {
    void operator()(std::byte* bytes) const;
  };
  kernel::KvBlockLayout layout_;
  std::size_t block_bytes_ = 0;
  std::size_t max_blocks_ = 0;
  std::size_t in_use_ = 0;
  std::vector<std::unique_ptr<std::byte, FreeBytes>> all_;
  std::vector<std::byte*> free_;
};

/// One text under way: how many positions are cached, and where. Gives its blocks back when destroyed.
class Sequence {
 public:
  explicit Sequence(std::shared_ptr<KvBlockPool> pool) : pool_(std::move(pool)) {}
  ~Sequence() { truncate(0); }
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  /// Positions cached so far; the next token stands at this position.
  std::int64_t length() const { return length_; }
  /// Forgets everything from position `length` on.
  void truncate(std::int64_t length);
  /// Makes room for `tokens` more positions.
  Status reserve(std::int64_t tokens);
  /// The cache blocks of positions 0, 64, 128 ...; valid until the next call.
  std::byte* const* blocks() const { return blocks_.data(); }

 private:
  friend class CpuExecutor;
  std::shared_ptr<KvBlockPool> pool_;
  std::vector<std::byte*> blocks_;
  std::int64_t length_ = 0;
};

}  // namespace nibble
