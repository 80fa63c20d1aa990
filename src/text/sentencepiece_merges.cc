// Cuts are looked for at character boundaries only: the score rule joins whole characters.
#include "text/sentencepiece_merges.h"

#include <algorithm>
#include <string_view>

#include "base/utf8.h"
#include "text/token_index.h"

namespace nibble {
namespace {

TokenIndex index_of(const std::vector<TokenEntry>& tokens) {
  TokenIndex index;
  index.reserve(tokens.size());
  for (std::size_t id = 0; id < tokens.size(); ++id) index.insert(tokens[id].text, static_cast<std::int32_t>(id));
  return index;
}

/// Longer tokens are taken as unmade: they do not occur in practice, and cutting them takes quadratic time.
constexpr std::size_t kMaxCutBytes = 1024;

/// Calls visit(left, right) for every cut of `text` into two tokens.
template <typename Visit>
void for_each_cut(std::string_view text, const TokenIndex& index, Visit visit) {
  if (text.size() > kMaxCutBytes) return;
  for (std::size_t at = utf8_length_by_lead(text, 0); at < text.size(); at += utf8_length_by_lead(text, at)) {
    const std::int32_t left = index.find(text.substr(0, at));
    const std::int32_t right = left < 0 ? -1 : index.find(text.substr(at));
    if (right >= 0) visit(TokenMerge{left, right});
  }
}

}  // namespace

std::vector<TokenMerge> merges_from_scores(const std::vector<TokenEntry>& tokens) {
  const TokenIndex index = index_of(tokens);
  struct Scored {
    float score;
    std::int32_t id;
    TokenMerge merge;
  };
  std::vector<Scored> all;
  for (std::size_t id = 0; id < tokens.size(); ++id)
    for_each_cut(tokens[id].text, index, [&](TokenMerge merge) {
      all.push_back({tokens[id].score, static_cast<std::int32_t>(id), merge});
    });
  std::stable_sort(all.begin(), all.end(), [](const Scored& a, const Scored& b) {
    if (a.score != b.score) return a.score > b.score;
    if (a.id != b.id) return a.id < b.id;
    return a.merge.left != b.merge.left ? a.merge.left < b.merge.left : a.merge.right < b.merge.right;
  });
  std::vector<TokenMerge> out;
  out.reserve(all.size());
  for (const Scored& scored : all) out.push_back(scored.merge);
  return out;
}

ScoresFromMerges scores_from_merges(const TokenizerSpec& spec) {
  const TokenIndex index = index_of(spec.tokens);
  ScoresFromMerges out;
  out.scores.assign(spec.tokens.size(), -static_cast<float>(spec.merges.size()) - 1);
  std::vector<bool> made(spec.tokens.size());
  MergeIndex merges;
  merges.reserve(spec.merges.size());
  for (std::size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const TokenMerge merge = spec.merges[rank];
    merges.insert(merge.left, merge.right, {static_cast<std::uint32_t>(rank), 0}, false);
    const std::int32_t id = index.find(spec.tokens[static_cast<std::size_t>(merge.left)].text +
                                       spec.tokens[static_cast<std::size_t>(merge.right)].text);
    if (id < 0 || made[static_cast<std::size_t>(id)]) continue;
    made[static_cast<std::size_t>(id)] = true;
    out.scores[static_cast<std::size_t>(id)] = -static_cast<float>(rank);
  }
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
    const TokenType type = spec.tokens[id].type;
    if (type != TokenType::kNormal) {
      if (!made[id]) out.scores[id] = 0;  // cut out of the text before merging, or never merged: as converters write
      continue;
    }
    for_each_cut(spec.tokens[id].text, index, [&](TokenMerge merge) {
      if (merges.find(merge.left, merge.right).rank == UINT32_MAX) ++out.pairs_without_merge;
    });
  }
  return out;
}

}  // namespace nibble
