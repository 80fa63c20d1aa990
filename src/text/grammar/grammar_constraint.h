// A grammar as the engine asks for it: TokenConstraint over a GrammarState.
#pragma once

#include <memory>
#include <vector>

#include "nibble/token_constraint.h"
#include "text/grammar/grammar_state.h"

namespace nibble {

class GrammarConstraint final : public TokenConstraint {
 public:
  /// At the beginning of a text.
  explicit GrammarConstraint(const std::shared_ptr<GrammarMatcher>& matcher)
      : state_(matcher), bitmask_((matcher->trie().vocab_size() + 63) / 64) {}

  Result<std::span<const std::uint64_t>> allowed() override {
    if (const Status status = state_.allowed(bitmask_); !status.ok()) return status.error();
    return std::span<const std::uint64_t>(bitmask_);
  }
  Status accept(std::int32_t id) override { return state_.accept(id); }

 private:
  GrammarState state_;
  std::vector<std::uint64_t> bitmask_;
};

}  // namespace nibble
