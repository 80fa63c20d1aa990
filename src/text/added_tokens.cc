// An automaton (Aho and Corasick, 1975) of the tokens spelled backwards walks the text from its end and knows at every
// place all tokens that begin there, in linear time; the two orders of cutting choose among them.
#include "text/added_tokens.h"

#include <algorithm>
#include <numeric>

#include "base/utf8.h"
#include "text/unicode_class.h"

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
  out.nodes_.emplace_back();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string& content = tokens[i].content;
    if (content.empty() || content.size() > kMaxAddedTokenBytes)
      return fail(ErrorCode::kUnsupported, "{}: added token {} has {} bytes, expected 1 to {}", what, tokens[i].id,
                  content.size(), kMaxAddedTokenBytes);
    out.insert(content, static_cast<std::int32_t>(i));
  }
  out.tokens_ = std::move(tokens);
  out.link_nodes();
  return out;
}

void AddedTokens::insert(std::string_view content, std::int32_t token) {
  std::int32_t node = 0;
  for (auto c = content.rbegin(); c != content.rend(); ++c) {
    const auto byte = static_cast<unsigned char>(*c);
    std::int32_t next = edges_.find(node, byte).id;
    if (next < 0) {
      next = static_cast<std::int32_t>(nodes_.size());
      nodes_.push_back({-1, 0, -1, node, byte});
      edges_.insert(node, byte, {0, next}, false);
    }
    node = next;
  }
  nodes_[static_cast<std::size_t>(node)].token = token;
  ends_[static_cast<unsigned char>(content.back())] = true;
}

/// Sets failure and shorter of every node; those nearer to the root come first.
void AddedTokens::link_nodes() {
  std::vector<std::int32_t> depth(nodes_.size());  // a parent is made before its children
  for (std::size_t i = 1; i < nodes_.size(); ++i) depth[i] = depth[static_cast<std::size_t>(nodes_[i].parent)] + 1;
  std::vector<std::size_t> order(nodes_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return depth[a] < depth[b]; });
  for (const std::size_t i : order) {
    Node& node = nodes_[i];
    if (depth[i] > 1) node.failure = step(nodes_[static_cast<std::size_t>(node.parent)].failure, node.byte);
    const Node& failure = nodes_[static_cast<std::size_t>(node.failure)];
    node.shorter = failure.token >= 0 ? node.failure : failure.shorter;
  }
}

/// The node after one more byte to the left.
std::int32_t AddedTokens::step(std::int32_t node, unsigned char byte) const {
  if (node == 0 && !ends_[byte]) return 0;
  for (;;) {
    const std::int32_t next = edges_.find(node, byte).id;
    if (next >= 0) return next;
    if (node == 0) return 0;
    node = nodes_[static_cast<std::size_t>(node)].failure;
  }
}

/// Calls visit(place, node) from the text's end to its begin wherever a token begins; the node spells the longest
/// token there, its `shorter` the next one. Stops when visit returns false.
template <typename Visit>
void AddedTokens::visit_backwards(std::string_view text, Visit visit) const {
  std::int32_t node = 0;
  for (std::size_t at = text.size(); at-- > 0;) {
    node = step(node, static_cast<unsigned char>(text[at]));
    const Node& reached = nodes_[static_cast<std::size_t>(node)];
    const std::int32_t longest = reached.token >= 0 ? node : reached.shorter;
    if (longest >= 0 && !visit(at, longest)) return;
  }
}

std::vector<AddedTokens::Occurrence> AddedTokens::left_to_right(std::string_view text, bool parse_special) const {
  std::vector<Occurrence> longest;  // at each place, from the text's end
  visit_backwards(text, [&](std::size_t at, std::int32_t node) {
    longest.push_back({at, static_cast<std::size_t>(nodes_[static_cast<std::size_t>(node)].token)});
    return true;
  });
  std::vector<Occurrence> out;
  std::size_t done = 0;
  for (auto o = longest.rbegin(); o != longest.rend(); ++o) {
    if (o->begin < done) continue;
    done = end_of(*o);
    // Special tokens take part in choosing even when they are then left as text.
    const AddedToken& token = tokens_[o->token];
    if (token.special && !parse_special) continue;
    if (token.single_word && (word_before(text, o->begin) || word_after(text, done))) continue;
    out.push_back(*o);
  }
  return out;
}

bool AddedTokens::longest_first(std::string_view text, bool parse_special, std::vector<Occurrence>& found) const {
  std::vector<Occurrence> all;
  std::size_t visited = 0;
  visit_backwards(text, [&](std::size_t at, std::int32_t node) {
    for (; node >= 0 && visited <= kMaxOccurrences; node = nodes_[static_cast<std::size_t>(node)].shorter) {
      const auto token = static_cast<std::size_t>(nodes_[static_cast<std::size_t>(node)].token);
      if (parse_special || !tokens_[token].special) all.push_back({at, token});
      ++visited;
    }
    return visited <= kMaxOccurrences;
  });
  if (visited > kMaxOccurrences) return false;
  std::sort(all.begin(), all.end(), [&](const Occurrence& a, const Occurrence& b) {
    const std::size_t a_bytes = tokens_[a.token].content.size();
    const std::size_t b_bytes = tokens_[b.token].content.size();
    if (a_bytes != b_bytes) return a_bytes > b_bytes;
    return a.token != b.token ? a.token < b.token : a.begin < b.begin;
  });
  std::string taken(all.empty() ? 0 : text.size(), '\0');
  for (const Occurrence& o : all) {
    std::size_t begin = o.begin;
    std::size_t end = end_of(o);
    // What was taken before is no shorter, so it covers one end if it touches this at all.
    if (taken[begin] != '\0' || taken[end - 1] != '\0') continue;
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
    std::size_t end = end_of(found[i]);
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
