// GGUF keys to TokenizerSpec. Defaults and repairs follow llama.cpp's loader.
#include "text/gguf_vocab.h"

#include <algorithm>
#include <array>

#include "text/known_special_tokens.h"
#include "text/pre_tokenizer_table.h"
#include "text/replace_every.h"
#include "text/token_index.h"

namespace nibble {
namespace {

constexpr std::array<std::string_view, 3> kModels = {"gpt2", "llama", "gemma4"};

class Reader {
 public:
  Reader(GgufVocab vocab, std::string what) : in_(std::move(vocab)) { out_.what = std::move(what); }

  Result<TokenizerSpec> run() {
    NIBBLE_TRY_STATUS(check_model());
    NIBBLE_TRY_STATUS(read_tokens());
    read_special_ids();
    if (out_.model == TokenizerModel::kBpe) NIBBLE_TRY_STATUS(read_merges());
    if (in_.model == "llama") {
      set_up_sentencepiece();
    } else {
      set_up_bpe();
    }
    find_known_special_tokens(out_, /*types_are_final=*/false);
    collect_added_tokens();
    return std::move(out_);
  }

 private:
  Status check_model() {
    if (std::find(kModels.begin(), kModels.end(), in_.model) == kModels.end())
      return fail(ErrorCode::kUnsupported,
                  "{}: tokenizer.ggml.model is \"{}\", which is not supported; known: gpt2, llama, gemma4 (byte-pair "
                  "encodings)",
                  out_.what, in_.model);
    if (in_.model == "gemma4") in_.pre = "gemma4";
    if (in_.model == "llama") {
      out_.model = has_rank_merges() ? TokenizerModel::kBpe : TokenizerModel::kScoreBpe;
      return {};
    }
    if (in_.pre.empty()) {
      out_.warnings.emplace_back(
          "tokenizer.ggml.pre is missing; \"default\" is assumed, which may not be what the "
          "model was trained with. Convert the model again");
      in_.pre = "default";
    }
    entry_ = find_pre_tokenizer(in_.pre);
    if (entry_ != nullptr) return {};
    const std::string_view why = why_pre_tokenizer_is_refused(in_.pre);
    if (!why.empty())
      return fail(ErrorCode::kUnsupported, "{}: the pre-tokenizer \"{}\" (tokenizer.ggml.pre) is not supported: {}",
                  out_.what, in_.pre, why);
    return fail(
        ErrorCode::kUnsupported,
        "{}: tokenizer.ggml.pre is \"{}\", which is unknown; give the model's own tokenizer.json, or add the name "
        "to the table (docs/howto/add-a-pre-tokenizer.md); known: {}",
        out_.what, in_.pre, pre_tokenizer_names());
  }

  /// Scores that are all equal say nothing; merges, where a converter kept them, do.
  bool has_rank_merges() const { return !in_.merges.empty() && scores_are_equal(); }
  bool scores_are_equal() const {
    return in_.scores.size() > 1 &&
           std::all_of(in_.scores.begin(), in_.scores.end(), [&](float score) { return score == in_.scores.front(); });
  }

  Status read_tokens() {
    const std::size_t count = in_.tokens.size();
    if (count == 0 || count > kMaxVocabularyTokens)
      return fail(ErrorCode::kCorrupt, "{}: tokenizer.ggml.tokens has {} entries, expected 1 to {}", out_.what, count,
                  kMaxVocabularyTokens);
    if (!in_.scores.empty() && in_.scores.size() < count)
      return fail(ErrorCode::kCorrupt, "{}: tokenizer.ggml.scores has {} entries, tokens has {}", out_.what,
                  in_.scores.size(), count);
    if (!in_.token_types.empty() && in_.token_types.size() < count)
      return fail(ErrorCode::kCorrupt, "{}: tokenizer.ggml.token_type has {} entries, tokens has {}", out_.what,
                  in_.token_types.size(), count);
    out_.tokens.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      TokenEntry& token = out_.tokens[i];
      token.text = in_.tokens[i].empty() ? fmt::format("[EMPTY_{}]", i) : std::move(in_.tokens[i]);
      if (!in_.scores.empty()) token.score = in_.scores[i];
      const std::int32_t type = in_.token_types.empty() ? 1 : in_.token_types[i];
      token.type = type >= 0 && type <= 6 ? static_cast<TokenType>(type) : TokenType::kUndefined;
    }
    return {};
  }

  void read_special_ids() {
    SpecialTokens defaults;
    if (in_.model == "llama") {
      defaults.bos = 1;
      defaults.eos = 2;
      defaults.unk = 0;
    } else if (in_.model == "gpt2") {
      defaults.eos = 11;
      if ((entry_->flags & kNoDefaultBos) == 0) defaults.bos = 11;
    }
    const auto set = [&](std::optional<std::int32_t>& slot, std::optional<std::int32_t> given,
                         std::optional<std::int32_t> fallback, std::string_view key) {
      const auto valid = [&](std::optional<std::int32_t> id) {
        return id && *id >= 0 && static_cast<std::size_t>(*id) < out_.tokens.size();
      };
      if (given && !valid(given))
        out_.warnings.push_back(fmt::format("tokenizer.ggml.{}_token_id is {}, the vocabulary has {} tokens; ignored",
                                            key, *given, out_.tokens.size()));
      slot = valid(given) ? given : valid(fallback) ? fallback : std::nullopt;
    };
    SpecialTokens& s = out_.special;
    const SpecialTokens& g = in_.special;
    set(s.bos, g.bos, defaults.bos, "bos");
    set(s.eos, g.eos, defaults.eos, "eos");
    set(s.unk, g.unk, defaults.unk, "unknown");
    set(s.eot, g.eot, {}, "eot");
    set(s.eom, g.eom, {}, "eom");
    set(s.sep, g.sep, {}, "seperator");
    set(s.pad, g.pad, {}, "padding");
    set(s.cls, g.cls, {}, "cls");
    set(s.mask, g.mask, {}, "mask");
    set(s.fim_pre, g.fim_pre, {}, "fim_pre");
    set(s.fim_suf, g.fim_suf, {}, "fim_suf");
    set(s.fim_mid, g.fim_mid, {}, "fim_mid");
    set(s.fim_pad, g.fim_pad, {}, "fim_pad");
    set(s.fim_rep, g.fim_rep, {}, "fim_rep");
    set(s.fim_sep, g.fim_sep, {}, "fim_sep");
  }

  Status read_merges() {
    if (in_.merges.empty())
      return fail(ErrorCode::kCorrupt, "{}: tokenizer.ggml.merges is missing or empty; \"{}\" needs it", out_.what,
                  in_.model);
    TokenIndex index;
    index.reserve(out_.tokens.size());
    for (std::size_t id = 0; id < out_.tokens.size(); ++id)
      index.insert(out_.tokens[id].text, static_cast<std::int32_t>(id));
    MergeIndex seen;
    seen.reserve(in_.merges.size());
    out_.merges.reserve(in_.merges.size());
    for (std::size_t i = 0; i < in_.merges.size(); ++i) {
      const std::string_view line = in_.merges[i];
      const std::size_t space = line.find(' ', 1);
      const std::string_view left = line.substr(0, space);
      const std::string_view right = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
      const TokenMerge merge{index.find(left), index.find(right)};
      if (merge.left < 0 || merge.right < 0)
        return fail(ErrorCode::kCorrupt, "{}: tokenizer.ggml.merges[{}] is \"{}\": \"{}\" is not in the vocabulary",
                    out_.what, i, line, merge.left < 0 ? left : right);
      // Of a pair that appears twice the first counts.
      if (seen.insert(merge.left, merge.right, {0, 0}, false)) out_.merges.push_back(merge);
    }
    return {};
  }

  void set_up_sentencepiece() {
    out_.byte_fallback = true;
    out_.fuse_unk = true;
    out_.use_unk = true;
    out_.add_space_prefix = in_.add_space_prefix.value_or(true);
    if (out_.add_space_prefix) {
      NormalizerStep prepend;
      prepend.kind = NormalizerStep::Kind::kPrepend;
      prepend.content = kSpaceMark;
      out_.normalizer.push_back(prepend);
    }
    mark_spaces();
    add_ends(in_.add_bos.value_or(true), in_.add_eos.value_or(false));
    if (out_.model == TokenizerModel::kScoreBpe && scores_are_equal())
      out_.warnings.emplace_back(
          "all tokenizer.ggml.scores are equal, as from a converter that saw no tokenizer.model; "
          "texts are split into worse tokens than in training. Give the model's tokenizer.json");
  }

  void mark_spaces() {
    NormalizerStep replace;
    replace.kind = NormalizerStep::Kind::kReplace;
    replace.pattern = " ";
    replace.content = kSpaceMark;
    out_.normalizer.push_back(replace);
  }

  void set_up_bpe() {
    out_.pre = in_.pre;
    const unsigned flags = entry_->flags;
    out_.ignore_merges = (flags & kIgnoreMerges) != 0;
    out_.dropped_separates = true;
    out_.clean_up_spaces = (flags & kKeepsSpaces) == 0;
    out_.add_space_prefix = in_.add_space_prefix.value_or(false);
    for (std::string_view pattern : entry_->patterns) {
      PreTokenizerStep split;
      split.pattern = pattern;
      out_.pre_tokenizer.push_back(split);
    }
    bool add_bos = in_.add_bos.value_or((flags & kAddsBos) != 0);
    if ((flags & kRawUtf8) != 0) {
      out_.byte_fallback = true;
      mark_spaces();
      if ((flags & kAddsBos) != 0) add_bos = true;  // llama.cpp overrides the key for Gemma 4
    } else {
      PreTokenizerStep bytes;
      bytes.kind = PreTokenizerStep::Kind::kByteLevel;
      out_.pre_tokenizer.push_back(bytes);
    }
    add_ends(add_bos, in_.add_eos.value_or(false));
  }

  void add_ends(bool add_bos, bool add_eos) {
    if (add_bos && out_.special.bos) out_.prefix.push_back(*out_.special.bos);
    if (add_eos && out_.special.eos) out_.suffix.push_back(*out_.special.eos);
  }

  void collect_added_tokens() {
    out_.longest_added_first = true;
    for (std::size_t id = 0; id < out_.tokens.size(); ++id) {
      const TokenEntry& token = out_.tokens[id];
      const bool special = token.type == TokenType::kControl || token.type == TokenType::kUnknown;
      if (!special && token.type != TokenType::kUserDefined) continue;
      AddedToken added;
      added.id = static_cast<std::int32_t>(id);
      added.content = token.text;
      added.special = special;
      set_strip_flags(added);
      out_.added.push_back(std::move(added));
    }
  }

  /// GGUF has no place for these flags; llama.cpp knows some models by name.
  void set_strip_flags(AddedToken& added) const {
    const auto contains = [](std::string_view text, std::string_view part) {
      return text.find(part) != std::string_view::npos;
    };
    std::string name = in_.model_name;
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (contains(in_.pre, "jina-v2-de") || contains(in_.pre, "jina-v2-es") || contains(in_.pre, "jina-v2-code")) {
      added.lstrip = added.content == "<mask>";
    } else if (contains(name, "phi-3") || contains(name, "phi3")) {
      added.rstrip = added.content != "<unk>" && added.content != "<s>" && added.content != "<|endoftext|>";
    } else if (contains(name, "modern-bert")) {
      added.lstrip = added.content == "[MASK]";
    }
  }

  GgufVocab in_;
  TokenizerSpec out_;
  const PreTokenizerEntry* entry_ = nullptr;
};

}  // namespace

Result<TokenizerSpec> from_gguf(GgufVocab vocab, std::string what) {
  return Reader(std::move(vocab), std::move(what)).run();
}

}  // namespace nibble
