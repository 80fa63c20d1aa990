// The one table of GGUF's pre-tokenizer names (tokenizer.ggml.pre): which patterns split the text and what else a name
// implies. To add one: docs/howto/add-a-pre-tokenizer.md.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

/// What else a name implies, where the file has no key that says otherwise.
enum PreTokenizerFlag : unsigned {
  kIgnoreMerges = 1,   ///< a piece that is a token is emitted whole, whatever the merges say
  kAddsBos = 2,        ///< BOS is added unless tokenizer.ggml.add_bos_token says no
  kKeepsSpaces = 4,    ///< detokenizing does not remove the space before punctuation
  kRawUtf8 = 8,        ///< tokens are UTF-8 with U+2581 for spaces and <0xXX> for bytes, not the byte alphabet
  kNoDefaultBos = 16,  ///< without tokenizer.ggml.bos_token_id there is no BOS (else it is 11)
};

/// Patterns in the order in which they split; each splits what the ones before it left, matches and gaps alike.
struct PreTokenizerEntry {
  std::string_view name;
  std::span<const std::string_view> patterns;
  unsigned flags = 0;
};

/// All known names.
std::span<const PreTokenizerEntry> pre_tokenizer_table();

/// The entry of a name, or nullptr.
const PreTokenizerEntry* find_pre_tokenizer(std::string_view name);

/// Names that llama.cpp knows and Nibble refuses, with the reason; empty for other names.
std::string_view why_pre_tokenizer_is_refused(std::string_view name);

/// The name whose patterns are these, in any spelling that the table knows, preferring the entry whose flags differ
/// least from `flags`. Of entries that are equal so far the first one in the table.
const PreTokenizerEntry* match_pre_tokenizer(const std::vector<std::string>& patterns, unsigned flags);

/// All names, separated by commas, for messages.
std::string pre_tokenizer_names();

}  // namespace nibble
