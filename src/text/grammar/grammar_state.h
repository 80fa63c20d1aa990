// GrammarState: how far a text has got in a grammar, and which tokens may follow. One per sequence that is decoded.
//
//   NIBBLE_TRY(auto grammar, grammar_of_schema(schema));
//   auto matcher = std::make_shared<GrammarMatcher>(grammar, trie);   // one per grammar; keeps what was found out
//   GrammarState state(matcher);
//   per token: state.allowed(bitmask); sample among the bits; state.accept(token); until state.finished()
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/grammar/configurations.h"
#include "text/grammar/grammar.h"
#include "text/grammar/token_masks.h"
#include "text/grammar/token_trie.h"

namespace nibble {

/// Copies are independent. One object must not be used by several threads at once; several of one matcher may.
class GrammarState {
 public:
  /// At the beginning of a text.
  explicit GrammarState(std::shared_ptr<GrammarMatcher> matcher);

  /// Writes which tokens may follow: bit id % 64 of bitmask[id / 64]. The bitmask has at least one bit for each token
  /// of the vocabulary; bits beyond are cleared. End-of-generation tokens are allowed where may_end(). Fails with
  /// kUnsupported when no token may follow (in a vocabulary that lacks bytes, or where the grammar wants deeper nesting
  /// than its limit) and when the grammar is so ambiguous that the bounds on memory and work are exceeded.
  Status allowed(std::span<std::uint64_t> bitmask);

  /// Takes a token. Fails with kInvalidArgument, leaving the state as it was, when it is not allowed.
  Status accept(std::int32_t token);
  /// Takes bytes, wherever tokens may end; several calls may split them anywhere. Fails as accept().
  Status accept_bytes(std::string_view bytes);

  /// Whether the text so far is a whole one.
  bool may_end() const { return may_end_; }
  /// Whether nothing can follow.
  bool must_end() const { return groups_.empty(); }
  /// Whether an end-of-generation token was taken.
  bool finished() const { return finished_; }
  /// Rules that wait for another one to end, at the deepest.
  std::uint32_t depth() const;

 private:
  std::shared_ptr<GrammarMatcher> matcher_;
  grammar::Stacks stacks_;
  std::vector<grammar::Group> groups_;  ///< what the automaton may be doing: states and what waits below them
  bool may_end_ = false;
  bool finished_ = false;
};

}  // namespace nibble
