// TokenizerSpec to GGUF keys: what a converter does. The pre-tokenizer's name is found by comparing patterns.
#include <algorithm>

#include "text/byte_alphabet.h"
#include "text/gguf_vocab.h"
#include "text/known_special_tokens.h"
#include "text/patterns.h"
#include "text/pre_tokenizer_table.h"
#include "text/regex.h"
#include "text/replace_every.h"
#include "text/sentencepiece_merges.h"

namespace nibble {
namespace {

/// The pre-tokenizer as a list of patterns that cut one after the other, as GGUF's names mean them; nothing when a step
/// cannot be said so.
Result<std::vector<std::string>> as_patterns(const TokenizerSpec& spec) {
  using Kind = PreTokenizerStep::Kind;
  using Behavior = PreTokenizerStep::Behavior;
  std::vector<std::string> out;
  const auto refuse = [&](std::string_view step) {
    return fail(ErrorCode::kUnsupported,
                "{}: GGUF has no name for a pre-tokenizer with {}; keep the model in a Hugging Face folder", spec.what,
                step);
  };
  bool in_bytes = false;
  for (const PreTokenizerStep& step : spec.pre_tokenizer) {
    if (in_bytes && step.kind != Kind::kDigits && step.kind != Kind::kSplit) return refuse("steps after ByteLevel");
    switch (step.kind) {
      case Kind::kByteLevel:
        if (step.add_prefix_space) return refuse("add_prefix_space");
        if (step.use_regex) out.emplace_back(patterns::kGpt2);
        in_bytes = true;
        break;
      case Kind::kDigits:
        out.emplace_back(step.individual_digits ? patterns::kEachNumber : patterns::kNumbers);
        break;
      case Kind::kSplit: {
        // "Removed" with inverted matches keeps exactly the matches: the same where they leave no gap.
        const bool keeps_all =
            step.behavior == Behavior::kIsolated || (step.behavior == Behavior::kRemoved && step.invert);
        if (!keeps_all) return refuse("a Split that does not isolate its matches");
        out.push_back(step.pattern_is_regex ? step.pattern : escape_for_regex(step.pattern));
        break;
      }
      case Kind::kPunctuation:
        if (step.behavior != Behavior::kContiguous) return refuse("Punctuation that is not Contiguous");
        out.emplace_back(patterns::kFalconPunctuation);
        break;
      case Kind::kMetaspace:
        return refuse("Metaspace beside a byte-level vocabulary");
      case Kind::kWhitespace:
      case Kind::kWhitespaceSplit:
        return refuse("white space that is dropped");
    }
  }
  return out;
}

bool is_byte_level(const TokenizerSpec& spec) {
  return std::any_of(spec.pre_tokenizer.begin(), spec.pre_tokenizer.end(),
                     [](const PreTokenizerStep& step) { return step.kind == PreTokenizerStep::Kind::kByteLevel; });
}

class Writer {
 public:
  Writer(const TokenizerSpec& spec, std::optional<std::int32_t> vocab_size) : spec_(spec), vocab_size_(vocab_size) {}

  Result<GgufVocab> run() {
    out_.special = spec_.special;
    if (spec_.model == TokenizerModel::kScoreBpe) {
      NIBBLE_TRY_STATUS(write_sentencepiece());
    } else if (is_byte_level(spec_)) {
      NIBBLE_TRY_STATUS(write_byte_level());
    } else if (!spec_.pre.empty()) {
      return fail(ErrorCode::kUnsupported, "{}: the pre-tokenizer \"{}\" is only copied from GGUF to GGUF", spec_.what,
                  spec_.pre);
    } else {
      NIBBLE_TRY_STATUS(write_sentencepiece());
    }
    NIBBLE_TRY_STATUS(write_tokens());
    out_.add_bos = spec_.adds_bos();
    out_.add_eos = spec_.adds_eos();
    const std::size_t said = (spec_.adds_bos() ? 1U : 0U) + (spec_.adds_eos() ? 1U : 0U);
    if (said != spec_.prefix.size() + spec_.suffix.size())
      out_.warnings.emplace_back("tokens other than BOS and EOS that the post-processor adds are lost");
    for (const AddedToken& token : spec_.added) {
      if (!token.lstrip && !token.rstrip && !token.single_word) continue;
      out_.warnings.push_back(
          fmt::format("lstrip, rstrip and single_word of added tokens (\"{}\", ...) are lost", token.content));
      break;
    }
    return std::move(out_);
  }

 private:
  Status write_byte_level() {
    out_.model = "gpt2";
    for (const NormalizerStep& step : spec_.normalizer) {
      if (step.kind != NormalizerStep::Kind::kNfc)
        return fail(
            ErrorCode::kUnsupported,
            "{}: GGUF has no place for this byte-level tokenizer's normalizer; keep the model in a Hugging Face "
            "folder",
            spec_.what);
      out_.warnings.emplace_back("the normalizer NFC is lost: decomposed characters give other tokens");
    }
    out_.pre = spec_.pre;
    if (out_.pre.empty()) {
      NIBBLE_TRY(const std::vector<std::string> patterns, as_patterns(spec_));
      const unsigned flags = (spec_.ignore_merges ? kIgnoreMerges : 0U) | (spec_.adds_bos() ? kAddsBos : 0U) |
                             (spec_.clean_up_spaces ? 0U : kKeepsSpaces);
      const PreTokenizerEntry* entry = match_pre_tokenizer(patterns, flags);
      if (entry == nullptr) {
        std::string list;
        for (const std::string& pattern : patterns) list.append(list.empty() ? "" : ", ").append("\"" + pattern + "\"");
        return fail(
            ErrorCode::kUnsupported,
            "{}: GGUF has no name for the pre-tokenizer {}{}; keep the model in a Hugging Face folder, or add the "
            "name to the table (docs/howto/add-a-pre-tokenizer.md)",
            spec_.what, list, spec_.ignore_merges ? " with ignore_merges" : "");
      }
      out_.pre = entry->name;
    }
    // A merge is split at its first space, so a space inside of a token is written as the byte alphabet does.
    for (const TokenMerge& merge : spec_.merges)
      out_.merges.push_back(replace_every(text_of(merge.left), " ", "\xC4\xA0") + " " +
                            replace_every(text_of(merge.right), " ", "\xC4\xA0"));
    return {};
  }

  /// GGUF's "llama" implies the marking of spaces and, unless a key says otherwise, the prefix.
  Status write_sentencepiece() {
    out_.model = "llama";
    out_.pre = "default";
    bool marks = false;
    bool prefix = false;
    bool understood = true;
    for (const NormalizerStep& step : spec_.normalizer) {
      if (step.kind == NormalizerStep::Kind::kPrepend && (step.content == kSpaceMark || step.content == " ")) {
        prefix = true;
      } else if (step.kind == NormalizerStep::Kind::kReplace && step.pattern == " " && step.content == kSpaceMark) {
        marks = true;
      } else {
        understood = false;
      }
    }
    for (const PreTokenizerStep& step : spec_.pre_tokenizer) {
      if (step.kind == PreTokenizerStep::Kind::kMetaspace && step.replacement == kSpaceMark) {
        marks = true;
        prefix = prefix || step.prepend_scheme != PreTokenizerStep::Prepend::kNever;
        if (step.prepend_scheme == PreTokenizerStep::Prepend::kFirst)
          out_.warnings.emplace_back("prepend_scheme \"first\" is lost: text after a special token gets a space too");
      } else if (!(step.kind == PreTokenizerStep::Kind::kSplit && !step.pattern_is_regex && step.pattern == " " &&
                   marks)) {
        understood = false;  // Gemma's Split at spaces does nothing where no spaces are left
      }
    }
    if (!understood || !marks || (spec_.model == TokenizerModel::kBpe && !spec_.byte_fallback))
      return fail(ErrorCode::kUnsupported,
                  "{}: GGUF has no name for a tokenizer with this normalizer and pre-tokenizer; keep the model in a "
                  "Hugging Face folder",
                  spec_.what);
    out_.add_space_prefix = prefix;
    if (spec_.model == TokenizerModel::kScoreBpe) {
      for (const TokenEntry& token : spec_.tokens) out_.scores.push_back(token.score);
    } else {
      const ScoresFromMerges scores = scores_from_merges(spec_);
      out_.scores = scores.scores;
      if (scores.pairs_without_merge > 0)
        out_.warnings.push_back(fmt::format(
            "{} pairs of tokens merge by GGUF's rule but not by this tokenizer's merges", scores.pairs_without_merge));
    }
    return {};
  }

  Status write_tokens() {
    const std::size_t count = spec_.tokens.size();
    const std::size_t rows = vocab_size_ ? static_cast<std::size_t>(std::max(*vocab_size_, 0)) : count;
    if (rows < count || rows > kMaxVocabularyTokens)
      return fail(ErrorCode::kInvalidArgument, "{}: the model has {} token rows, the tokenizer {} tokens", spec_.what,
                  rows, count);
    std::vector<bool> added(count);
    for (const AddedToken& token : spec_.added) added[static_cast<std::size_t>(token.id)] = true;
    for (std::size_t id = 0; id < rows; ++id) {
      std::string text = id < count ? spec_.tokens[id].text : fmt::format("[PAD{}]", id);
      TokenType type = id < count ? spec_.tokens[id].type : TokenType::kUnused;
      if (id < count && added[id] && type == TokenType::kUserDefined && spec_.decoder) {
        if (looks_special(text)) {
          type = TokenType::kControl;
        } else {
          text = replace_every(text, kSpaceMark, " ");
        }
      }
      out_.tokens.push_back(std::move(text));
      out_.token_types.push_back(static_cast<std::int32_t>(type));
    }
    if (!out_.scores.empty()) out_.scores.resize(rows, -10000.0F);
    return {};
  }

  const std::string& text_of(std::int32_t id) const { return spec_.tokens[static_cast<std::size_t>(id)].text; }

  const TokenizerSpec& spec_;
  std::optional<std::int32_t> vocab_size_;
  GgufVocab out_;
};

}  // namespace

Result<GgufVocab> to_gguf(const TokenizerSpec& spec, std::optional<std::int32_t> vocab_size) {
  return Writer(spec, vocab_size).run();
}

}  // namespace nibble
