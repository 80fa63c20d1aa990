// Puts the parts in order: added tokens, normalizer, added tokens in normalized text, pre-tokenizer, model.
#include "text/tokenizer.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/byte_alphabet.h"
#include "text/clean_up_spaces.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/replace_every.h"

namespace nibble {
namespace {

constexpr std::size_t kMaxTextBytes = std::size_t{1} << 30;

const std::string kNoText;

}  // namespace

/// Everything compiled from the spec; refers to the spec's strings.
struct Tokenizer::Engine {
  TokenIndex index;
  std::vector<bool> is_special;
  AddedTokens raw_added;
  AddedTokens normalized_added;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::optional<RankBpe> bpe;
  std::optional<ScoreBpe> score_bpe;
  std::optional<DecoderChain> decoder;

  Status build(const TokenizerSpec& spec);
  Status build_added(const TokenizerSpec& spec);
  Status encode_text(std::string text, bool at_start, BpeScratch& scratch, std::vector<std::int32_t>& ids) const;
  Status encode_section(std::string_view text, bool at_start, bool parse_special, BpeScratch& scratch,
                        std::vector<std::int32_t>& ids) const;
};

namespace {

Status check_spec(const TokenizerSpec& spec) {
  const std::size_t count = spec.tokens.size();
  if (count == 0 || count > kMaxVocabularyTokens)
    return fail(ErrorCode::kCorrupt, "{}: a vocabulary of {} tokens, expected 1 to {}", spec.what, count,
                kMaxVocabularyTokens);
  const auto check_id = [&](std::int32_t id, std::string_view field, std::size_t at) -> Status {
    if (id >= 0 && static_cast<std::size_t>(id) < count) return {};
    return fail(ErrorCode::kCorrupt, "{}: {}[{}] is token {}, the vocabulary has {}", spec.what, field, at, id, count);
  };
  for (std::size_t i = 0; i < spec.added.size(); ++i) NIBBLE_TRY_STATUS(check_id(spec.added[i].id, "added_tokens", i));
  for (std::size_t i = 0; i < spec.prefix.size(); ++i)
    NIBBLE_TRY_STATUS(check_id(spec.prefix[i], "tokens before the text", i));
  for (std::size_t i = 0; i < spec.suffix.size(); ++i)
    NIBBLE_TRY_STATUS(check_id(spec.suffix[i], "tokens after the text", i));
  for (std::size_t i = 0; i < spec.end_of_generation.size(); ++i)
    NIBBLE_TRY_STATUS(check_id(spec.end_of_generation[i], "end-of-generation tokens", i));
  const SpecialTokens& s = spec.special;
  for (const auto& id : {s.bos, s.eos, s.eot, s.eom, s.unk, s.sep, s.pad, s.cls, s.mask, s.fim_pre, s.fim_suf,
                         s.fim_mid, s.fim_pad, s.fim_rep, s.fim_sep})
    if (id) NIBBLE_TRY_STATUS(check_id(*id, "special tokens", 0));
  return {};
}

}  // namespace

Status Tokenizer::Engine::build(const TokenizerSpec& spec) {
  NIBBLE_TRY_STATUS(check_spec(spec));
  index.reserve(spec.tokens.size());
  is_special.resize(spec.tokens.size());
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
    const TokenEntry& token = spec.tokens[id];
    if (token.text.empty() || token.text.size() > kMaxTokenBytes)
      return fail(ErrorCode::kCorrupt, "{}: tokens[{}] has {} bytes, expected 1 to {}", spec.what, id,
                  token.text.size(), kMaxTokenBytes);
    if (const auto other = index.insert(token.text, static_cast<std::int32_t>(id)))
      return fail(ErrorCode::kCorrupt, "{}: tokens[{}] and tokens[{}] are both \"{}\"", spec.what, *other, id,
                  token.text);
    is_special[id] = token.type == TokenType::kControl || token.type == TokenType::kUnknown;
  }
  NIBBLE_TRY_STATUS(build_added(spec));
  NIBBLE_TRY(pre_tokenizer, PreTokenizer::build(spec.pre_tokenizer, spec.what));
  if (spec.model == TokenizerModel::kBpe) {
    NIBBLE_TRY(bpe, RankBpe::build(spec, index));
  } else {
    NIBBLE_TRY(score_bpe, ScoreBpe::build(spec, index));
  }
  if (spec.decoder) {
    NIBBLE_TRY(decoder, DecoderChain::build(*spec.decoder, spec.what));
  }
  return {};
}

Status Tokenizer::Engine::build_added(const TokenizerSpec& spec) {
  NIBBLE_TRY(normalizer, Normalizer::build(spec.normalizer, spec.what));
  std::vector<AddedToken> raw;
  std::vector<AddedToken> normalized;
  for (const AddedToken& token : spec.added) {
    if (token.special) is_special[static_cast<std::size_t>(token.id)] = true;
    if (!token.normalized) {
      raw.push_back(token);
      continue;
    }
    AddedToken changed = token;
    NIBBLE_TRY(changed.content, normalizer.apply(repair_utf8(token.content)));
    if (!changed.content.empty()) normalized.push_back(std::move(changed));
  }
  NIBBLE_TRY(raw_added, AddedTokens::build(std::move(raw), spec.longest_added_first, spec.what));
  NIBBLE_TRY(normalized_added, AddedTokens::build(std::move(normalized), spec.longest_added_first, spec.what));
  return {};
}

Status Tokenizer::Engine::encode_text(std::string text, bool at_start, BpeScratch& scratch,
                                      std::vector<std::int32_t>& ids) const {
  NIBBLE_TRY(const Pieces pieces, pre_tokenizer.apply(std::move(text), at_start));
  std::size_t begin = 0;
  for (std::size_t end : pieces.ends) {
    const std::string_view piece = std::string_view(pieces.text).substr(begin, end - begin);
    if (bpe) {
      bpe->encode(piece, pre_tokenizer.ends_in_bytes(), scratch, ids);
    } else {
      NIBBLE_TRY_STATUS(score_bpe->encode(piece, scratch, ids));
    }
    begin = end;
  }
  return {};
}

Status Tokenizer::Engine::encode_section(std::string_view text, bool at_start, bool parse_special, BpeScratch& scratch,
                                         std::vector<std::int32_t>& ids) const {
  NIBBLE_TRY(std::string normalized, normalizer.apply(std::string(text)));
  if (normalized_added.empty()) return encode_text(std::move(normalized), at_start, scratch, ids);
  std::vector<TextSection> sections;
  normalized_added.cut(normalized, parse_special, sections);
  for (const TextSection& section : sections) {
    if (section.id >= 0) {
      ids.push_back(section.id);
      continue;
    }
    const std::size_t begin = section.span.begin;
    NIBBLE_TRY_STATUS(
        encode_text(normalized.substr(begin, section.span.end - begin), at_start && begin == 0, scratch, ids));
  }
  return {};
}

Tokenizer::Tokenizer(TokenizerSpec spec) : spec_(std::move(spec)), engine_(std::make_unique<Engine>()) {}
Tokenizer::~Tokenizer() = default;

Result<std::shared_ptr<const Tokenizer>> Tokenizer::create(TokenizerSpec spec) {
  std::shared_ptr<Tokenizer> out(new Tokenizer(std::move(spec)));
  NIBBLE_TRY_STATUS(out->engine_->build(out->spec_));
  return std::shared_ptr<const Tokenizer>(std::move(out));
}

Result<std::vector<std::int32_t>> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  if (text.size() > kMaxTextBytes)
    return fail(ErrorCode::kUnsupported, "a text of {} bytes, the limit is {}; tokenize it in parts", text.size(),
                kMaxTextBytes);
  std::string repaired;
  if (spec_.model != TokenizerModel::kScoreBpe && !is_utf8(text)) {
    repaired = repair_utf8(text);
    text = repaired;
  }
  std::vector<std::int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  if (options.add_special) ids = spec_.prefix;
  std::vector<TextSection> sections;
  engine_->raw_added.cut(text, options.parse_special, sections);
  BpeScratch scratch;
  for (const TextSection& section : sections) {
    if (section.id >= 0) {
      ids.push_back(section.id);
      continue;
    }
    const std::size_t begin = section.span.begin;
    Status status = engine_->encode_section(text.substr(begin, section.span.end - begin), begin == 0,
                                            options.parse_special, scratch, ids);
    if (!status.ok()) return with_context(status.error(), spec_.what);
  }
  if (options.add_special) ids.insert(ids.end(), spec_.suffix.begin(), spec_.suffix.end());
  return ids;
}

std::string Tokenizer::piece(std::int32_t id) const {
  if (!known(id)) return {};
  const TokenEntry& token = spec_.tokens[static_cast<std::size_t>(id)];
  if (engine_->decoder) return engine_->decoder->token_bytes(token.text);
  switch (token.type) {
    case TokenType::kUnknown:
    case TokenType::kControl:
    case TokenType::kUserDefined:
      return token.text;
    case TokenType::kByte: {
      const int byte = byte_of_token(token.text);
      return byte < 0 ? token.text : std::string(1, static_cast<char>(byte));
    }
    case TokenType::kNormal: {
      if (!engine_->pre_tokenizer.ends_in_bytes()) return replace_every(token.text, kSpaceMark, " ");
      std::string bytes;
      return from_byte_alphabet(token.text, bytes) ? bytes : token.text;
    }
    case TokenType::kUnused:
    case TokenType::kUndefined:
      break;
  }
  return {};
}

std::size_t Tokenizer::leading_spaces_stripped() const {
  if (engine_->decoder) return engine_->decoder->leading_spaces_stripped();
  return spec_.add_space_prefix ? 1 : 0;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, const DecodeOptions& options) const {
  return engine_->decoder ? decode_as_hugging_face(ids, options) : decode_as_gguf(ids, options);
}

std::string Tokenizer::decode_as_gguf(std::span<const std::int32_t> ids, const DecodeOptions& options) const {
  bool strip_space = spec_.add_space_prefix;
  if (options.skip_special && adds_bos() && !ids.empty() && ids.front() == *spec_.special.bos) {
    strip_space = false;  // llama.cpp: the space after BOS stays
    ids = ids.subspan(1);
  }
  std::string bytes;
  for (const std::int32_t id : ids) {
    const std::string text = options.skip_special && is_special(id) ? std::string() : piece(id);
    bytes.append(text, strip_space && !text.empty() && text.front() == ' ' ? 1 : 0);
    strip_space = false;
  }
  std::string out = replace_malformed_utf8(bytes);
  return spec_.clean_up_spaces ? clean_up_spaces_as_gguf(std::move(out)) : out;
}

std::string Tokenizer::decode_as_hugging_face(std::span<const std::int32_t> ids, const DecodeOptions& options) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const std::int32_t id : ids)
    if (known(id) && !(options.skip_special && is_special(id))) tokens.push_back(token_text(id));
  std::string out = replace_malformed_utf8(engine_->decoder->decode(std::move(tokens)));
  return spec_.clean_up_spaces ? clean_up_spaces_as_hugging_face(std::move(out)) : out;
}

const std::string& Tokenizer::token_text(std::int32_t id) const {
  return known(id) ? spec_.tokens[static_cast<std::size_t>(id)].text : kNoText;
}

std::optional<std::int32_t> Tokenizer::token_to_id(std::string_view text) const {
  const std::int32_t id = engine_->index.find(text);
  return id < 0 ? std::nullopt : std::optional<std::int32_t>(id);
}

TokenType Tokenizer::type(std::int32_t id) const {
  return known(id) ? spec_.tokens[static_cast<std::size_t>(id)].type : TokenType::kUndefined;
}

bool Tokenizer::is_special(std::int32_t id) const {
  return known(id) && engine_->is_special[static_cast<std::size_t>(id)];
}

bool Tokenizer::is_end_of_generation(std::int32_t id) const {
  return std::find(spec_.end_of_generation.begin(), spec_.end_of_generation.end(), id) != spec_.end_of_generation.end();
}

TokenDecoder::TokenDecoder(std::shared_ptr<const Tokenizer> tokenizer, Options options)
    : tokenizer_(std::move(tokenizer)), options_(options) {
  if (options_.at_start) spaces_to_strip_ = tokenizer_->leading_spaces_stripped();
}

std::string TokenDecoder::feed(std::int32_t id) {
  if (options_.skip_special && tokenizer_->is_special(id)) {
    // llama.cpp takes the space from the first token, whatever it is; Hugging Face from the first that is shown.
    if (!tokenizer_->spec_.decoder) spaces_to_strip_ = 0;
    return {};
  }
  std::string text = tokenizer_->piece(id);
  std::size_t stripped = 0;
  while (spaces_to_strip_ > 0 && stripped < text.size() && text[stripped] == ' ') {
    ++stripped;
    --spaces_to_strip_;
  }
  if (stripped < text.size() || !tokenizer_->spec_.decoder) spaces_to_strip_ = 0;
  pending_.append(text, stripped);
  const std::size_t tail = incomplete_utf8_tail(pending_);
  std::string out = replace_malformed_utf8(std::string_view(pending_).substr(0, pending_.size() - tail));
  pending_.erase(0, pending_.size() - tail);
  return out;
}

std::string TokenDecoder::finish() {
  spaces_to_strip_ = 0;
  return replace_malformed_utf8(std::exchange(pending_, {}));
}

}  // namespace nibble
