// SentencePiece's rule "merge what is a token, highest score first" as a list of merges by rank, and back.
#pragma once

#include <vector>

#include "text/tokenizer_spec.h"

namespace nibble {

/// Every way to cut a token into two tokens, as a merge; higher scores first, then smaller ids. Duplicates none.
std::vector<TokenMerge> merges_from_scores(const std::vector<TokenEntry>& tokens);

struct ScoresFromMerges {
  std::vector<float> scores;            ///< minus the rank of the first merge that makes the token; lowest for others
  std::size_t pairs_without_merge = 0;  ///< adjacent tokens whose text is a token that no merge makes of them
};

/// Scores under which the score rule merges in the order of the spec's merges.
ScoresFromMerges scores_from_merges(const TokenizerSpec& spec);

}  // namespace nibble
