// The steps of tokenizer.json: normalizers, pre-tokenizers and decoders. A Sequence is read as its members.
#include <array>

#include "text/hugging_face.h"

namespace nibble {
namespace {

constexpr std::size_t kMaxSteps = 256;

Result<std::string> type_of(const Json& json, const std::string& what) {
  if (!json.is_object()) return fail(ErrorCode::kCorrupt, "{} is {}, expected an object", what, json.type_name());
  NIBBLE_TRY(const auto type, JsonFields(json, what).string("type"));
  if (!type) return fail(ErrorCode::kCorrupt, "{} has no \"type\"", what);
  return *type;
}

/// Calls parse(member) for every member of a Sequence.
template <typename Parse>
Status for_each_member(const Json& json, std::string_view key, const std::string& what, Parse parse) {
  const Json* members = JsonFields(json, what).child(key);
  if (members == nullptr || !members->is_array())
    return fail(ErrorCode::kCorrupt, "{}: the Sequence's \"{}\" is not a list", what, key);
  for (const Json& member : *members) NIBBLE_TRY_STATUS(parse(member));
  return {};
}

Status check_count(std::size_t count, const std::string& what) {
  if (count < kMaxSteps) return {};
  return fail(ErrorCode::kUnsupported, "{} has more than {} steps", what, kMaxSteps);
}

/// {"String": "..."} or {"Regex": "..."}, or just a string.
Status parse_pattern(const Json& json, const std::string& what, std::string& pattern, bool& is_regex) {
  const Json* value = JsonFields(json, what).child("pattern");
  if (value == nullptr) return fail(ErrorCode::kCorrupt, "{} has no \"pattern\"", what);
  if (value->is_string()) {
    pattern = value->get<std::string>();
    is_regex = false;
    return {};
  }
  const JsonFields fields(*value, what + ".pattern");
  NIBBLE_TRY(const auto literal, fields.string("String"));
  NIBBLE_TRY(const auto regex, fields.string("Regex"));
  if (!literal && !regex) return fail(ErrorCode::kCorrupt, "{}.pattern has neither \"String\" nor \"Regex\"", what);
  pattern = regex ? *regex : *literal;
  is_regex = regex.has_value();
  return {};
}

Result<bool> flag(const JsonFields& fields, std::string_view key, bool fallback) {
  NIBBLE_TRY(const auto value, fields.boolean(key));
  return value.value_or(fallback);
}

Result<PreTokenizerStep::Behavior> parse_behavior(const JsonFields& fields) {
  using Behavior = PreTokenizerStep::Behavior;
  constexpr std::array<std::pair<std::string_view, Behavior>, 5> kNames = {{
      {"Removed", Behavior::kRemoved},
      {"Isolated", Behavior::kIsolated},
      {"MergedWithPrevious", Behavior::kMergedWithPrevious},
      {"MergedWithNext", Behavior::kMergedWithNext},
      {"Contiguous", Behavior::kContiguous},
  }};
  NIBBLE_TRY(const auto name, fields.string("behavior"));
  for (const auto& [known, behavior] : kNames)
    if (name.value_or("Isolated") == known) return behavior;
  return fail(ErrorCode::kCorrupt,
              "{}: behavior is \"{}\"; known: Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous",
              fields.what(), *name);
}

Status parse_metaspace(const JsonFields& fields, PreTokenizerStep& step) {
  using Prepend = PreTokenizerStep::Prepend;
  NIBBLE_TRY(const auto replacement, fields.string("replacement"));
  NIBBLE_TRY(const auto scheme, fields.string("prepend_scheme"));
  NIBBLE_TRY(const auto add_prefix_space, fields.boolean("add_prefix_space"));
  NIBBLE_TRY(step.split, flag(fields, "split", true));
  if (replacement) step.replacement = *replacement;
  if (step.replacement.empty()) return fail(ErrorCode::kCorrupt, "{}: Metaspace's replacement is empty", fields.what());
  if (scheme) {
    if (*scheme != "always" && *scheme != "first" && *scheme != "never")
      return fail(ErrorCode::kCorrupt, "{}: prepend_scheme is \"{}\"; known: always, first, never", fields.what(),
                  *scheme);
    step.prepend_scheme = *scheme == "always"  ? Prepend::kAlways
                          : *scheme == "first" ? Prepend::kFirst
                                               : Prepend::kNever;
  }
  if (add_prefix_space && !*add_prefix_space) {
    if (scheme && *scheme != "never")
      return fail(ErrorCode::kCorrupt, "{}: add_prefix_space is false but prepend_scheme is \"{}\"", fields.what(),
                  *scheme);
    step.prepend_scheme = Prepend::kNever;
  }
  return {};
}

}  // namespace

Status parse_normalizer(const Json& json, const std::string& what, std::vector<NormalizerStep>& steps) {
  using Kind = NormalizerStep::Kind;
  NIBBLE_TRY(const std::string type, type_of(json, what));
  if (type == "Sequence")
    return for_each_member(json, "normalizers", what,
                           [&](const Json& member) { return parse_normalizer(member, what, steps); });
  NIBBLE_TRY_STATUS(check_count(steps.size(), what));
  constexpr std::array<std::pair<std::string_view, Kind>, 9> kNames = {{
      {"NFC", Kind::kNfc},
      {"NFD", Kind::kNfd},
      {"NFKC", Kind::kNfkc},
      {"NFKD", Kind::kNfkd},
      {"Lowercase", Kind::kLowercase},
      {"StripAccents", Kind::kStripAccents},
      {"Strip", Kind::kStrip},
      {"Replace", Kind::kReplace},
      {"Prepend", Kind::kPrepend},
  }};
  const JsonFields fields(json, what + " " + type);
  for (const auto& [name, kind] : kNames) {
    if (type != name) continue;
    NormalizerStep step;
    step.kind = kind;
    NIBBLE_TRY(step.strip_left, flag(fields, "strip_left", true));
    NIBBLE_TRY(step.strip_right, flag(fields, "strip_right", true));
    if (kind == Kind::kReplace)
      NIBBLE_TRY_STATUS(parse_pattern(json, fields.what(), step.pattern, step.pattern_is_regex));
    NIBBLE_TRY(const auto content, fields.string(kind == Kind::kPrepend ? "prepend" : "content"));
    step.content = content.value_or("");
    steps.push_back(std::move(step));
    return {};
  }
  return fail(
      ErrorCode::kUnsupported,
      "{} \"{}\" is not supported; known: NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Replace, Prepend, "
      "Sequence. Use the model's GGUF, which says the same in another way",
      what, type);
}

Status parse_pre_tokenizer(const Json& json, const std::string& what, std::vector<PreTokenizerStep>& steps) {
  using Kind = PreTokenizerStep::Kind;
  NIBBLE_TRY(const std::string type, type_of(json, what));
  if (type == "Sequence")
    return for_each_member(json, "pretokenizers", what,
                           [&](const Json& member) { return parse_pre_tokenizer(member, what, steps); });
  NIBBLE_TRY_STATUS(check_count(steps.size(), what));
  const JsonFields fields(json, what + " " + type);
  PreTokenizerStep step;
  if (type == "Split") {
    step.kind = Kind::kSplit;
    NIBBLE_TRY_STATUS(parse_pattern(json, fields.what(), step.pattern, step.pattern_is_regex));
    NIBBLE_TRY(step.behavior, parse_behavior(fields));
    NIBBLE_TRY(step.invert, flag(fields, "invert", false));
  } else if (type == "ByteLevel") {
    step.kind = Kind::kByteLevel;
    NIBBLE_TRY(step.add_prefix_space, flag(fields, "add_prefix_space", true));
    NIBBLE_TRY(step.use_regex, flag(fields, "use_regex", true));
  } else if (type == "Metaspace") {
    step.kind = Kind::kMetaspace;
    NIBBLE_TRY_STATUS(parse_metaspace(fields, step));
  } else if (type == "Digits") {
    step.kind = Kind::kDigits;
    NIBBLE_TRY(step.individual_digits, flag(fields, "individual_digits", false));
  } else if (type == "Punctuation") {
    step.kind = Kind::kPunctuation;
    NIBBLE_TRY(step.behavior, parse_behavior(fields));
  } else if (type == "Whitespace") {
    step.kind = Kind::kWhitespace;
  } else if (type == "WhitespaceSplit") {
    step.kind = Kind::kWhitespaceSplit;
  } else {
    return fail(ErrorCode::kUnsupported,
                "{} \"{}\" is not supported; known: Split, ByteLevel, Metaspace, Digits, Punctuation, Whitespace, "
                "WhitespaceSplit, Sequence",
                what, type);
  }
  steps.push_back(std::move(step));
  return {};
}

Status parse_decoder(const Json& json, const std::string& what, std::vector<DecoderStep>& steps) {
  using Kind = DecoderStep::Kind;
  NIBBLE_TRY(const std::string type, type_of(json, what));
  if (type == "Sequence")
    return for_each_member(json, "decoders", what,
                           [&](const Json& member) { return parse_decoder(member, what, steps); });
  NIBBLE_TRY_STATUS(check_count(steps.size(), what));
  const JsonFields fields(json, what + " " + type);
  DecoderStep step;
  if (type == "ByteLevel") {
    step.kind = Kind::kByteLevel;
  } else if (type == "ByteFallback") {
    step.kind = Kind::kByteFallback;
  } else if (type == "Fuse") {
    step.kind = Kind::kFuse;
  } else if (type == "Metaspace") {
    step.kind = Kind::kMetaspace;
    PreTokenizerStep same;
    NIBBLE_TRY_STATUS(parse_metaspace(fields, same));
    step.content = same.replacement;
    step.drop_first = same.prepend_scheme != PreTokenizerStep::Prepend::kNever;
  } else if (type == "Strip") {
    step.kind = Kind::kStrip;
    NIBBLE_TRY(const auto content, fields.string("content"));
    NIBBLE_TRY(const auto start, fields.integer("start"));
    NIBBLE_TRY(const auto stop, fields.integer("stop"));
    step.content = content.value_or(" ");
    step.start = start.value_or(0);
    step.stop = stop.value_or(0);
  } else if (type == "Replace") {
    step.kind = Kind::kReplace;
    NIBBLE_TRY_STATUS(parse_pattern(json, fields.what(), step.pattern, step.pattern_is_regex));
    NIBBLE_TRY(const auto content, fields.string("content"));
    step.content = content.value_or("");
  } else {
    return fail(ErrorCode::kUnsupported,
                "{} \"{}\" is not supported; known: ByteLevel, ByteFallback, Metaspace, Fuse, Strip, Replace, Sequence",
                what, type);
  }
  steps.push_back(std::move(step));
  return {};
}

}  // namespace nibble
