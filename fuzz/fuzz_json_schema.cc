// A JSON schema (the input up to the first zero byte) compiled into a grammar; the rest of the input chooses tokens
// under its masks. What comes to an end must be JSON, and a mask must say what accept() takes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/utf8.h"
#include "text/grammar/grammar_state.h"
#include "text/grammar/json_schema.h"
#include "text/tool_calls/tool_call_grammar.h"
#include "tokenizer_uses.h"

namespace {

using nibble::require;

constexpr std::size_t kMostSteps = 24;  // each needs a walk through the vocabulary

/// Single bytes and pieces over several parts of JSON; the last ends generation.
std::shared_ptr<const nibble::TokenTrie> vocabulary() {
  std::vector<std::string> pieces;
  for (int byte = 0; byte < 256; ++byte) pieces.emplace_back(1, static_cast<char>(byte));
  for (const char* text : {"{\"",  "\":",  "\": ", "\", \"", "\"}", "}}",       "]]",       "[[",    "[[[[", "{}",
                           "true", "null", "12",   ".5",     "a\"", "\xC3\xA9", "\x9F\x98", "\\u00", "\n ",  "20"})
    pieces.emplace_back(text);
  pieces.emplace_back();
  const auto end = static_cast<std::int32_t>(pieces.size()) - 1;
  return nibble::TokenTrie::of_pieces(std::move(pieces), {end});
}

void walk(const std::shared_ptr<const nibble::Grammar>& grammar, std::string_view choices, bool is_json) {
  static const auto trie = vocabulary();
  nibble::GrammarState state(std::make_shared<nibble::GrammarMatcher>(grammar, trie));
  std::vector<std::uint64_t> bitmask((trie->vocab_size() + 63) / 64);
  const auto is_allowed = [&](std::size_t id) { return ((bitmask[id / 64] >> (id % 64)) & 1U) != 0; };
  std::string text;
  for (const char choice : choices.substr(0, kMostSteps)) {
    if (!state.allowed(bitmask).ok() || state.must_end()) break;
    const auto first = static_cast<unsigned char>(choice);
    std::size_t id = first;
    while (!is_allowed(id)) id = (id + 1) % trie->vocab_size();
    const std::size_t other = (first * 7U) % trie->vocab_size();
    nibble::GrammarState copy = state;
    require(copy.accept(static_cast<std::int32_t>(other)).ok() == is_allowed(other));
    require(state.accept(static_cast<std::int32_t>(id)).ok());
    text += trie->piece(static_cast<std::int32_t>(id));
    if (state.finished()) break;
  }
  if (state.may_end() && is_json) require(nibble::Json::accept(text) && nibble::is_utf8(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const nibble::SchemaLimits limits = [] {
    nibble::SchemaLimits made;
    made.grammar.max_states = 1 << 13;
    made.max_merged_bytes = 1 << 16;
    made.max_schemas = 1000;
    return made;
  }();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view text = input.substr(0, input.find('\0'));
  const std::string_view choices = input.substr(std::min(text.size() + 1, input.size()));
  const auto schema = nibble::parse_untrusted(text, "schema");
  if (!schema.ok()) return 0;
  const auto grammar = nibble::json_schema_grammar(*schema, "schema", limits);
  if (grammar.ok()) walk(*grammar, choices, true);
  if (schema->is_array()) {
    nibble::ToolCallGrammarOptions options;
    options.max_calls = 2;
    options.limits = limits;
    const auto calls = nibble::tool_call_grammar(nibble::ToolCallStyle::kHermes, *schema, options);
    if (calls.ok()) walk(*calls, choices, false);
  }
  return 0;
}
