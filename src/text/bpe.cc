// Short pieces are merged by scanning an array for the best pair, long ones with a heap; the results are the same.
#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>

#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/replace_every.h"

namespace nibble {
namespace {

constexpr std::size_t kFewSymbols = 48;  // measured: above this the heap wins

bool comes_later(const BpeCandidate& a, const BpeCandidate& b) {
  return a.order != b.order ? a.order > b.order : a.left > b.left;
}

void push_candidate(std::vector<BpeCandidate>& queue, const BpeCandidate& candidate) {
  queue.push_back(candidate);
  std::push_heap(queue.begin(), queue.end(), comes_later);
}

BpeCandidate pop_candidate(std::vector<BpeCandidate>& queue) {
  std::pop_heap(queue.begin(), queue.end(), comes_later);
  const BpeCandidate out = queue.back();
  queue.pop_back();
  return out;
}

bool is_stale(const std::vector<BpeSymbol>& symbols, const BpeCandidate& candidate) {
  return symbols[static_cast<std::size_t>(candidate.left)].bytes != candidate.left_bytes ||
         symbols[static_cast<std::size_t>(candidate.right)].bytes != candidate.right_bytes;
}

/// Makes the symbol at `left` the merged one and takes the one at `right` out of the list.
void join(std::vector<BpeSymbol>& symbols, const BpeCandidate& candidate) {
  BpeSymbol& left = symbols[static_cast<std::size_t>(candidate.left)];
  BpeSymbol& right = symbols[static_cast<std::size_t>(candidate.right)];
  left.id = candidate.id;
  left.bytes += right.bytes;
  left.next = right.next;
  if (right.next >= 0) symbols[static_cast<std::size_t>(right.next)].prev = candidate.left;
  right.bytes = 0;
}

void add_symbol(std::vector<BpeSymbol>& symbols, std::int32_t id, std::uint32_t bytes, std::size_t begin = 0) {
  const auto place = static_cast<std::int32_t>(symbols.size());
  if (!symbols.empty()) symbols.back().next = place;
  symbols.push_back({id, place - 1, -1, bytes, begin});
}

/// The first U+2581 after `at` that follows another character, or the end.
std::size_t word_end(std::string_view text, std::size_t at) {
  while (text.substr(at, kSpaceMark.size()) == kSpaceMark) at += kSpaceMark.size();
  return std::min(text.find(kSpaceMark, at), text.size());
}

}  // namespace

std::array<std::int32_t, 256> byte_token_ids(const TokenIndex& index) {
  std::array<std::int32_t, 256> out{};
  for (unsigned byte = 0; byte < 256; ++byte) out[byte] = index.find(fmt::format("<0x{:02X}>", byte));
  return out;
}

Result<RankBpe> RankBpe::build(const TokenizerSpec& spec, const TokenIndex& index) {
  RankBpe out;
  out.index_ = &index;
  out.byte_fallback_ = spec.byte_fallback;
  out.fuse_unk_ = spec.fuse_unk;
  out.ignore_merges_ = spec.ignore_merges;
  out.dropped_separates_ = spec.dropped_separates;
  if (spec.use_unk && spec.special.unk) out.unk_ = *spec.special.unk;
  out.byte_ids_ = byte_token_ids(index);
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string character;
    append_utf8(character, byte_to_alphabet(static_cast<std::uint8_t>(byte)));
    out.alphabet_ids_[byte] = index.find(character);
  }
  out.merges_.reserve(spec.merges.size());
  std::string joined;
  for (std::size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const TokenMerge merge = spec.merges[rank];
    const auto known = [&](std::int32_t id) { return id >= 0 && static_cast<std::size_t>(id) < spec.tokens.size(); };
    if (!known(merge.left) || !known(merge.right))
      return fail(ErrorCode::kCorrupt, "{}: merges[{}] refers to a token outside of the vocabulary", spec.what, rank);
    joined.assign(spec.tokens[static_cast<std::size_t>(merge.left)].text);
    joined += spec.tokens[static_cast<std::size_t>(merge.right)].text;
    const std::int32_t id = index.find(joined);
    if (id < 0)
      return fail(ErrorCode::kCorrupt, "{}: merges[{}] makes \"{}\", which is not in the vocabulary", spec.what, rank,
                  joined);
    out.merges_.insert(merge.left, merge.right, {static_cast<std::uint32_t>(rank), id}, /*replace=*/false);
  }
  return out;
}

bool RankBpe::whole_piece(std::string_view piece, bool bytes_are_raw, std::vector<std::int32_t>& ids) const {
  if (piece.size() > kMaxTokenBytes) return false;
  const std::int32_t id = bytes_are_raw ? index_->find(to_byte_alphabet(piece)) : index_->find(piece);
  if (id < 0) return false;
  ids.push_back(id);
  return true;
}

void RankBpe::add_unknown(BpeScratch& scratch, bool& in_unknown) const {
  if (unk_ < 0 && !dropped_separates_) return;
  if (unk_ >= 0 && in_unknown && fuse_unk_) return;
  add_symbol(scratch.symbols, unk_, 1);
  in_unknown = true;
}

void RankBpe::add_characters(std::string_view piece, BpeScratch& scratch) const {
  bool in_unknown = false;
  for (std::size_t at = 0; at < piece.size();) {
    const std::uint32_t bytes = utf8_at(piece, at).bytes;
    const std::string_view character = piece.substr(at, bytes);
    at += bytes;
    const std::int32_t id = index_->find(character);
    if (id >= 0) {
      add_symbol(scratch.symbols, id, bytes);
      in_unknown = false;
      continue;
    }
    const auto byte_id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
    if (byte_fallback_ && std::all_of(character.begin(), character.end(), [&](char c) { return byte_id(c) >= 0; })) {
      for (char c : character) add_symbol(scratch.symbols, byte_id(c), 1);
      in_unknown = false;
    } else {
      add_unknown(scratch, in_unknown);
    }
  }
}

void RankBpe::encode(std::string_view piece, bool bytes_are_raw, BpeScratch& scratch,
                     std::vector<std::int32_t>& ids) const {
  if (ignore_merges_ && whole_piece(piece, bytes_are_raw, ids)) return;
  scratch.symbols.clear();
  if (bytes_are_raw) {
    bool in_unknown = false;
    for (char c : piece) {
      const std::int32_t id = alphabet_ids_[static_cast<unsigned char>(c)];
      if (id < 0) {
        add_unknown(scratch, in_unknown);
      } else {
        add_symbol(scratch.symbols, id, 1);
        in_unknown = false;
      }
    }
  } else {
    add_characters(piece, scratch);
  }
  if (scratch.symbols.size() <= kFewSymbols) {
    merge_few(scratch, ids);
  } else {
    merge_many(scratch, ids);
  }
}

void RankBpe::merge_few(BpeScratch& scratch, std::vector<std::int32_t>& ids) const {
  std::array<std::int32_t, kFewSymbols> symbol;
  std::array<MergeResult, kFewSymbols> merge;  // of symbol i with symbol i + 1
  std::size_t count = scratch.symbols.size();
  for (std::size_t i = 0; i < count; ++i) symbol[i] = scratch.symbols[i].id;
  for (std::size_t i = 0; i + 1 < count; ++i) merge[i] = merges_.find(symbol[i], symbol[i + 1]);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i)
      if (merge[i].rank < merge[best].rank) best = i;
    if (merge[best].rank == UINT32_MAX) break;
    symbol[best] = merge[best].id;
    for (std::size_t i = best + 1; i + 1 < count; ++i) {
      symbol[i] = symbol[i + 1];
      merge[i] = merge[i + 1];
    }
    --count;
    if (best > 0) merge[best - 1] = merges_.find(symbol[best - 1], symbol[best]);
    if (best + 1 < count) merge[best] = merges_.find(symbol[best], symbol[best + 1]);
  }
  std::copy_if(symbol.begin(), symbol.begin() + static_cast<std::ptrdiff_t>(count), std::back_inserter(ids),
               [](std::int32_t id) { return id >= 0; });
}

void RankBpe::push(BpeScratch& scratch, std::int32_t left, std::int32_t right) const {
  if (left < 0 || right < 0) return;
  const BpeSymbol& l = scratch.symbols[static_cast<std::size_t>(left)];
  const BpeSymbol& r = scratch.symbols[static_cast<std::size_t>(right)];
  const MergeResult merge = merges_.find(l.id, r.id);
  if (merge.rank != UINT32_MAX) push_candidate(scratch.queue, {merge.rank, left, right, l.bytes, r.bytes, merge.id});
}

void RankBpe::merge_many(BpeScratch& scratch, std::vector<std::int32_t>& ids) const {
  scratch.queue.clear();
  for (std::size_t i = 0; i + 1 < scratch.symbols.size(); ++i)
    push(scratch, static_cast<std::int32_t>(i), static_cast<std::int32_t>(i + 1));
  while (!scratch.queue.empty()) {
    const BpeCandidate best = pop_candidate(scratch.queue);
    if (is_stale(scratch.symbols, best)) continue;
    join(scratch.symbols, best);
    const BpeSymbol merged = scratch.symbols[static_cast<std::size_t>(best.left)];
    push(scratch, merged.prev, best.left);
    push(scratch, best.left, merged.next);
  }
  for (const BpeSymbol& symbol : scratch.symbols)
    if (symbol.bytes != 0 && symbol.id >= 0) ids.push_back(symbol.id);
}

Result<ScoreBpe> ScoreBpe::build(const TokenizerSpec& spec, const TokenIndex& index) {
  ScoreBpe out;
  out.index_ = &index;
  out.byte_ids_ = byte_token_ids(index);
  for (unsigned byte = 0; byte < 256; ++byte) {  // older vocabularies have the bytes themselves
    const char character = static_cast<char>(byte);
    if (out.byte_ids_[byte] < 0) out.byte_ids_[byte] = index.find({&character, 1});
  }
  out.order_.reserve(spec.tokens.size());
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
    const float score = spec.tokens[id].score;
    if (std::isnan(score)) return fail(ErrorCode::kCorrupt, "{}: scores[{}] is not a number", spec.what, id);
    // The bits of a float, made to descend as the float ascends; -0 counts as 0.
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(score == 0 ? 0.0F : score);
    out.order_.push_back((bits & 0x80000000U) != 0 ? bits : ~bits & 0x7FFFFFFFU);
    const std::string_view text = spec.tokens[id].text;
    if (word_end(text, 0) != text.size()) out.words_are_apart_ = false;
  }
  return out;
}

void ScoreBpe::push(std::string_view piece, BpeScratch& scratch, std::int32_t left, std::int32_t right) const {
  if (left < 0 || right < 0) return;
  const BpeSymbol& l = scratch.symbols[static_cast<std::size_t>(left)];
  const BpeSymbol& r = scratch.symbols[static_cast<std::size_t>(right)];
  const std::int32_t id = index_->find(piece.substr(l.begin, std::size_t{l.bytes} + r.bytes));
  if (id >= 0) push_candidate(scratch.queue, {order_[static_cast<std::size_t>(id)], left, right, l.bytes, r.bytes, id});
}

Status ScoreBpe::encode(std::string_view piece, BpeScratch& scratch, std::vector<std::int32_t>& ids) const {
  if (!words_are_apart_) return encode_part(piece, scratch, ids);
  for (std::size_t at = 0; at < piece.size();) {  // short lists are merged faster
    const std::size_t end = word_end(piece, at);
    NIBBLE_TRY_STATUS(encode_part(piece.substr(at, end - at), scratch, ids));
    at = end;
  }
  return {};
}

Status ScoreBpe::encode_part(std::string_view piece, BpeScratch& scratch, std::vector<std::int32_t>& ids) const {
  scratch.symbols.clear();
  scratch.queue.clear();
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t bytes = utf8_length_by_lead(piece, at);
    add_symbol(scratch.symbols, index_->find(piece.substr(at, bytes)), static_cast<std::uint32_t>(bytes), at);
    at += bytes;
  }
  for (std::size_t i = 0; i + 1 < scratch.symbols.size(); ++i)
    push(piece, scratch, static_cast<std::int32_t>(i), static_cast<std::int32_t>(i + 1));
  while (!scratch.queue.empty()) {
    const BpeCandidate best = pop_candidate(scratch.queue);
    if (is_stale(scratch.symbols, best)) continue;
    join(scratch.symbols, best);
    const BpeSymbol merged = scratch.symbols[static_cast<std::size_t>(best.left)];
    push(piece, scratch, merged.prev, best.left);
    push(piece, scratch, best.left, merged.next);
  }
  for (const BpeSymbol& symbol : scratch.symbols) {
    if (symbol.bytes == 0) continue;
    if (symbol.id >= 0) {
      ids.push_back(symbol.id);
      continue;
    }
    for (char c : piece.substr(symbol.begin, symbol.bytes)) {
      const std::int32_t id = byte_ids_[static_cast<unsigned char>(c)];
      if (id < 0)
        return fail(ErrorCode::kUnsupported,
                    "the text has the byte 0x{:02X}, for which the vocabulary has neither a token nor <0x{:02X}>",
                    static_cast<unsigned char>(c), static_cast<unsigned char>(c));
      ids.push_back(id);
    }
  }
  return {};
}

}  // namespace nibble
