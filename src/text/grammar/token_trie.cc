#include "text/grammar/token_trie.h"

#include <algorithm>

#include "text/tokenizer.h"

namespace nibble {

std::shared_ptr<const TokenTrie> TokenTrie::of(const Tokenizer& tokenizer, std::span<const std::string> visible) {
  std::vector<std::string> pieces(static_cast<std::size_t>(tokenizer.vocab_size()));
  for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const bool is_text = !tokenizer.is_special(id) && !tokenizer.is_end_of_generation(id) &&
                         tokenizer.type(id) != TokenType::kUnused && tokenizer.type(id) != TokenType::kUndefined;
    if (is_text) pieces[static_cast<std::size_t>(id)] = tokenizer.piece(id);
  }
  for (const std::string& text : visible)
    if (const auto id = tokenizer.token_to_id(text)) pieces[static_cast<std::size_t>(*id)] = text;
  return of_pieces(std::move(pieces), tokenizer.end_of_generation());
}

std::shared_ptr<const TokenTrie> TokenTrie::of_pieces(std::vector<std::string> pieces,
                                                      std::vector<std::int32_t> end_of_generation) {
  std::shared_ptr<TokenTrie> out(new TokenTrie());
  out->pieces_ = std::move(pieces);
  const auto is_known = [&](std::int32_t id) { return id >= 0 && static_cast<std::size_t>(id) < out->pieces_.size(); };
  for (const std::int32_t id : end_of_generation) {
    if (!is_known(id)) continue;
    out->pieces_[static_cast<std::size_t>(id)].clear();
    out->end_of_generation_.push_back(id);
  }
  out->build();
  return out;
}

void TokenTrie::build() {
  for (std::size_t id = 0; id < pieces_.size(); ++id) {
    if (pieces_[id].size() > kMaxTokenBytes) pieces_[id].clear();
    if (!pieces_[id].empty()) tokens_.push_back(static_cast<std::int32_t>(id));
  }
  const auto text = [&](std::int32_t id) -> const std::string& { return pieces_[static_cast<std::size_t>(id)]; };
  std::sort(tokens_.begin(), tokens_.end(), [&](std::int32_t a, std::int32_t b) {
    const int order = text(a).compare(text(b));
    return order != 0 ? order < 0 : a < b;
  });
  nodes_.emplace_back();
  std::vector<std::size_t> path = {0};  // the nodes from the root to the token before
  std::string_view before;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const std::string_view bytes = text(tokens_[i]);
    std::size_t common = 0;
    while (common < before.size() && common < bytes.size() && before[common] == bytes[common]) ++common;
    while (path.size() > common + 1) {
      nodes_[path.back()].end = static_cast<std::uint32_t>(nodes_.size());
      path.pop_back();
    }
    while (path.size() <= bytes.size()) {
      Node node;
      node.byte = static_cast<std::uint8_t>(bytes[path.size() - 1]);
      node.depth = static_cast<std::uint8_t>(path.size());
      node.tokens = static_cast<std::uint32_t>(i);
      path.push_back(nodes_.size());
      nodes_.push_back(node);
    }
    before = bytes;
  }
  for (const std::size_t node : path) nodes_[node].end = static_cast<std::uint32_t>(nodes_.size());
  nodes_.emplace_back();
  nodes_.back().tokens = static_cast<std::uint32_t>(tokens_.size());
}

std::string_view TokenTrie::piece(std::int32_t id) const {
  const bool is_known = id >= 0 && static_cast<std::size_t>(id) < pieces_.size();
  return is_known ? std::string_view(pieces_[static_cast<std::size_t>(id)]) : std::string_view();
}

bool TokenTrie::is_end_of_generation(std::int32_t id) const {
  return std::find(end_of_generation_.begin(), end_of_generation_.end(), id) != end_of_generation_.end();
}

}  // namespace nibble
