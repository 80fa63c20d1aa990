#include "text/grammar/grammar_state.h"

#include <algorithm>
#include <mutex>

#include "base/check.h"
#include "base/utf8.h"

namespace nibble {

using grammar::Group;
using grammar::Runs;
using grammar::Stacks;

GrammarState::GrammarState(std::shared_ptr<GrammarMatcher> matcher) : matcher_(std::move(matcher)) {
  const std::lock_guard lock(matcher_->mutex_);
  const grammar::Automaton& automaton = matcher_->grammar().automaton();
  Runs runs(stacks_, matcher_->configurations_);
  runs.start_at(automaton.rule_start[automaton.root]);
  Stacks stacks;
  runs.settle(matcher_->grammar().max_stack_depth(), stacks, groups_);
  stacks_ = std::move(stacks);
  may_end_ = runs.at_end();
}

std::uint32_t GrammarState::depth() const {
  std::uint32_t depth = 0;
  for (const Group& group : groups_) depth = std::max(depth, stacks_.depth(group.node));
  return depth;
}

Status GrammarState::allowed(std::span<std::uint64_t> bitmask) {
  const TokenTrie& trie = matcher_->trie();
  NIBBLE_CHECK(bitmask.size() * 64 >= trie.vocab_size());
  std::fill(bitmask.begin(), bitmask.end(), 0U);
  const auto words = bitmask.first((trie.vocab_size() + 63) / 64);
  if (!finished_) {
    const std::lock_guard lock(matcher_->mutex_);
    matcher_->forget_if_much();
    TokenMaskBuilder builder(*matcher_, stacks_, words);
    for (const Group& group : groups_) builder.add(group);
    const Status status = builder.status();
    if (!status.ok()) {
      matcher_->forget();  // a mask cut short must not be kept
      return status;
    }
  }
  if (may_end_)
    for (const std::int32_t id : trie.end_of_generation())
      words[static_cast<std::uint32_t>(id) / 64] |= std::uint64_t{1} << (static_cast<std::uint32_t>(id) % 64);
  if (may_end_ || std::any_of(words.begin(), words.end(), [](std::uint64_t word) { return word != 0; })) return {};
  if (depth() + matcher_->grammar().automaton().max_call_depth >= matcher_->grammar().max_stack_depth())
    return fail(ErrorCode::kUnsupported, "the grammar cannot go on: its texts may nest {} levels deep",
                matcher_->grammar().max_stack_depth());
  return fail(ErrorCode::kUnsupported, "the grammar cannot go on: no token of the vocabulary continues the text");
}

Status GrammarState::accept(std::int32_t token) {
  if (finished_) return fail(ErrorCode::kInvalidArgument, "token {}: the text has ended", token);
  if (matcher_->trie().is_end_of_generation(token)) {
    if (!may_end_) return fail(ErrorCode::kInvalidArgument, "token {}: the text may not end here", token);
    finished_ = true;
    groups_.clear();
    return {};
  }
  const std::string_view bytes = matcher_->trie().piece(token);
  if (bytes.empty()) return fail(ErrorCode::kInvalidArgument, "token {}: is no text", token);
  return accept_bytes(bytes);
}

Status GrammarState::accept_bytes(std::string_view bytes) {
  if (bytes.empty()) return {};
  const std::lock_guard lock(matcher_->mutex_);
  matcher_->forget_if_much();
  Runs runs(stacks_, matcher_->configurations_);
  runs.start(groups_);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    if (!runs.step(static_cast<std::uint8_t>(bytes[i])))
      return fail(ErrorCode::kInvalidArgument, "\"{}\": the grammar does not allow byte {} here", printable(bytes), i);
  Stacks stacks;
  std::vector<Group> groups;
  runs.settle(matcher_->grammar().max_stack_depth(), stacks, groups);
  if (groups.empty() && !runs.at_end())
    return fail(ErrorCode::kInvalidArgument, "\"{}\": nests deeper than {} levels", printable(bytes),
                matcher_->grammar().max_stack_depth());
  stacks_ = std::move(stacks);
  groups_ = std::move(groups);
  may_end_ = runs.at_end();
  return {};
}

}  // namespace nibble
