// The short names of schemes: parsing and the one canonical printing of
//   CODE-GROUPING[-sym|-asym][-dq][-scale:T][-keep8:P%|-keep16:P%][-rankN][+ACT]
#include <charconv>
#include <cmath>
#include <vector>

#include "format/ggml_types.h"
#include "tensor/ggml_schemes.h"
#include "tensor/quant_scheme.h"
#include "tensor/supplement.h"

namespace nibble {
namespace {

constexpr std::string_view kKnown =
    "known codes: int1..int8, ternary, binary, nf4, fp4, fp8-e4m3, fp8-e5m2, codebook1..codebook8; groupings: tensor, "
    "channel, gN, blockRxC, flatN; then -sym or -asym, -dq, -scale:f16|bf16|f32, -keep8:P% or -keep16:P%, -rankN; then "
    "+dyn-token, +dyn-gN, +static; or f32, f16, bf16, or a GGUF type such as q4_k. Example: int4-g128-sym";

bool parse_number(std::string_view text, std::int64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out >= 1;
}

bool parse_grouping(std::string_view word, Grouping& out) {
  std::int64_t a = 0;
  std::int64_t b = 0;
  if (word == "tensor") {
    out = Grouping::tensor();
  } else if (word == "channel" || word == "row") {
    out = Grouping::row();
  } else if (word.starts_with("flat") && parse_number(word.substr(4), a)) {
    out = Grouping::flat(a);
  } else if (word.starts_with("block")) {
    const std::size_t x = word.find('x');
    if (x == std::string_view::npos || !parse_number(word.substr(5, x - 5), a) || !parse_number(word.substr(x + 1), b))
      return false;
    out = Grouping::block(a, b);
  } else if (word.starts_with("g") && parse_number(word.substr(1), a)) {
    out = Grouping::columns(a);
  } else {
    return false;
  }
  return true;
}

std::string grouping_name(const Grouping& grouping) {
  switch (grouping.kind) {
    case Grouping::Kind::kTensor:
      return "tensor";
    case Grouping::Kind::kRow:
      return "channel";
    case Grouping::Kind::kColumns:
      return fmt::format("g{}", grouping.size);
    case Grouping::Kind::kBlock:
      return fmt::format("block{}x{}", grouping.rows, grouping.size);
    case Grouping::Kind::kFlat:
      return fmt::format("flat{}", grouping.size);
    case Grouping::Kind::kStrided:
      return fmt::format("strided{}", grouping.size);
    case Grouping::Kind::kIndexed:
      return fmt::format("indexed{}", grouping.size);
  }
  return "?";
}

/// bitsandbytes' double quantization of the scales: 8-bit dynamic codes, one f32 per 256 of them, a constant offset.
NestedFormat double_quantization() {
  return {CodeFormat::indexed(TableKind::kDynamic8, 8), ElementType::kF32, 256, false, true};
}

struct NamedCode {
  std::string_view name;
  CodeFormat code;
};
const std::vector<NamedCode>& named_codes() {
  static const std::vector<NamedCode> codes{
      {"ternary", CodeFormat::integer(2, 1)},
      {"binary", CodeFormat::indexed(TableKind::kBinary, 1)},
      {"nf4", CodeFormat::indexed(TableKind::kNf4, 4)},
      {"fp4", CodeFormat::indexed(TableKind::kFp4, 4)},
      {"fp8-e4m3", CodeFormat::floating(ElementType::kE4m3)},
      {"fp8-e5m2", CodeFormat::floating(ElementType::kE5m2)},
      {"e2m1", CodeFormat::floating(ElementType::kF4)},
      {"iq4", CodeFormat::indexed(TableKind::kIq4, 4)},
  };
  return codes;
}

/// Takes the code at the front of `text`; the rest begins after it.
bool take_code(std::string_view& text, CodeFormat& code) {
  for (const NamedCode& named : named_codes()) {
    if (!text.starts_with(named.name) || (text.size() > named.name.size() && text[named.name.size()] != '-')) continue;
    code = named.code;
    text.remove_prefix(named.name.size());
    return true;
  }
  const std::string_view word = text.substr(0, text.find('-'));
  std::int64_t bits = 0;
  if (word.starts_with("int") && parse_number(word.substr(3), bits) && bits <= 8) {
    code = CodeFormat::integer(static_cast<int>(bits), 1 << (bits - 1));
  } else if (word.starts_with("codebook") && parse_number(word.substr(8), bits) && bits <= 8) {
    code = CodeFormat::indexed(TableKind::kStored, static_cast<int>(bits));
  } else {
    return false;
  }
  text.remove_prefix(word.size());
  return true;
}

std::string code_name(const CodeFormat& code) {
  for (const NamedCode& named : named_codes())
    if (named.code == code) return std::string(named.name);
  if (code.kind == CodeFormat::Kind::kTable && code.table == TableKind::kStored)
    return fmt::format("codebook{}", code.bits);
  if (code.kind == CodeFormat::Kind::kInteger) {
    const std::string name = fmt::format("int{}", code.bits);
    return code.bias == 1 << (code.bits - 1) || code.bias == 0 ? name : fmt::format("{}(-{})", name, code.bias);
  }
  if (code.kind == CodeFormat::Kind::kFloat) return std::string(element_info(code.float_type).name);
  return fmt::format("table{}", static_cast<int>(code.table));
}

Result<ActivationScheme> parse_activations(std::string_view text, const CodeFormat& code) {
  ActivationScheme act;
  act.element = code.kind == CodeFormat::Kind::kFloat ? ElementType::kE4m3 : ElementType::kI8;
  if (text.starts_with("int8-")) {
    act.element = ElementType::kI8;
    text.remove_prefix(5);
  } else if (text.starts_with("fp8-")) {
    act.element = ElementType::kE4m3;
    text.remove_prefix(4);
  } else if (text.starts_with("int4-")) {
    act.element = ElementType::kI8;
    act.bits = 4;
    text.remove_prefix(5);
  }
  if (text == "dyn-token") {
    act.kind = ActivationScheme::Kind::kDynamic;
  } else if (text == "static") {
    act.kind = ActivationScheme::Kind::kStatic;
  } else if (text.starts_with("dyn-g") && parse_number(text.substr(5), act.group)) {
    act.kind = ActivationScheme::Kind::kDynamic;
  } else {
    return fail(ErrorCode::kInvalidArgument, "\"+{}\": unknown activations; known: +dyn-token, +dyn-gN, +static", text);
  }
  return act;
}

std::string activation_name(const ActivationScheme& act, const CodeFormat& code) {
  const ElementType usual = code.kind == CodeFormat::Kind::kFloat ? ElementType::kE4m3 : ElementType::kI8;
  std::string name = "+";
  if (act.element == ElementType::kI8 && act.bits == 4) {
    name += "int4-";
  } else if (act.element != usual) {
    name += act.element == ElementType::kI8 ? "int8-" : act.element == ElementType::kE4m3 ? "fp8-" : "fp4-";
  }
  if (act.kind == ActivationScheme::Kind::kStatic) return name + "static";
  return act.group == 0 ? name + "dyn-token" : name + fmt::format("dyn-g{}", act.group);
}

/// "1%", "0.05%": parts of 10,000.
bool parse_percent(std::string_view text, std::int32_t& parts) {
  double percent = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), percent);
  if (error != std::errc{} || std::string_view(end, text.data() + text.size()) != "%") return false;
  if (!(percent >= 0.01 && percent <= 100.0)) return false;
  parts = static_cast<std::int32_t>(std::lround(percent * 100));
  return true;
}

/// "keep8:1%", "keep16:0.5%", "rank32".
bool parse_supplement(std::string_view word, SupplementFormat& supplement) {
  std::int64_t rank = 0;
  if (word.starts_with("rank") && parse_number(word.substr(4), rank) && rank <= kMaxSupplementRank) {
    supplement.rank = static_cast<std::int32_t>(rank);
    return true;
  }
  const bool bytes = word.starts_with("keep8:");
  if (!bytes && !word.starts_with("keep16:")) return false;
  supplement.kept_element = bytes ? ElementType::kI8 : ElementType::kF16;
  return parse_percent(word.substr(word.find(':') + 1), supplement.kept_parts);
}

std::string supplement_name(const SupplementFormat& supplement) {
  std::string name;
  if (supplement.kept_parts > 0)
    name += fmt::format("-keep{}:{}%", supplement.kept_element == ElementType::kI8 ? 8 : 16,
                        static_cast<double>(supplement.kept_parts) / 100);
  if (supplement.rank > 0) name += fmt::format("-rank{}", supplement.rank);
  return name;
}

Error unknown_scheme(std::string_view text, std::string_view why) {
  return fail(ErrorCode::kInvalidArgument, "\"{}\": {}; {}", text, why, kKnown);
}

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::size_t dash = text.find('-', 1);
    words.push_back(text.substr(0, dash));
    if (dash == std::string_view::npos) break;
    text.remove_prefix(dash + 1);
  }
  return words;
}

/// Fills scheme from the words after the code: groupings, then options.
Status parse_words(std::string_view text, const std::vector<std::string_view>& words, QuantScheme& scheme) {
  const bool codebook = scheme.code.table == TableKind::kStored;
  std::size_t next = 0;
  if (codebook) {
    if (next >= words.size() || !parse_grouping(words[next++], scheme.table.grouping))
      return unknown_scheme(text, "a codebook needs a grouping, as in codebook4-row");
  }
  Grouping grouping;
  const bool has_scale = next < words.size() && parse_grouping(words[next], grouping);
  if (has_scale) ++next;
  if (!has_scale && !codebook) return unknown_scheme(text, "the grouping is missing or unknown");
  if (has_scale) scheme.scale = PlaneFormat{grouping, ElementType::kF16, false, std::nullopt};
  bool asym = false;
  for (; next < words.size(); ++next) {
    const std::string_view word = words[next];
    if (word == "sym") continue;
    if (word == "asym") {
      if (scheme.code.kind != CodeFormat::Kind::kInteger) return unknown_scheme(text, "-asym is for integer codes");
      asym = true;
    } else if (word == "dq" && scheme.scale) {
      scheme.scale->nested = double_quantization();
    } else if (word.starts_with("scale:")) {
      const auto type = element_from_name(word.substr(6));
      if (!type || (!element_info(*type).is_float) || *type == ElementType::kF4)
        return unknown_scheme(text, "unknown scale type");
      if (scheme.scale && !scheme.scale->nested) scheme.scale->element = *type;
      if (codebook) scheme.table.element = *type;
    } else if (parse_supplement(word, scheme.supplement)) {
      continue;
    } else {
      return unknown_scheme(text, fmt::format("\"{}\" is not understood", word));
    }
  }
  if (asym) {
    scheme.code.bias = 0;
    scheme.zero_kind = ZeroKind::kInteger;
    scheme.zero = PlaneFormat{grouping, ElementType::kI16, false, std::nullopt};
  }
  return {};
}

/// The name by the grammar; whether it says everything is checked by parsing it back.
std::string grammar_name(const QuantScheme& scheme) {
  std::string name = code_name(scheme.code);
  const bool codebook = scheme.code.table == TableKind::kStored;
  if (codebook)
    name += "-" + (scheme.table.grouping.kind == Grouping::Kind::kRow ? "row" : grouping_name(scheme.table.grouping));
  if (scheme.scale) name += "-" + grouping_name(scheme.scale->grouping);
  if (scheme.code.kind == CodeFormat::Kind::kInteger && named_codes()[0].code != scheme.code)
    name += scheme.zero_kind == ZeroKind::kInteger ? "-asym" : "-sym";
  ElementType stored = ElementType::kF16;
  if (codebook) stored = scheme.table.element;
  if (scheme.scale && scheme.scale->nested) {
    name += "-dq";
  } else if (scheme.scale) {
    stored = scheme.scale->element;
  }
  if (stored != ElementType::kF16) name += fmt::format("-scale:{}", element_info(stored).name);
  name += supplement_name(scheme.supplement);
  if (scheme.activations.kind != ActivationScheme::Kind::kNone)
    name += activation_name(scheme.activations, scheme.code);
  return name;
}

}  // namespace

Result<QuantScheme> parse_scheme(std::string_view text) {
  for (const ElementType type : {ElementType::kF32, ElementType::kF16, ElementType::kBf16})
    if (text == element_info(type).name) return QuantScheme::of_float(type);
  QuantScheme scheme;
  const std::size_t plus = text.find('+');
  std::string_view rest = text.substr(0, plus);
  const GgmlTypeInfo* type = find_ggml_type(rest);
  if (const auto known = ggml_scheme(type == nullptr ? -1 : type->id); known.ok()) {
    scheme = *known;
  } else {
    if (!take_code(rest, scheme.code)) return unknown_scheme(text, "unknown scheme");
    if (rest.starts_with('-')) rest.remove_prefix(1);
    NIBBLE_TRY_STATUS(parse_words(text, split_words(rest), scheme));
  }
  if (plus != std::string_view::npos) {
    NIBBLE_TRY(scheme.activations, parse_activations(text.substr(plus + 1), scheme.code));
  }
  NIBBLE_TRY_STATUS(scheme.validate());
  return scheme;
}

std::string to_string(const QuantScheme& scheme) {
  if (scheme.is_float() && !scheme.scale && !scheme.offset)
    return std::string(element_info(scheme.code.float_type).name);
  std::string name = grammar_name(scheme);
  const Result<QuantScheme> back = parse_scheme(name);
  const bool said = back.ok() && *back == scheme;
  // int4-g32-sym is what q4_0 is to everyone else; a type that only ggml has goes by ggml's name.
  const bool ours = scheme.code.kind == CodeFormat::Kind::kInteger || scheme.code.table == TableKind::kBinary;
  if (said && ours) return name;
  QuantScheme weights = scheme;
  weights.activations = {};
  if (const auto type = ggml_type_of(weights)) {
    const std::string_view known = find_ggml_type(*type)->name;
    const bool active = scheme.activations.kind != ActivationScheme::Kind::kNone;
    return std::string(known) + (active ? activation_name(scheme.activations, scheme.code) : "");
  }
  if (said) return name;
  if (scheme.zero_kind == ZeroKind::kReal) name += ",real-zero";
  if (scheme.offset) name += ",offset-" + grouping_name(scheme.offset->grouping);
  return name;
}

}  // namespace nibble
