// TokenTrie: the bytes of a vocabulary's tokens as a tree, so that a grammar is asked once for what many tokens begin
// with. Built once per model.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble {

class Tokenizer;

/// Constant after it is built; any number of threads may share one.
class TokenTrie {
 public:
  /// Nodes lie in the order of a depth-first walk: the first child follows its parent, the next sibling is at `end`.
  struct Node {
    std::uint8_t byte = 0;
    std::uint8_t depth = 0;    ///< bytes from the root, 1 for its children
    std::uint32_t end = 0;     ///< one past the last node below this one
    std::uint32_t tokens = 0;  ///< tokens()[tokens] is the first that ends here; the next node's, one past the last
  };
  static constexpr std::size_t kMaxTokenBytes = 255;  ///< longer tokens are never allowed

  /// Tokens that are text: not special ones, and not those that stand for no bytes. `visible` names special tokens that
  /// may be written all the same, as their own text ("<tool_call>").
  static std::shared_ptr<const TokenTrie> of(const Tokenizer& tokenizer, std::span<const std::string> visible = {});
  /// `pieces[id]` are the bytes of a token; empty for those that are never allowed.
  static std::shared_ptr<const TokenTrie> of_pieces(std::vector<std::string> pieces,
                                                    std::vector<std::int32_t> end_of_generation);

  /// nodes()[0] is the root; the last is no node, it ends the tokens of the one before.
  std::span<const Node> nodes() const { return nodes_; }
  std::span<const std::int32_t> tokens() const { return tokens_; }
  /// The bytes of a token; empty for those that are never allowed and for ids out of range.
  std::string_view piece(std::int32_t id) const;
  std::span<const std::int32_t> end_of_generation() const { return end_of_generation_; }
  bool is_end_of_generation(std::int32_t id) const;
  std::size_t vocab_size() const { return pieces_.size(); }

 private:
  TokenTrie() = default;
  void build();

  std::vector<std::string> pieces_;
  std::vector<std::int32_t> end_of_generation_;
  std::vector<Node> nodes_;
  std::vector<std::int32_t> tokens_;  ///< in the order of their bytes
};

}  // namespace nibble
