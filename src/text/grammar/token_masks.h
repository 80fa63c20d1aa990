// Which tokens may follow: a walk through the trie of tokens and the grammar's configurations at once. What depends on
// the automaton's states only is kept; what goes on in the rules below them is walked each time.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/result.h"
#include "text/grammar/configurations.h"
#include "text/grammar/grammar.h"
#include "text/grammar/stacks.h"
#include "text/grammar/token_trie.h"

namespace nibble {

/// A grammar with a vocabulary, and all that was found out about them so far. Shared by the states of all sequences
/// that are decoded with this grammar; its use is serialized within.
class GrammarMatcher {
 public:
  GrammarMatcher(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> trie);

  const Grammar& grammar() const { return *grammar_; }
  const TokenTrie& trie() const { return *trie_; }
  /// Memory of what was found out; bounded by kMaxKeptBytes between calls.
  std::size_t memory_bytes() const;

  /// More than this is forgotten before the next token.
  static constexpr std::size_t kMaxKeptBytes = std::size_t{32} << 20;
  /// A single token that needs more memory or more nodes of the trie than this fails.
  static constexpr std::size_t kMaxBytes = std::size_t{128} << 20;
  static constexpr std::size_t kMaxVisits = 50'000'000;

 private:
  friend class GrammarState;
  friend class TokenMaskBuilder;

  /// What follows states whose rules below are unknown.
  struct Mask {
    std::vector<std::uint64_t> bits;     ///< of the vocabulary, or empty:
    std::vector<std::int32_t> tokens;    ///< allowed tokens, where they are few
    std::vector<std::uint32_t> returns;  ///< nodes of the trie with children where the states' own rule may have ended
    std::uint32_t depth = 0;             ///< how much deeper the stack becomes, at most
    std::size_t memory_bytes() const {
      return sizeof(Mask) + bits.size() * sizeof(std::uint64_t) +
             (tokens.size() + returns.size()) * sizeof(std::uint32_t);
    }
  };

  void forget();
  void forget_if_much();

  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const TokenTrie> trie_;
  mutable std::mutex mutex_;
  grammar::Configurations configurations_;
  std::vector<std::unique_ptr<Mask>> masks_;  ///< per configuration
  std::size_t mask_bytes_ = 0;
};

/// Computes one bitmask. The matcher is locked.
class TokenMaskBuilder {
 public:
  TokenMaskBuilder(GrammarMatcher& matcher, const grammar::Stacks& stacks, std::span<std::uint64_t> bitmask)
      : matcher_(matcher), trie_(*matcher.trie_), stacks_(stacks), bitmask_(bitmask) {}

  void add(const grammar::Group& group);
  /// Fails when a bound was exceeded.
  Status status() const;

 private:
  using Mask = GrammarMatcher::Mask;

  /// Tokens next to each other in the trie's order.
  struct TokenRange {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
  };

  const Mask& mask_of(grammar::ConfigurationId configuration);
  void find_local(grammar::ConfigurationId configuration, Mask& mask, std::vector<TokenRange>& ranges);
  /// Allows the tokens below `trie_node` that the configuration on top of `below` accepts.
  void walk(std::uint32_t trie_node, grammar::ConfigurationId configuration, grammar::NodeId below);
  /// Goes on below `node` with what waits there; with `here`, tokens that end at the node are allowed too.
  void after_return(std::uint32_t trie_node, grammar::NodeId below, bool here);
  void allow_tokens_of(std::uint32_t trie_node);
  bool spent();

  GrammarMatcher& matcher_;
  const TokenTrie& trie_;
  const grammar::Stacks& stacks_;
  std::span<std::uint64_t> bitmask_;
  std::size_t visits_ = 0;
};

}  // namespace nibble
