// What the tests of grammars share: a vocabulary of single bytes, and texts run through a grammar.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/grammar/grammar_builder.h"
#include "text/grammar/grammar_state.h"
#include "text/grammar/json_schema.h"

namespace nibble {

/// Token id = byte; the last id ends generation.
inline std::shared_ptr<const TokenTrie> byte_trie() {
  static const auto trie = [] {
    std::vector<std::string> pieces;
    for (int byte = 0; byte < 256; ++byte) pieces.emplace_back(1, static_cast<char>(byte));
    pieces.emplace_back();
    return TokenTrie::of_pieces(std::move(pieces), {256});
  }();
  return trie;
}

inline GrammarState start_of(std::shared_ptr<const Grammar> grammar,
                             std::shared_ptr<const TokenTrie> trie = byte_trie()) {
  return GrammarState(std::make_shared<GrammarMatcher>(std::move(grammar), std::move(trie)));
}

inline bool accepts(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  GrammarState state = start_of(grammar);
  return state.accept_bytes(text).ok() && state.may_end();
}

inline bool has_token(std::span<const std::uint64_t> bitmask, std::int32_t id) {
  const auto at = static_cast<std::uint32_t>(id);
  return ((bitmask[at / 64] >> (at % 64)) & 1U) != 0;
}

inline std::vector<std::int32_t> tokens_of(std::span<const std::uint64_t> bitmask) {
  std::vector<std::int32_t> out;
  for (std::int32_t id = 0; id < static_cast<std::int32_t>(bitmask.size() * 64); ++id)
    if (has_token(bitmask, id)) out.push_back(id);
  return out;
}

inline std::vector<std::uint64_t> bitmask_for(const TokenTrie& trie) {
  return std::vector<std::uint64_t>((trie.vocab_size() + 63) / 64);
}

inline Result<std::shared_ptr<const Grammar>> grammar_of(std::string_view schema, const SchemaLimits& limits = {}) {
  auto parsed = parse_untrusted(schema, "schema");
  if (!parsed.ok()) return parsed.error();
  return json_schema_grammar(*parsed, "schema", limits);
}

}  // namespace nibble
