// A trie finds all tokens that begin at a place; the two orders of cutting choose among them.
#include "text/added_tokens.h"

#include <algorithm>
#include <cstring>

#include "text/unicode_class.h"
#include "text/utf8.h"

namespace nibble {
namespace {

constexpr std::size_t kMaxOccurrences = std::size_t{1} << 22;

bool is_ascii_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// The character that ends before `at`, and where it begins.
std::size_t character_before(std::string_view text, std::size_t at) {
  std::size_t begin = at - 1;
  while (begin > 0 && at - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return begin;
}

bool word_before(std::string_view text, std::size_t at) {
  return at > 0 && is_word_character(utf8_at(text, character_before(text, at)).code);
}

bool word_after(std::string_view text, std::size_t at) {
  return at < text.size() && is_word_character(utf8_at(text, at).code);
}

/// Where the white space that ends at `at` begins, not before `limit`.
std::size_t space_begin(std::string_view text, std::size_t at, std::size_t limit, bool ascii_only) {
  while (at > limit) {
    const std::size_t before = character_before(text, at);
    const bool space =
        ascii_only ? is_ascii_space(text[at - 1]) : (char_class(utf8_at(text, before).code) & kSpace) != 0;
    if (!space || before < limit) break;
    at = before;
  }
  return at;
}

std::size_t space_end(std::string_view text, std::size_t at, std::size_t limit, bool ascii_only) {
  while (at < limit) {
    const Utf8Step step = utf8_at(text, at);
    const bool space = ascii_only ? is_ascii_space(text[at]) : (char_class(step.code) & kSpace) != 0;
    if (!space) break;
    at += step.bytes;
  }
  return at;
}

}  // namespace

Result<AddedTokens> AddedTokens::build(std::vector<AddedToken> tokens, bool longest_first, std::string_view what) {
  AddedTokens out;
  out.longest_first_ = longest_first;
  out.token_of_node_.push_back(-1);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string& content = tokens[i].content;
    if (content.empty() || content.size() > kMaxAddedTokenBytes)
      return fail(ErrorCode::kUnsupported, "{}: added token {} has {} bytes, expected 1 to {}", what, tokens[i].id,
                  content.size(), kMaxAddedTokenBytes);
    std::int32_t node = 0;
    for (char c : content) {
      const auto byte = static_cast<unsigned char>(c);
      std::int32_t next = out.edges_.find(node, byte).id;
      if (next < 0) {
        next = static_cast<std::int32_t>(out.token_of_node_.size());
        out.token_of_node_.push_back(-1);
        out.edges_.insert(node, byte, {0, next}, false);
      }
      node = next;
    }
    out.token_of_node_[static_cast<std::size_t>(node)] = static_cast<std::int32_t>(i);
    out.begins_[static_cast<unsigned char>(content.front())] = true;
  }
  out.tokens_ = std::move(tokens);
  return out;
}

template <typename Visit>
void AddedTokens::tokens_at(std::string_view text, std::size_t at, bool parse_special, Visit visit) const {
  if (!begins_[static_cast<unsigned char>(text[at])]) return;
  std::int32_t node = 0;
  for (std::size_t end = at; end < text.size();) {
    node = edges_.find(node, static_cast<unsigned char>(text[end])).id;
    if (node < 0) return;
    ++end;
    const std::int32_t token = token_of_node_[static_cast<std::size_t>(node)];
    if (token >= 0 && (parse_special || !tokens_[static_cast<std::size_t>(token)].special))
      visit(Occurrence{at, end, static_cast<std::size_t>(token)});
  }
}

std::vector<AddedTokens::Occurrence> AddedTokens::left_to_right(std::string_view text, bool parse_special) const {
  std::vector<Occurrence> out;
  for (std::size_t at = 0; at < text.size();) {
    Occurrence longest{at, at, 0};
    // Special tokens take part in choosing even when they are then left as text.
    tokens_at(text, at, /*parse_special=*/true, [&](const Occurrence& o) { longest = o; });
    if (longest.end == at) {
      ++at;
      continue;
    }
    at = longest.end;
    const AddedToken& token = tokens_[longest.token];
    if (token.special && !parse_special) continue;
    if (token.single_word && (word_before(text, longest.begin) || word_after(text, longest.end))) continue;
    out.push_back(longest);
  }
  return out;
}

bool AddedTokens::longest_first(std::string_view text, bool parse_special, std::vector<Occurrence>& found) const {
  std::vector<Occurrence> all;
  for (std::size_t at = 0; at < text.size(); ++at) {
    tokens_at(text, at, parse_special, [&](const Occurrence& o) { all.push_back(o); });
    if (all.size() > kMaxOccurrences) return false;
  }
  if (all.empty()) return true;
  std::stable_sort(all.begin(), all.end(),
                   [](const Occurrence& a, const Occurrence& b) { return a.end - a.begin > b.end - b.begin; });
  std::string taken(text.size(), '\0');
  for (const Occurrence& o : all) {
    const char* first = taken.data() + o.begin;
    if (std::memchr(first, '\1', o.end - o.begin) != nullptr) continue;
    std::size_t begin = o.begin;
    std::size_t end = o.end;
    const AddedToken& token = tokens_[o.token];
    if (token.lstrip)
      while (begin > 0 && taken[begin - 1] == '\0' && is_ascii_space(text[begin - 1])) --begin;
    if (token.rstrip)
      while (end < text.size() && taken[end] == '\0' && is_ascii_space(text[end])) ++end;
    std::fill(taken.begin() + static_cast<std::ptrdiff_t>(begin), taken.begin() + static_cast<std::ptrdiff_t>(end),
              '\1');
    found.push_back(o);
  }
  std::sort(found.begin(), found.end(), [](const Occurrence& a, const Occurrence& b) { return a.begin < b.begin; });
  return true;
}

void AddedTokens::cut(std::string_view text, bool parse_special, std::vector<TextSection>& sections) const {
  if (text.empty()) return;
  std::vector<Occurrence> found;
  // A text made of nested tokens alone has too many ways to be cut; such a text is cut from left to right.
  if (!tokens_.empty() && !(longest_first_ && longest_first(text, parse_special, found)))
    found = left_to_right(text, parse_special);
  std::size_t done = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const AddedToken& token = tokens_[found[i].token];
    std::size_t begin = found[i].begin;
    std::size_t end = found[i].end;
    const std::size_t limit = longest_first_ && i + 1 < found.size() ? found[i + 1].begin : text.size();
    if (token.lstrip) begin = space_begin(text, begin, std::min(done, begin), longest_first_);
    if (token.rstrip) end = space_end(text, end, limit, longest_first_);
    if (begin > done) sections.push_back({{done, begin}, -1});
    sections.push_back({{begin, end}, token.id});
    done = std::max(done, end);
  }
  if (done < text.size()) sections.push_back({{done, text.size()}, -1});
}

}  // namespace nibble
