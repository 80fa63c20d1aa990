#include "text/grammar/token_masks.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nibble {

using grammar::ConfigurationId;
using grammar::Configurations;
using grammar::Frame;
using grammar::Group;
using grammar::NodeId;
using grammar::Stacks;

namespace {

void set_bit(std::span<std::uint64_t> bits, std::int32_t id) {
  const auto at = static_cast<std::uint32_t>(id);
  bits[at / 64] |= std::uint64_t{1} << (at % 64);
}

}  // namespace

GrammarMatcher::GrammarMatcher(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> trie)
    : grammar_(std::move(grammar)), trie_(std::move(trie)), configurations_(grammar_->automaton()) {}

std::size_t GrammarMatcher::memory_bytes() const {
  const std::lock_guard lock(mutex_);
  return configurations_.memory_bytes() + mask_bytes_;
}

void GrammarMatcher::forget_if_much() {
  if (configurations_.memory_bytes() + mask_bytes_ > kMaxKeptBytes) forget();
}

void GrammarMatcher::forget() {
  configurations_.clear();
  masks_.clear();
  mask_bytes_ = 0;
}

bool TokenMaskBuilder::spent() {
  return ++visits_ > GrammarMatcher::kMaxVisits ||
         (visits_ % 256 == 0 && matcher_.configurations_.memory_bytes() > GrammarMatcher::kMaxBytes);
}

Status TokenMaskBuilder::status() const {
  if (visits_ <= GrammarMatcher::kMaxVisits && matcher_.configurations_.memory_bytes() <= GrammarMatcher::kMaxBytes)
    return {};
  return fail(ErrorCode::kUnsupported,
              "the grammar is too ambiguous: one token needs more than {} MiB or {} steps; simplify patterns and "
              "alternatives that begin alike",
              GrammarMatcher::kMaxBytes >> 20, GrammarMatcher::kMaxVisits);
}

void TokenMaskBuilder::allow_tokens_of(std::uint32_t trie_node) {
  const auto nodes = trie_.nodes();
  for (std::uint32_t i = nodes[trie_node].tokens; i < nodes[trie_node + 1].tokens; ++i)
    set_bit(bitmask_, trie_.tokens()[i]);
}

void TokenMaskBuilder::add(const Group& group) {
  const ConfigurationId configuration = matcher_.configurations_.of_states(group.states);
  const Mask& mask = mask_of(configuration);
  if (stacks_.depth(group.node) + mask.depth > matcher_.grammar_->max_stack_depth()) {
    walk(0, configuration, group.node);  // some of the tokens may lead too deep: look at each
    return;
  }
  for (std::size_t i = 0; i < mask.bits.size(); ++i) bitmask_[i] |= mask.bits[i];
  for (const std::int32_t token : mask.tokens) set_bit(bitmask_, token);
  for (const std::uint32_t trie_node : mask.returns) after_return(trie_node, group.node, false);
}

const TokenMaskBuilder::Mask& TokenMaskBuilder::mask_of(ConfigurationId configuration) {
  auto& masks = matcher_.masks_;
  if (configuration >= masks.size()) masks.resize(configuration + 1);
  if (masks[configuration] != nullptr) return *masks[configuration];

  auto mask = std::make_unique<Mask>();
  std::vector<TokenRange> ranges;
  find_local(configuration, *mask, ranges);
  std::size_t count = 0;
  for (const TokenRange& range : ranges) count += range.end - range.begin;
  const bool few = count <= 2 * bitmask_.size();  // as ids they take no more memory
  if (!few) mask->bits.resize(bitmask_.size());
  for (const TokenRange& range : ranges) {
    const auto tokens = trie_.tokens().subspan(range.begin, range.end - range.begin);
    if (few) mask->tokens.insert(mask->tokens.end(), tokens.begin(), tokens.end());
    for (std::size_t i = 0; !few && i < tokens.size(); ++i) set_bit(mask->bits, tokens[i]);
  }
  mask->tokens.shrink_to_fit();
  matcher_.mask_bytes_ += mask->memory_bytes();
  masks[configuration] = std::move(mask);
  return *masks[configuration];
}

/// The walk through the whole trie. Tokens lie in its order, so that those of a subtree without gaps are one range.
void TokenMaskBuilder::find_local(ConfigurationId configuration, Mask& mask, std::vector<TokenRange>& ranges) {
  Configurations& configurations = matcher_.configurations_;
  const TokenTrie::Node* const nodes = trie_.nodes().data();
  const auto end = static_cast<std::uint32_t>(trie_.nodes().size() - 1);
  std::array<ConfigurationId, TokenTrie::kMaxTokenBytes + 1> path;
  path[0] = configuration;
  TokenRange range;
  ConfigurationId deepest = configuration;  // the last one whose depth was looked at
  for (std::uint32_t n = 1; n < end && !spent();) {
    const TokenTrie::Node& node = nodes[n];
    const Configurations::Step step = configurations.next(path[node.depth - 1], node.byte);
    const ConfigurationId at = step.configuration();
    if (at == Configurations::kDead && !step.returns()) {
      n = node.end;
      continue;
    }
    if (node.tokens != range.end) {
      if (range.begin < range.end) ranges.push_back(range);
      range.begin = node.tokens;
    }
    range.end = nodes[n + 1].tokens;
    if (at != deepest && node.tokens < range.end && !step.returns()) {
      mask.depth = std::max(mask.depth, configurations.depth(at));
      deepest = at;
    }
    if (step.returns() && node.end > n + 1) mask.returns.push_back(n);
    path[node.depth] = at;
    n = at == Configurations::kDead ? node.end : n + 1;
  }
  if (range.begin < range.end) ranges.push_back(range);
}

void TokenMaskBuilder::walk(std::uint32_t trie_node, ConfigurationId configuration, NodeId below) {
  Configurations& configurations = matcher_.configurations_;
  const std::uint32_t max_depth = matcher_.grammar_->max_stack_depth();
  const auto nodes = trie_.nodes();
  std::array<ConfigurationId, TokenTrie::kMaxTokenBytes + 1> path;
  path[nodes[trie_node].depth] = configuration;
  const std::uint32_t end = trie_node == 0 ? static_cast<std::uint32_t>(nodes.size() - 1) : nodes[trie_node].end;
  for (std::uint32_t n = trie_node + 1; n < end && !spent();) {
    const TokenTrie::Node& node = nodes[n];
    const Configurations::Step step = configurations.next(path[node.depth - 1], node.byte);
    const ConfigurationId at = step.configuration();
    if (at != Configurations::kDead && stacks_.depth(below) + configurations.depth(at) <= max_depth) allow_tokens_of(n);
    if (step.returns()) after_return(n, below, true);
    path[node.depth] = at;
    n = at == Configurations::kDead ? node.end : n + 1;
  }
}

void TokenMaskBuilder::after_return(std::uint32_t trie_node, NodeId below, bool here) {
  Configurations& configurations = matcher_.configurations_;
  for (const Frame& frame : stacks_.frames(below)) {
    if (frame.state == Stacks::kEnd) {
      if (here) allow_tokens_of(trie_node);
      continue;
    }
    const Configurations::Step step = configurations.after(frame.state);
    const ConfigurationId at = step.configuration();
    if (at != Configurations::kDead) {
      const std::uint32_t depth = stacks_.depth(frame.node) + configurations.depth(at);
      if (here && depth <= matcher_.grammar_->max_stack_depth()) allow_tokens_of(trie_node);
      walk(trie_node, at, frame.node);
    }
    if (step.returns()) after_return(trie_node, frame.node, here);
  }
}

}  // namespace nibble
