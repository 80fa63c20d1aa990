// Tokenizer: text to token ids and back. Read a description with from_gguf (gguf_vocab.h) or from_hugging_face
// (hugging_face.h), then create() one and share it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer_spec.h"

namespace nibble {

struct EncodeOptions {
  bool add_special = true;    ///< put BOS, EOS or what else the model wants around the text
  bool parse_special = true;  ///< "<|im_end|>" in the text becomes its token; switch off for text from strangers
};

struct DecodeOptions {
  bool skip_special = true;  ///< leave special tokens out of the text
};

/// Constant after create(); any number of threads may use one.
class Tokenizer {
 public:
  /// Fails, naming field and index, when the description contradicts itself or exceeds a limit.
  static Result<std::shared_ptr<const Tokenizer>> create(TokenizerSpec spec);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// The ids of `text`, in time n log n. Bytes that are not UTF-8 count as U+FFFD (as themselves in SentencePiece
  /// vocabularies). Fails with kUnsupported when a pattern of tokenizer.json gives up on the text (regex.h), when a
  /// vocabulary has no token for a byte, or for more than 1 GiB.
  Result<std::vector<std::int32_t>> encode(std::string_view text, const EncodeOptions& options = {}) const;

  /// The text of a whole list, as the reference implementation of the source gives it: leading space and spaces before
  /// punctuation are removed where it removes them. Valid UTF-8; ids out of range count as nothing.
  std::string decode(std::span<const std::int32_t> ids, const DecodeOptions& options = {}) const;

  /// The bytes that `id` stands for inside a text; they may be part of a character. A special token's own text.
  std::string piece(std::int32_t id) const;
  /// The entry in the vocabulary ("Ġthe", "▁the", "<0x0A>"). Empty when out of range.
  const std::string& token_text(std::int32_t id) const;
  std::optional<std::int32_t> token_to_id(std::string_view text) const;

  std::int32_t vocab_size() const { return static_cast<std::int32_t>(spec_.tokens.size()); }
  TokenType type(std::int32_t id) const;
  /// Special tokens are not text: control tokens, unknown, and what tokenizer.json marks as special.
  bool is_special(std::int32_t id) const;

  const SpecialTokens& special() const { return spec_.special; }
  std::optional<std::int32_t> bos() const { return spec_.special.bos; }
  std::optional<std::int32_t> eos() const { return spec_.special.eos; }
  std::optional<std::int32_t> eot() const { return spec_.special.eot; }
  std::optional<std::int32_t> pad() const { return spec_.special.pad; }
  std::optional<std::int32_t> unk() const { return spec_.special.unk; }
  /// Generation stops at these: eos, end of turn, end of message, ...
  bool is_end_of_generation(std::int32_t id) const;
  const std::vector<std::int32_t>& end_of_generation() const { return spec_.end_of_generation; }

  /// Whether encode() with add_special begins with BOS, ends with EOS.
  bool adds_bos() const { return spec_.adds_bos(); }
  bool adds_eos() const { return spec_.adds_eos(); }

  const TokenizerSpec& spec() const { return spec_; }

 private:
  friend class TokenDecoder;
  struct Engine;
  explicit Tokenizer(TokenizerSpec spec);
  bool known(std::int32_t id) const { return id >= 0 && static_cast<std::size_t>(id) < spec_.tokens.size(); }
  std::string decode_as_gguf(std::span<const std::int32_t> ids, const DecodeOptions& options) const;
  std::string decode_as_hugging_face(std::span<const std::int32_t> ids, const DecodeOptions& options) const;
  std::size_t leading_spaces_stripped() const;

  TokenizerSpec spec_;
  std::unique_ptr<Engine> engine_;
};

/// Decodes a stream token by token. The strings that feed() and finish() return are valid UTF-8 and, joined, the text;
/// spaces before punctuation stay.
class TokenDecoder {
 public:
  struct Options {
    bool skip_special = true;
    bool at_start = false;  ///< the stream is a whole text, so its leading space is removed as decode() does
  };
  explicit TokenDecoder(std::shared_ptr<const Tokenizer> tokenizer) : TokenDecoder(std::move(tokenizer), Options()) {}
  TokenDecoder(std::shared_ptr<const Tokenizer> tokenizer, Options options);

  /// The complete characters that `id` adds. Bytes that no continuation can complete become U+FFFD.
  std::string feed(std::int32_t id);
  /// What is left: U+FFFD for an unfinished character. The decoder is then as new, in the middle of a text.
  std::string finish();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  Options options_;
  std::size_t spaces_to_strip_ = 0;
  std::string pending_;
};

}  // namespace nibble
