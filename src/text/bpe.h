// The two byte-pair models: merges by rank (GPT-2 and descendants), and SentencePiece's merges by score.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/token_index.h"
#include "text/tokenizer_spec.h"

namespace nibble {

/// A symbol of the piece being merged: a list linked by indices, so that a merge costs the same anywhere.
struct BpeSymbol {
  std::int32_t id = -1;  // -1: no token
  std::int32_t prev = -1;
  std::int32_t next = -1;
  std::uint32_t bytes = 0;  // 0: merged into another
  std::size_t begin = 0;    // of ScoreBpe: where its text begins
};

/// A merge that waits in the queue. The smallest order comes first, then the leftmost.
struct BpeCandidate {
  std::uint64_t order = 0;
  std::int32_t left = 0;
  std::int32_t right = 0;
  std::uint32_t left_bytes = 0;  // both tell whether the symbols are still those that were queued
  std::uint32_t right_bytes = 0;
  std::int32_t id = -1;
};

/// Memory that calls reuse; one per thread and encoding.
struct BpeScratch {
  std::vector<BpeSymbol> symbols;
  std::vector<BpeCandidate> queue;
  std::vector<std::uint32_t> ranks;
};

/// Byte-pair encoding by rank. Time n log n in the piece's length.
class RankBpe {
 public:
  /// `index` maps the spec's token texts. Fails when a merge's result is no token, naming the merge.
  static Result<RankBpe> build(const TokenizerSpec& spec, const TokenIndex& index);

  /// Appends the ids of one piece. `bytes_are_raw`: every byte of the piece is one character of the byte alphabet;
  /// otherwise the piece's UTF-8 characters are the first symbols.
  void encode(std::string_view piece, bool bytes_are_raw, BpeScratch& scratch, std::vector<std::int32_t>& ids) const;

 private:
  bool whole_piece(std::string_view piece, bool bytes_are_raw, std::vector<std::int32_t>& ids) const;
  void add_characters(std::string_view piece, BpeScratch& scratch) const;
  void add_unknown(BpeScratch& scratch, bool& in_unknown) const;
  void merge_few(BpeScratch& scratch, std::vector<std::int32_t>& ids) const;
  void merge_many(BpeScratch& scratch, std::vector<std::int32_t>& ids) const;
  void push(BpeScratch& scratch, std::int32_t left, std::int32_t right) const;

  const TokenIndex* index_ = nullptr;
  MergeIndex merges_;
  std::array<std::int32_t, 256> alphabet_ids_{};  // of the byte alphabet's characters
  std::array<std::int32_t, 256> byte_ids_{};      // of <0xXX>
  bool byte_fallback_ = false;
  bool fuse_unk_ = false;
  bool ignore_merges_ = false;
  bool dropped_separates_ = false;
  std::int32_t unk_ = -1;
};

/// SentencePiece's byte-pair encoding: of all adjacent pairs whose text is a token, the highest score merges first, the
/// leftmost among equals. What is no token at the end becomes its bytes' <0xXX> tokens.
class ScoreBpe {
 public:
  static Result<ScoreBpe> build(const TokenizerSpec& spec, const TokenIndex& index);

  /// Appends the ids of one piece, whose spaces are U+2581 already; any bytes. Fails when a byte has no token.
  Status encode(std::string_view piece, BpeScratch& scratch, std::vector<std::int32_t>& ids) const;

 private:
  Status encode_part(std::string_view piece, BpeScratch& scratch, std::vector<std::int32_t>& ids) const;
  void push(std::string_view piece, BpeScratch& scratch, std::int32_t left, std::int32_t right) const;

  const TokenIndex* index_ = nullptr;
  bool words_are_apart_ = true;       // no token has U+2581 after another character, so merges stay within words
  std::vector<std::uint32_t> order_;  // by id: smaller is merged earlier; equal for equal scores
  std::array<std::int32_t, 256> byte_ids_{};
};

/// The id of <0xXX> for every byte, -1 where there is none.
std::array<std::int32_t, 256> byte_token_ids(const TokenIndex& index);

}  // namespace nibble
