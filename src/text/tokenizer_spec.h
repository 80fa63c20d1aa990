// TokenizerSpec: what a tokenizer is, free of any file's form. A GGUF's metadata and a Hugging Face folder are read
// into it and written from it (gguf_vocab.h, hugging_face.h); Tokenizer runs it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace nibble {

/// GGUF's numbering of token types.
enum class TokenType : std::uint8_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,      ///< special: bos, end of turn, ...; not shown as text
  kUserDefined = 4,  ///< added by the user: cut out of the text before anything else
  kUnused = 5,
  kByte = 6,  ///< <0xXX>
};

struct TokenEntry {
  std::string text;  ///< as in the vocabulary: in the byte alphabet, or with U+2581 for spaces
  float score = 0;   ///< of ScoreBpe
  TokenType type = TokenType::kNormal;
};

/// A token that is cut out of the text before the model sees it.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool single_word = false;  ///< only where no word character touches it
  bool lstrip = false;       ///< swallows white space on its left
  bool rstrip = false;
  bool normalized = false;  ///< looked for in the normalized text
  bool special = false;     ///< dropped from decoded text; not looked for when special tokens are not parsed
};

/// The merge of two tokens, by id; the rank is its place in the list.
struct TokenMerge {
  std::int32_t left = 0;
  std::int32_t right = 0;
};

/// The models. WordPiece and Unigram will be further members of this list.
enum class TokenizerModel : std::uint8_t {
  kBpe,       ///< merges by rank ("gpt2" in GGUF; "BPE" in tokenizer.json)
  kScoreBpe,  ///< SentencePiece's BPE: merges what is a token, highest score first ("llama" in GGUF)
};

struct NormalizerStep {
  enum class Kind : std::uint8_t { kNfc, kNfd, kNfkc, kNfkd, kLowercase, kStripAccents, kStrip, kReplace, kPrepend };
  Kind kind = Kind::kNfc;
  bool strip_left = false;
  bool strip_right = false;
  std::string pattern;  ///< of kReplace
  bool pattern_is_regex = false;
  std::string content;  ///< of kReplace and kPrepend
};

struct PreTokenizerStep {
  enum class Kind : std::uint8_t {
    kSplit,
    kByteLevel,
    kMetaspace,
    kDigits,
    kPunctuation,
    kWhitespace,
    kWhitespaceSplit,
  };
  enum class Behavior : std::uint8_t { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };
  enum class Prepend : std::uint8_t { kAlways, kFirst, kNever };

  Kind kind = Kind::kSplit;
  std::string pattern;  ///< of kSplit, an Oniguruma regex or, if so marked, a literal
  bool pattern_is_regex = true;
  bool invert = false;                        ///< of kSplit: gaps count as matches
  Behavior behavior = Behavior::kIsolated;    ///< of kSplit and kPunctuation
  bool add_prefix_space = false;              ///< of kByteLevel
  bool use_regex = false;                     ///< of kByteLevel: split by the pattern of GPT-2 first
  bool individual_digits = false;             ///< of kDigits
  std::string replacement = "\xE2\x96\x81";   ///< of kMetaspace
  Prepend prepend_scheme = Prepend::kAlways;  ///< of kMetaspace
  bool split = true;                          ///< of kMetaspace
};

struct DecoderStep {
  enum class Kind : std::uint8_t { kByteLevel, kByteFallback, kMetaspace, kFuse, kStrip, kReplace };
  Kind kind = Kind::kByteLevel;
  std::string pattern;  ///< of kReplace
  bool pattern_is_regex = false;
  std::string content = {};  ///< of kReplace; the character of kStrip; the replacement of kMetaspace
  std::int64_t start = 0;    ///< of kStrip
  std::int64_t stop = 0;     ///< of kStrip
  bool drop_first = true;    ///< of kMetaspace: the first token's marks vanish (prepend_scheme is not "never")
};

struct SpecialTokens {
  std::optional<std::int32_t> bos, eos, eot, eom, unk, sep, pad, cls, mask;
  std::optional<std::int32_t> fim_pre, fim_suf, fim_mid, fim_pad, fim_rep, fim_sep;
};

struct TokenizerSpec {
  std::string what;  ///< names the source in messages

  TokenizerModel model = TokenizerModel::kBpe;
  std::vector<TokenEntry> tokens;  ///< id = index; texts are distinct
  std::vector<TokenMerge> merges;  ///< of kBpe
  bool byte_fallback = false;      ///< a character that is no token becomes its bytes' <0xXX> tokens, if all exist
  bool fuse_unk = false;
  bool ignore_merges = false;
  bool use_unk = false;  ///< a character that is no token becomes special.unk; else it is dropped
  /// What is dropped keeps its neighbours from merging with each other (llama.cpp); else they meet (Hugging Face).
  bool dropped_separates = false;

  std::vector<AddedToken> added;
  /// llama.cpp cuts out the longest token wherever it is, then the next; Hugging Face goes from left to right and takes
  /// the longest at each place. They differ only where tokens overlap.
  bool longest_added_first = false;
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;

  std::vector<std::int32_t> prefix;  ///< what add_special puts before the text
  std::vector<std::int32_t> suffix;  ///< and after it

  /// Hugging Face's decoder chain; when it is not set, tokens are decoded as llama.cpp does.
  std::optional<std::vector<DecoderStep>> decoder;
  bool clean_up_spaces = false;   ///< " ." becomes "." and the like, after decoding a whole list
  bool add_space_prefix = false;  ///< llama.cpp's decoding: one space less at the first token

  std::string pre;  ///< the GGUF pre-tokenizer's name, if the source was a GGUF
  SpecialTokens special;
  std::vector<std::int32_t> end_of_generation;
  std::vector<std::string> warnings;  ///< what the reader found doubtful

  bool adds_bos() const { return special.bos && !prefix.empty() && prefix.front() == *special.bos; }
  bool adds_eos() const { return special.eos && !suffix.empty() && suffix.back() == *special.eos; }
};

/// Limits on what a file may contain.
inline constexpr std::size_t kMaxVocabularyTokens = std::size_t{1} << 22;
inline constexpr std::size_t kMaxTokenBytes = 16 << 10;
inline constexpr std::size_t kMaxAddedTokenBytes = 4 << 10;

}  // namespace nibble
