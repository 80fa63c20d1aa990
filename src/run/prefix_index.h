// Full blocks of the key-value cache by the tokens that lead to them, so that a text that begins as an earlier one did
// continues with its blocks. A tree: a node is a block of 64 tokens after those of its parents.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "run/kv_cache.h"

namespace nibble {

/// The keeper of a cache's blocks: holds those of finished texts until others need the room, the least recently used
/// first. Tokens are compared, not hashes of them, so a block is found only by the text that it was computed for.
///
/// The result of a model's step depends on nothing but the tokens before it (attention.h), so a text continues after
/// adopted blocks as after its own, to the bit. With packed blocks that needs the last adopted block's floats; they are
/// kept as long as the pool of floats has room, and where they are gone fewer blocks are adopted.
class PrefixIndex {
 public:
  explicit PrefixIndex(std::shared_ptr<KvCache> cache);
  ~PrefixIndex();
  PrefixIndex(const PrefixIndex&) = delete;
  PrefixIndex& operator=(const PrefixIndex&) = delete;

  /// `tokens` is the text of a sequence, whose length() is a multiple of 64. Lets the sequence adopt the blocks known
  /// for what follows, but leaves at least the last token to compute. Returns how many tokens were adopted.
  std::int64_t adopt(Sequence& sequence, std::span<const std::int32_t> tokens);

  /// The same for the block after those that adopt() finds, where one begins with the same tokens and then differs: its
  /// beginning is copied. Worth it only when no other sequence is about to compute the whole block.
  std::int64_t adopt_beginning(Sequence& sequence, std::span<const std::int32_t> tokens);

  /// Remembers the full blocks of a sequence. `tokens` [at least sequence.length()].
  void insert(const Sequence& sequence, std::span<const std::int32_t> tokens);

  std::size_t size() const { return recency_.size(); }

 private:
  static constexpr std::size_t kTokens = kernel::KvBlockLayout::kTokens;
  struct Node;
  using Nodes = std::list<Node>;
  using Key = std::array<std::int32_t, kTokens>;
  struct Node {
    SharedKvBlock block;
    Node* parent = nullptr;  ///< null: the root
    Key tokens{};
    std::map<Key, Nodes::iterator> children;
  };

  /// The nodes of the text's full blocks, but for the one with its last token, as far as they are known.
  std::vector<Node*> path_of(std::span<const std::int32_t> tokens);
  std::map<Key, Nodes::iterator>& children_of(Node* node) { return node != nullptr ? node->children : roots_; }
  /// The child of `node` (null: the root) for block number `block` of the text, or null.
  Node* child(Node* node, std::span<const std::int32_t> tokens, std::size_t block);
  static Key key_of(std::span<const std::int32_t> tokens, std::size_t block);
  void touch(std::span<Node* const> path);
  void remove_with_children(Node* node);
  bool give_up_floats();
  bool give_up_packed();

  std::shared_ptr<KvCache> cache_;
  std::map<Key, Nodes::iterator> roots_;
  Nodes recency_;  ///< the most recently used first; a node before its children
};

}  // namespace nibble
