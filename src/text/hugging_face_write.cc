// TokenizerSpec to tokenizer.json, tokenizer_config.json and special_tokens_map.json.
#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "text/hugging_face.h"
#include "text/replace_every.h"
#include "text/sentencepiece_merges.h"

namespace nibble {
namespace {

/// Appends a member whose key is known to be new; the ordered object's own insertion searches all members.
void append(Json& object, std::string key, Json value) {
  auto& members = object.get_ref<Json::object_t&>();
  static_cast<Json::object_t::Container&>(members).emplace_back(std::move(key), std::move(value));
}

/// No step is null, one is itself, several are a Sequence.
Json sequence(std::vector<Json> steps, std::string_view key) {
  if (steps.empty()) return nullptr;
  if (steps.size() == 1) return std::move(steps.front());
  Json out = {{"type", "Sequence"}};
  out[std::string(key)] = std::move(steps);
  return out;
}

Json pattern(const std::string& text, bool is_regex) {
  return is_regex ? Json{{"Regex", text}} : Json{{"String", text}};
}

Json normalizer_step(const NormalizerStep& step) {
  switch (step.kind) {
    case NormalizerStep::Kind::kNfc:
      return {{"type", "NFC"}};
    case NormalizerStep::Kind::kNfd:
      return {{"type", "NFD"}};
    case NormalizerStep::Kind::kNfkc:
      return {{"type", "NFKC"}};
    case NormalizerStep::Kind::kNfkd:
      return {{"type", "NFKD"}};
    case NormalizerStep::Kind::kLowercase:
      return {{"type", "Lowercase"}};
    case NormalizerStep::Kind::kStripAccents:
      return {{"type", "StripAccents"}};
    case NormalizerStep::Kind::kStrip:
      return {{"type", "Strip"}, {"strip_left", step.strip_left}, {"strip_right", step.strip_right}};
    case NormalizerStep::Kind::kReplace:
      return {
          {"type", "Replace"}, {"pattern", pattern(step.pattern, step.pattern_is_regex)}, {"content", step.content}};
    case NormalizerStep::Kind::kPrepend:
      break;
  }
  return {{"type", "Prepend"}, {"prepend", step.content}};
}

std::string behavior_name(PreTokenizerStep::Behavior behavior) {
  constexpr std::array<const char*, 5> kNames = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                                 "Contiguous"};
  return kNames[static_cast<std::size_t>(behavior)];
}

Json pre_tokenizer_step(const PreTokenizerStep& step) {
  constexpr std::array<const char*, 3> kSchemes = {"always", "first", "never"};
  switch (step.kind) {
    case PreTokenizerStep::Kind::kSplit:
      return {{"type", "Split"},
              {"pattern", pattern(step.pattern, step.pattern_is_regex)},
              {"behavior", behavior_name(step.behavior)},
              {"invert", step.invert}};
    case PreTokenizerStep::Kind::kByteLevel:
      return {{"type", "ByteLevel"},
              {"add_prefix_space", step.add_prefix_space},
              {"trim_offsets", true},
              {"use_regex", step.use_regex}};
    case PreTokenizerStep::Kind::kMetaspace:
      return {{"type", "Metaspace"},
              {"replacement", step.replacement},
              {"prepend_scheme", kSchemes[static_cast<std::size_t>(step.prepend_scheme)]},
              {"split", step.split}};
    case PreTokenizerStep::Kind::kDigits:
      return {{"type", "Digits"}, {"individual_digits", step.individual_digits}};
    case PreTokenizerStep::Kind::kPunctuation:
      return {{"type", "Punctuation"}, {"behavior", behavior_name(step.behavior)}};
    case PreTokenizerStep::Kind::kWhitespace:
      return {{"type", "Whitespace"}};
    case PreTokenizerStep::Kind::kWhitespaceSplit:
      break;
  }
  return {{"type", "WhitespaceSplit"}};
}

Json decoder_step(const DecoderStep& step) {
  switch (step.kind) {
    case DecoderStep::Kind::kByteLevel:
      return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
    case DecoderStep::Kind::kByteFallback:
      return {{"type", "ByteFallback"}};
    case DecoderStep::Kind::kMetaspace:
      return {{"type", "Metaspace"},
              {"replacement", step.content},
              {"prepend_scheme", step.drop_first ? "always" : "never"},
              {"split", true}};
    case DecoderStep::Kind::kFuse:
      return {{"type", "Fuse"}};
    case DecoderStep::Kind::kStrip:
      return {{"type", "Strip"}, {"content", step.content}, {"start", step.start}, {"stop", step.stop}};
    case DecoderStep::Kind::kReplace:
      break;
  }
  return {{"type", "Replace"}, {"pattern", pattern(step.pattern, step.pattern_is_regex)}, {"content", step.content}};
}

/// The chain that decodes as the spec's model does, where the source had none.
std::vector<DecoderStep> default_decoder(const TokenizerSpec& spec) {
  using Kind = DecoderStep::Kind;
  const bool bytes =
      std::any_of(spec.pre_tokenizer.begin(), spec.pre_tokenizer.end(),
                  [](const PreTokenizerStep& step) { return step.kind == PreTokenizerStep::Kind::kByteLevel; });
  if (bytes) return {DecoderStep{}};
  DecoderStep spaces;
  spaces.kind = Kind::kReplace;
  spaces.pattern = kSpaceMark;
  spaces.content = " ";
  DecoderStep fallback;
  fallback.kind = Kind::kByteFallback;
  DecoderStep fuse;
  fuse.kind = Kind::kFuse;
  std::vector<DecoderStep> out = {spaces, fallback, fuse};
  if (spec.add_space_prefix) {
    DecoderStep strip;
    strip.kind = Kind::kStrip;
    strip.content = " ";
    strip.start = 1;
    out.push_back(strip);
  }
  return out;
}

class Writer {
 public:
  explicit Writer(const TokenizerSpec& spec) : spec_(spec) {}

  Result<HuggingFaceDocuments> run() {
    for (std::size_t id = 0; id < spec_.tokens.size(); ++id)
      if (!is_utf8(spec_.tokens[id].text))
        return fail(ErrorCode::kUnsupported, "{}: tokens[{}] is not UTF-8; tokenizer.json cannot hold it", spec_.what,
                    id);
    HuggingFaceDocuments out;
    out.tokenizer = tokenizer();
    out.tokenizer_config = config();
    out.special_tokens_map = special_map();
    return out;
  }

 private:
  const std::string& text_of(std::int32_t id) const { return spec_.tokens[static_cast<std::size_t>(id)].text; }

  Json tokenizer() const {
    std::vector<Json> normalizers;
    for (const NormalizerStep& step : spec_.normalizer) normalizers.push_back(normalizer_step(step));
    std::vector<Json> pre_tokenizers;
    for (const PreTokenizerStep& step : spec_.pre_tokenizer) pre_tokenizers.push_back(pre_tokenizer_step(step));
    std::vector<Json> decoders;
    for (const DecoderStep& step : spec_.decoder ? *spec_.decoder : default_decoder(spec_))
      decoders.push_back(decoder_step(step));
    Json out = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
    Json added = Json::array();
    for (const AddedToken& token : sorted_added()) {
      added.push_back({{"id", token.id},
                       {"content", token.content},
                       {"single_word", token.single_word},
                       {"lstrip", token.lstrip},
                       {"rstrip", token.rstrip},
                       {"normalized", token.normalized},
                       {"special", token.special}});
    }
    out["added_tokens"] = std::move(added);
    out["normalizer"] = sequence(std::move(normalizers), "normalizers");
    out["pre_tokenizer"] = sequence(std::move(pre_tokenizers), "pretokenizers");
    out["post_processor"] = post_processor();
    out["decoder"] = sequence(std::move(decoders), "decoders");
    out["model"] = model();
    return out;
  }

  std::vector<AddedToken> sorted_added() const {
    std::vector<AddedToken> out = spec_.added;
    std::stable_sort(out.begin(), out.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
    return out;
  }

  Json model() const {
    const bool by_score = spec_.model == TokenizerModel::kScoreBpe;
    Json out = {{"type", "BPE"}, {"dropout", nullptr}};
    out["unk_token"] = spec_.use_unk && spec_.special.unk ? Json(text_of(*spec_.special.unk)) : Json(nullptr);
    out["continuing_subword_prefix"] = nullptr;
    out["end_of_word_suffix"] = nullptr;
    out["fuse_unk"] = spec_.fuse_unk;
    out["byte_fallback"] = spec_.byte_fallback;
    out["ignore_merges"] = spec_.ignore_merges;
    Json vocab = Json::object();
    for (std::size_t id = 0; id < spec_.tokens.size(); ++id) append(vocab, spec_.tokens[id].text, id);
    out["vocab"] = std::move(vocab);
    const std::vector<TokenMerge> merges = by_score ? merges_from_scores(spec_.tokens) : spec_.merges;
    const bool spaces = std::any_of(merges.begin(), merges.end(), [&](TokenMerge merge) {
      return text_of(merge.left).find(' ') != std::string::npos || text_of(merge.right).find(' ') != std::string::npos;
    });
    Json list = Json::array();
    for (const TokenMerge merge : merges) {
      // Pairs where tokens contain spaces; else lines, which older readers know too, unless one looks like a comment.
      if (spaces || text_of(merge.left).compare(0, 8, "#version") == 0) {
        list.push_back(Json::array({text_of(merge.left), text_of(merge.right)}));
      } else {
        list.push_back(text_of(merge.left) + " " + text_of(merge.right));
      }
    }
    out["merges"] = std::move(list);
    return out;
  }

  Json post_processor() const {
    if (spec_.prefix.empty() && spec_.suffix.empty()) return nullptr;
    Json single = Json::array();
    Json pair = Json::array();
    Json specials = Json::object();
    const auto add_ids = [&](const std::vector<std::int32_t>& ids) {
      for (const std::int32_t id : ids) {
        const std::string& text = text_of(id);
        single.push_back({{"SpecialToken", {{"id", text}, {"type_id", 0}}}});
        pair.push_back({{"SpecialToken", {{"id", text}, {"type_id", 0}}}});
        specials[text] = {{"id", text}, {"ids", Json::array({id})}, {"tokens", Json::array({text})}};
      }
    };
    add_ids(spec_.prefix);
    single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    pair.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
    add_ids(spec_.suffix);
    return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", specials}};
  }

  Json config() const {
    Json out = Json::object();
    if (spec_.special.bos) out["add_bos_token"] = spec_.adds_bos();
    if (spec_.special.eos) out["add_eos_token"] = spec_.adds_eos();
    Json added = Json::object();
    for (const AddedToken& token : sorted_added()) {
      append(added, std::to_string(token.id),
             {{"content", token.content},
              {"lstrip", token.lstrip},
              {"normalized", token.normalized},
              {"rstrip", token.rstrip},
              {"single_word", token.single_word},
              {"special", token.special}});
    }
    out["added_tokens_decoder"] = std::move(added);
    out["clean_up_tokenization_spaces"] = spec_.clean_up_spaces;
    out.update(special_map());
    out["tokenizer_class"] = "PreTrainedTokenizerFast";
    return out;
  }

  Json special_map() const {
    Json out = Json::object();
    const SpecialTokens& s = spec_.special;
    const std::array<std::pair<const char*, std::optional<std::int32_t>>, 7> named = {{{"bos_token", s.bos},
                                                                                       {"eos_token", s.eos},
                                                                                       {"unk_token", s.unk},
                                                                                       {"sep_token", s.sep},
                                                                                       {"pad_token", s.pad},
                                                                                       {"cls_token", s.cls},
                                                                                       {"mask_token", s.mask}}};
    for (const auto& [key, id] : named)
      if (id) out[key] = text_of(*id);
    return out;
  }

  const TokenizerSpec& spec_;
};

}  // namespace

Result<HuggingFaceDocuments> to_hugging_face(const TokenizerSpec& spec) { return Writer(spec).run(); }

}  // namespace nibble
