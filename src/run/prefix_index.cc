// The tree of blocks and what is given up first.
#include "run/prefix_index.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "base/check.h"

namespace nibble {
namespace {

/// So many tokens take longer to compute than a block takes to copy.
constexpr std::size_t kLeastBeginning = 8;

}  // namespace

PrefixIndex::PrefixIndex(std::shared_ptr<KvCache> cache) : cache_(std::move(cache)) {
  cache_->blocks().set_keeper([this] { return give_up_floats(); });
  cache_->packed_blocks().set_keeper([this] { return give_up_packed(); });
}

PrefixIndex::~PrefixIndex() {
  cache_->blocks().set_keeper(nullptr);
  cache_->packed_blocks().set_keeper(nullptr);
  for (Node& node : recency_) {
    if (node.block.floats != nullptr) cache_->blocks().drop(node.block.floats);
    if (node.block.packed != nullptr) cache_->packed_blocks().drop(node.block.packed);
  }
}

PrefixIndex::Key PrefixIndex::key_of(std::span<const std::int32_t> tokens, std::size_t block) {
  Key key;
  std::copy_n(tokens.begin() + static_cast<std::ptrdiff_t>(block * kTokens), kTokens, key.begin());
  return key;
}

PrefixIndex::Node* PrefixIndex::child(Node* node, std::span<const std::int32_t> tokens, std::size_t block) {
  const auto& children = children_of(node);
  const auto found = children.find(key_of(tokens, block));
  return found == children.end() ? nullptr : &*found->second;
}

/// From the last to the first, so that a node is always more recent than its children.
void PrefixIndex::touch(std::span<Node* const> path) {
  for (std::size_t i = path.size(); i-- > 0;) {
    const auto place = children_of(path[i]->parent).find(path[i]->tokens)->second;
    recency_.splice(recency_.begin(), recency_, place);
  }
}

std::vector<PrefixIndex::Node*> PrefixIndex::path_of(std::span<const std::int32_t> tokens) {
  const std::size_t most = (tokens.size() - 1) / kTokens;
  std::vector<Node*> path;
  for (Node* node = nullptr; path.size() < most;) {
    node = child(node, tokens, path.size());
    if (node == nullptr) break;
    path.push_back(node);
  }
  return path;
}

std::int64_t PrefixIndex::adopt(Sequence& sequence, std::span<const std::int32_t> tokens) {
  if (tokens.empty()) return 0;
  const std::size_t have = sequence.full_blocks();
  std::vector<Node*> path = path_of(tokens);
  while (path.size() > have && path.back()->block.floats == nullptr) path.pop_back();
  if (path.size() <= have) return 0;
  touch(path);
  std::vector<SharedKvBlock> blocks;
  for (std::size_t i = have; i < path.size(); ++i) blocks.push_back(path[i]->block);
  sequence.adopt(blocks);
  return static_cast<std::int64_t>(blocks.size() * kTokens);
}

std::int64_t PrefixIndex::adopt_beginning(Sequence& sequence, std::span<const std::int32_t> tokens) {
  if (tokens.empty()) return 0;
  std::vector<Node*> path = path_of(tokens);
  const std::size_t have = sequence.full_blocks();
  if (path.size() != have) return 0;
  // In the order of the children, the one with the longest beginning in common is beside where these tokens would be.
  const std::span<const std::int32_t> rest = tokens.subspan(have * kTokens);
  const std::size_t most = std::min(rest.size() - 1, kTokens - 1);
  Key key;
  key.fill(std::numeric_limits<std::int32_t>::min());
  std::copy_n(rest.begin(), most, key.begin());
  const std::map<Key, Nodes::iterator>& children = children_of(have > 0 ? path.back() : nullptr);
  const auto next = children.lower_bound(key);
  Node* best = nullptr;
  std::size_t longest = kLeastBeginning - 1;
  const auto consider = [&](Node& node) {
    const auto [mine, its] =
        std::mismatch(key.begin(), key.begin() + static_cast<std::ptrdiff_t>(most), node.tokens.begin());
    const auto common = static_cast<std::size_t>(mine - key.begin());
    if (common <= longest || node.block.floats == nullptr) return;
    longest = common;
    best = &node;
  };
  if (next != children.end()) consider(*next->second);
  if (next != children.begin()) consider(*std::prev(next)->second);
  if (best == nullptr) return 0;
  path.push_back(best);
  touch(path);
  if (!sequence.adopt_beginning(best->block.floats, static_cast<std::int64_t>(longest)).ok()) return 0;
  return static_cast<std::int64_t>(longest);
}

void PrefixIndex::insert(const Sequence& sequence, std::span<const std::int32_t> tokens) {
  NIBBLE_CHECK(std::ssize(tokens) >= sequence.length());
  std::vector<Node*> path;
  for (std::size_t b = 0; b < sequence.full_blocks(); ++b) {
    Node* parent = path.empty() ? nullptr : path.back();
    Node* node = child(parent, tokens, b);
    const SharedKvBlock block = sequence.full_block(b);
    if (node == nullptr) {
      recency_.emplace_front();
      node = &recency_.front();
      node->parent = parent;
      node->tokens = key_of(tokens, b);
      node->block.packed = block.packed;
      if (block.packed != nullptr) cache_->packed_blocks().keep(block.packed);
      children_of(parent).emplace(node->tokens, recency_.begin());
    }
    if (node->block.floats == nullptr && block.floats != nullptr) {
      node->block.floats = block.floats;
      cache_->blocks().keep(block.floats);
    }
    path.push_back(node);
  }
  touch(path);
}

void PrefixIndex::remove_with_children(Node* top) {
  std::vector<Node*> nodes{top};
  for (std::size_t i = 0; i < nodes.size(); ++i)
    for (const auto& [key, place] : nodes[i]->children) nodes.push_back(&*place);
  for (std::size_t i = nodes.size(); i-- > 0;) {
    const Node& node = *nodes[i];
    if (node.block.floats != nullptr) cache_->blocks().drop(node.block.floats);
    if (node.block.packed != nullptr) cache_->packed_blocks().drop(node.block.packed);
    auto& siblings = children_of(node.parent);
    const auto entry = siblings.find(node.tokens);
    const auto place = entry->second;
    siblings.erase(entry);
    recency_.erase(place);
  }
}

bool PrefixIndex::give_up_floats() {
  KvBlockPool& pool = cache_->blocks();
  if (pool.blocks_only_kept() == 0) return false;
  for (auto node = recency_.rbegin(); node != recency_.rend(); ++node) {
    if (node->block.floats == nullptr || pool.is_shared(node->block.floats)) continue;
    if (node->block.packed != nullptr) {
      pool.drop(node->block.floats);
      node->block.floats = nullptr;
    } else {
      remove_with_children(&*node);
    }
    return true;
  }
  return false;
}

bool PrefixIndex::give_up_packed() {
  KvBlockPool& pool = cache_->packed_blocks();
  if (pool.blocks_only_kept() == 0) return false;
  for (auto node = recency_.rbegin(); node != recency_.rend(); ++node) {
    if (node->block.packed == nullptr || pool.is_shared(node->block.packed)) continue;
    remove_with_children(&*node);
    return true;
  }
  return false;
}

}  // namespace nibble
