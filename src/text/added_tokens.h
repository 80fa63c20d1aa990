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
  /// `longest_first`: the longest token anywhere is cut out first, then the next (llama.cpp; of equally long ones the
  /// first in the list); else from left to right the longest at each place (Hugging Face). Contents must not be empty
  /// and at most kMaxAddedTokenBytes long.
  static Result<AddedTokens> build(std::vector<AddedToken> tokens, bool longest_first, std::string_view what);

  bool empty() const { return tokens_.empty(); }
  /// Appends the sections of `text`, left to right; no section is empty text. Without `parse_special` tokens marked
  /// special are not looked for.
  void cut(std::string_view text, bool parse_special, std::vector<TextSection>& sections) const;

 private:
  struct Occurrence {
    std::size_t begin;
    std::size_t token;  // index in tokens_
  };
  /// A node of the automaton stands for the end of some token; its way from the root spells it backwards.
  struct Node {
    std::int32_t token = -1;    // that is spelled here
    std::int32_t failure = 0;   // the longest shorter end of a token that this one begins with
    std::int32_t shorter = -1;  // the nearest node along the failures that spells a token
    std::int32_t parent = 0;
    unsigned char byte = 0;
  };
  void insert(std::string_view content, std::int32_t token);
  void link_nodes();
  std::int32_t step(std::int32_t node, unsigned char byte) const;
  template <typename Visit>
  void visit_backwards(std::string_view text, Visit visit) const;
  std::size_t end_of(const Occurrence& o) const { return o.begin + tokens_[o.token].content.size(); }
  std::vector<Occurrence> left_to_right(std::string_view text, bool parse_special) const;
  bool longest_first(std::string_view text, bool parse_special, std::vector<Occurrence>& found) const;

  std::vector<AddedToken> tokens_;
  bool longest_first_ = false;
  MergeIndex edges_;  // (node, byte) to node
  std::vector<Node> nodes_;
  bool ends_[256] = {};  // bytes with which tokens end
};

}  // namespace nibble
