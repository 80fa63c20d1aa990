// Cuts added tokens (special ones, and those a user added) out of a text before the model sees it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/regex.h"
#include "text/token_index.h"
#include "text/tokenizer_spec.h"

namespace nibble {

/// A stretch of text, or a token that stands for one.
struct TextSection {
  TextSpan span;
  std::int32_t id = -1;  ///< -1: text for the model
};

/// Finds added tokens. Immutable.
class AddedTokens {
 public:
  /// `longest_first`: the longest token anywhere is cut out first, then the next (llama.cpp); else from left to right
  /// the longest at each place (Hugging Face). Contents must not be empty and at most kMaxAddedTokenBytes long.
  static Result<AddedTokens> build(std::vector<AddedToken> tokens, bool longest_first, std::string_view what);

  bool empty() const { return tokens_.empty(); }
  /// Appends the sections of `text`, left to right; no section is empty text. Without `parse_special` tokens marked
  /// special are not looked for.
  void cut(std::string_view text, bool parse_special, std::vector<TextSection>& sections) const;

 private:
  struct Occurrence {
    std::size_t begin;
    std::size_t end;
    std::size_t token;  // index in tokens_
  };
  template <typename Visit>
  void tokens_at(std::string_view text, std::size_t at, bool parse_special, Visit visit) const;
  std::vector<Occurrence> left_to_right(std::string_view text, bool parse_special) const;
  bool longest_first(std::string_view text, bool parse_special, std::vector<Occurrence>& found) const;

  std::vector<AddedToken> tokens_;
  bool longest_first_ = false;
  MergeIndex edges_;                         // (trie node, byte) to node
  std::vector<std::int32_t> token_of_node_;  // -1: no token ends here
  bool begins_[256] = {};                    // bytes with which tokens begin
};

}  // namespace nibble
