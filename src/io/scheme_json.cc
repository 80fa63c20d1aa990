// Schemes to JSON and back, with every value of an untrusted scheme checked.
#include "io/scheme_json.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "tensor/quantized_matrix.h"

namespace nibble {
namespace {

constexpr std::int64_t kMaxGroup = std::int64_t{1} << 31;
constexpr std::int64_t kMaxFlatGroup = std::int64_t{1} << 40;

struct TableName {
  std::string_view name;
  TableKind kind;
};
constexpr TableName kTables[] = {
    {"nf4", TableKind::kNf4},       {"fp4", TableKind::kFp4},           {"iq4", TableKind::kIq4},
    {"binary", TableKind::kBinary}, {"iq1", TableKind::kIq1},           {"iq2", TableKind::kIq2},
    {"iq2_s", TableKind::kIq2S},    {"ternary", TableKind::kTernary},   {"iq3_xxs", TableKind::kIq3Xxs},
    {"iq3_s", TableKind::kIq3S},    {"dynamic8", TableKind::kDynamic8}, {"half_step", TableKind::kHalfStep},
    {"odd", TableKind::kOdd},       {"stored", TableKind::kStored},
};

std::string_view type_name(ElementType type) { return element_info(type).name; }

Result<ElementType> parse_type(const JsonFields& fields, std::string_view key) {
  NIBBLE_TRY(const auto name, fields.string(key));
  if (!name) return fail(ErrorCode::kCorrupt, "{}: \"{}\" is missing", fields.what(), key);
  const auto type = element_from_name(*name);
  if (!type) return fail(ErrorCode::kCorrupt, "{}: \"{}\": unknown type \"{}\"", fields.what(), key, *name);
  return *type;
}

Result<const Json*> need_child(const JsonFields& fields, std::string_view key) {
  const Json* child = fields.child(key);
  if (child == nullptr) return fail(ErrorCode::kCorrupt, "{}: \"{}\" is missing", fields.what(), key);
  return child;
}

// ---- groupings: "tensor", "channel", "g128", "block128x128", "flat64", "strided64", "indexed32" ----

std::string grouping_text(const Grouping& grouping) {
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
  return "";
}

bool parse_size(std::string_view text, std::int64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out >= 1;
}

Result<Grouping> parse_grouping(const JsonFields& fields) {
  NIBBLE_TRY(const auto given, fields.string("grouping"));
  const std::string_view text = given ? std::string_view(*given) : std::string_view();
  if (text == "tensor") return Grouping::tensor();
  if (text == "channel") return Grouping::row();
  const Grouping kinds[] = {
      Grouping::columns(1), Grouping::flat(1), {Grouping::Kind::kStrided, 1, 1}, Grouping::indexed(1)};
  const std::string_view names[] = {"g", "flat", "strided", "indexed"};
  for (std::size_t i = 0; i < std::size(kinds); ++i) {
    Grouping grouping = kinds[i];
    if (text.starts_with(names[i]) && parse_size(text.substr(names[i].size()), grouping.size)) return grouping;
  }
  const std::size_t x = text.find('x');
  Grouping block = Grouping::block(1, 1);
  if (text.starts_with("block") && x != std::string_view::npos && parse_size(text.substr(5, x - 5), block.rows) &&
      parse_size(text.substr(x + 1), block.size))
    return block;
  return fail(ErrorCode::kCorrupt,
              "{}: the grouping \"{}\" is not known; known: tensor, channel, gN, blockRxC, flatN, stridedN, indexedN",
              fields.what(), text);
}

// ---- codes ----

Json code_json(const CodeFormat& code) {
  switch (code.kind) {
    case CodeFormat::Kind::kInteger:
      return {{"kind", "integer"}, {"bits", code.bits}, {"bias", code.bias}};
    case CodeFormat::Kind::kFloat:
      return {{"kind", "float"}, {"type", type_name(code.float_type)}};
    case CodeFormat::Kind::kTable:
      break;
  }
  const auto table =
      std::find_if(std::begin(kTables), std::end(kTables), [&](const TableName& t) { return t.kind == code.table; });
  return {{"kind", "table"}, {"bits", code.bits}, {"table", table == std::end(kTables) ? "" : table->name}};
}

Result<CodeFormat> parse_code(const Json& json, const std::string& what) {
  const JsonFields fields(json, what);
  NIBBLE_TRY(const auto kind, fields.string("kind"));
  if (kind == "float") {
    NIBBLE_TRY(const ElementType type, parse_type(fields, "type"));
    return CodeFormat::floating(type);
  }
  NIBBLE_TRY(const auto bits, fields.integer("bits"));
  if (!bits || *bits < 1 || *bits > 8) return fail(ErrorCode::kCorrupt, "{}: \"bits\" must be 1 to 8", what);
  if (kind == "integer") {
    NIBBLE_TRY(const auto bias, fields.integer("bias"));
    if (bias && (*bias < -65536 || *bias > 65536)) return fail(ErrorCode::kCorrupt, "{}: \"bias\" is {}", what, *bias);
    return CodeFormat::integer(static_cast<int>(*bits), static_cast<int>(bias.value_or(0)));
  }
  if (kind != "table") return fail(ErrorCode::kCorrupt, "{}: \"kind\" must be integer, float or table", what);
  NIBBLE_TRY(const auto name, fields.string("table"));
  for (const TableName& table : kTables)
    if (name == table.name) return CodeFormat::indexed(table.kind, static_cast<int>(*bits));
  return fail(ErrorCode::kCorrupt, "{}: the table \"{}\" is not known", what, name.value_or(""));
}

// ---- planes ----

Json plane_json(const PlaneFormat& plane) {
  Json json = {{"grouping", grouping_text(plane.grouping)}};
  if (!plane.nested) {
    json["type"] = type_name(plane.element);
  } else {
    const NestedFormat& nested = *plane.nested;
    json["nested"] = {{"code", code_json(nested.code)},
                      {"outer", type_name(nested.outer)},
                      {"entries_per_outer", nested.entries_per_outer},
                      {"divides", nested.outer_divides},
                      {"constant", nested.has_constant}};
  }
  if (plane.divides) json["divides"] = true;
  return json;
}

Result<PlaneFormat> parse_plane(const Json& json, const std::string& what) {
  const JsonFields fields(json, what);
  PlaneFormat plane;
  NIBBLE_TRY(plane.grouping, parse_grouping(fields));
  NIBBLE_TRY(const auto divides, fields.boolean("divides"));
  plane.divides = divides.value_or(false);
  const Json* nested_json = fields.child("nested");
  if (nested_json == nullptr) {
    NIBBLE_TRY(plane.element, parse_type(fields, "type"));
    return plane;
  }
  const JsonFields inner(*nested_json, what + ".nested");
  NestedFormat nested;
  NIBBLE_TRY(const Json* code, need_child(inner, "code"));
  NIBBLE_TRY(nested.code, parse_code(*code, inner.what() + ".code"));
  NIBBLE_TRY(nested.outer, parse_type(inner, "outer"));
  NIBBLE_TRY(const auto per_outer, inner.integer("entries_per_outer"));
  nested.entries_per_outer = per_outer.value_or(0);
  NIBBLE_TRY(const auto outer_divides, inner.boolean("divides"));
  nested.outer_divides = outer_divides.value_or(false);
  NIBBLE_TRY(const auto constant, inner.boolean("constant"));
  nested.has_constant = constant.value_or(false);
  plane.nested = nested;
  return plane;
}

// ---- activations ----

Json activations_json(const ActivationScheme& act) {
  Json json = {{"kind", act.kind == ActivationScheme::Kind::kStatic ? "static" : "dynamic"},
               {"type", type_name(act.element)},
               {"bits", act.bits},
               {"symmetric", act.symmetric},
               {"group", act.group}};
  if (act.outlier_threshold != 0) json["outlier_threshold"] = act.outlier_threshold;
  return json;
}

Result<ActivationScheme> parse_activations(const Json& json, const std::string& what) {
  const JsonFields fields(json, what);
  ActivationScheme act;
  NIBBLE_TRY(const auto kind, fields.string("kind"));
  if (kind != "static" && kind != "dynamic")
    return fail(ErrorCode::kCorrupt, "{}: \"kind\" must be static or dynamic", what);
  act.kind = kind == "static" ? ActivationScheme::Kind::kStatic : ActivationScheme::Kind::kDynamic;
  NIBBLE_TRY(act.element, parse_type(fields, "type"));
  NIBBLE_TRY(const auto bits, fields.integer("bits"));
  if (bits && *bits != 4 && *bits != 8) return fail(ErrorCode::kCorrupt, "{}: \"bits\" must be 4 or 8", what);
  act.bits = static_cast<int>(bits.value_or(8));
  NIBBLE_TRY(const auto symmetric, fields.boolean("symmetric"));
  act.symmetric = symmetric.value_or(true);
  NIBBLE_TRY(const auto group, fields.integer("group"));
  if (group && (*group < 0 || *group > kMaxGroup))
    return fail(ErrorCode::kCorrupt, "{}: \"group\" is {}", what, *group);
  act.group = group.value_or(0);
  NIBBLE_TRY(const auto threshold, fields.number("outlier_threshold"));
  act.outlier_threshold = static_cast<float>(threshold.value_or(0));
  return act;
}

// ---- supplement ----

Json supplement_json(const SupplementFormat& supplement) {
  Json json = Json::object();
  if (supplement.kept_parts > 0)
    json["kept"] = {{"of_10000", supplement.kept_parts}, {"type", type_name(supplement.kept_element)}};
  if (supplement.rank > 0) json["rank"] = supplement.rank;
  return json;
}

/// Numbers out of range are left to validate().
std::int32_t narrowed(const std::optional<std::int64_t>& number) {
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(number.value_or(0), -1, INT32_MAX));
}

Result<SupplementFormat> parse_supplement(const Json& json, const std::string& what) {
  const JsonFields fields(json, what);
  SupplementFormat supplement;
  NIBBLE_TRY(const auto rank, fields.integer("rank"));
  supplement.rank = narrowed(rank);
  if (const Json* kept = fields.child("kept")) {
    const JsonFields inner(*kept, what + ".kept");
    NIBBLE_TRY(const auto parts, inner.integer("of_10000"));
    supplement.kept_parts = narrowed(parts);
    NIBBLE_TRY(supplement.kept_element, parse_type(inner, "type"));
  }
  if (supplement.empty()) return fail(ErrorCode::kCorrupt, "{}: nothing is kept, and there is no rank", what);
  return supplement;
}

// ---- checks ----

Status check_grouping(std::string_view plane, const Grouping& grouping) {
  const bool flat = grouping.kind == Grouping::Kind::kFlat || grouping.kind == Grouping::Kind::kStrided;
  if (grouping.size > (flat ? kMaxFlatGroup : kMaxGroup) || grouping.rows > kMaxGroup)
    return fail(ErrorCode::kInvalidArgument, "the {} has groups of {}, which is not possible", plane, grouping.size);
  return {};
}

Status check_code(std::string_view plane, const CodeFormat& code, bool nested) {
  if (code.kind == CodeFormat::Kind::kFloat) {
    using E = ElementType;
    const bool byte = code.float_type == E::kE4m3 || code.float_type == E::kE5m2 || code.float_type == E::kF4;
    const bool wide = code.float_type == E::kF16 || code.float_type == E::kBf16 || code.float_type == E::kF32;
    if (!byte && (nested || !wide))
      return fail(ErrorCode::kInvalidArgument, "the {} cannot have codes of type {}", plane,
                  type_name(code.float_type));
  }
  if (code.kind == CodeFormat::Kind::kTable && code.table != TableKind::kStored) {
    const std::size_t size = table_values(code.table).size();
    if (code.bits != std::bit_width(size - 1))
      return fail(ErrorCode::kInvalidArgument, "the {} has codes of {} bits for a table of {}", plane, code.bits, size);
  }
  return {};
}

bool is_real(ElementType type) {
  using E = ElementType;
  return type == E::kF16 || type == E::kBf16 || type == E::kF32 || type == E::kE4m3 || type == E::kE5m2 ||
         type == E::kE8m0;
}

Status check_plane(std::string_view name, const PlaneFormat& plane) {
  NIBBLE_TRY_STATUS(check_grouping(name, plane.grouping));
  const ElementType stored = plane.nested ? plane.nested->outer : plane.element;
  if (!is_real(stored))
    return fail(ErrorCode::kInvalidArgument, "the {} cannot be of type {}", name, type_name(stored));
  if (!plane.nested) return {};
  if (plane.nested->entries_per_outer > kMaxFlatGroup)
    return fail(ErrorCode::kInvalidArgument, "the {} has outer groups of {}", name, plane.nested->entries_per_outer);
  return check_code(name, plane.nested->code, true);
}

}  // namespace

Json scheme_to_json(const QuantScheme& scheme) {
  Json json = {{"code", code_json(scheme.code)}};
  if (scheme.code.table == TableKind::kStored) {
    json["table"] = {{"grouping", grouping_text(scheme.table.grouping)}, {"type", type_name(scheme.table.element)}};
    if (scheme.table.bank_size > 0) json["table"]["bank_size"] = scheme.table.bank_size;
  }
  if (scheme.scale) json["scale"] = plane_json(*scheme.scale);
  if (scheme.zero_kind != ZeroKind::kNone) {
    json["zero"] = plane_json(scheme.zero);
    json["zero"]["kind"] = scheme.zero_kind == ZeroKind::kInteger ? "integer" : "real";
  }
  if (scheme.offset) json["offset"] = plane_json(*scheme.offset);
  if (scheme.post_scale != 1.0f) json["post_scale"] = scheme.post_scale;
  if (scheme.activations.kind != ActivationScheme::Kind::kNone)
    json["activations"] = activations_json(scheme.activations);
  if (!scheme.supplement.empty()) json["supplement"] = supplement_json(scheme.supplement);
  return json;
}

Result<QuantScheme> scheme_from_json(const Json& json, const std::string& what) {
  const JsonFields fields(json, what);
  QuantScheme scheme;
  NIBBLE_TRY(const Json* code, need_child(fields, "code"));
  NIBBLE_TRY(scheme.code, parse_code(*code, what + ".code"));
  if (const Json* table = fields.child("table")) {
    const JsonFields inner(*table, what + ".table");
    NIBBLE_TRY(scheme.table.grouping, parse_grouping(inner));
    NIBBLE_TRY(scheme.table.element, parse_type(inner, "type"));
    NIBBLE_TRY(const auto bank, inner.integer("bank_size"));
    if (bank && (*bank < 1 || *bank > 256))
      return fail(ErrorCode::kCorrupt, "{}.table: \"bank_size\" is {}", what, *bank);
    scheme.table.bank_size = static_cast<std::int32_t>(bank.value_or(0));
  }
  if (const Json* scale = fields.child("scale")) {
    NIBBLE_TRY(scheme.scale, parse_plane(*scale, what + ".scale"));
  }
  if (const Json* zero = fields.child("zero")) {
    NIBBLE_TRY(scheme.zero, parse_plane(*zero, what + ".zero"));
    NIBBLE_TRY(const auto kind, JsonFields(*zero, what + ".zero").string("kind"));
    if (kind != "integer" && kind != "real")
      return fail(ErrorCode::kCorrupt, "{}.zero: \"kind\" must be integer or real", what);
    scheme.zero_kind = kind == "integer" ? ZeroKind::kInteger : ZeroKind::kReal;
  }
  if (const Json* offset = fields.child("offset")) {
    NIBBLE_TRY(scheme.offset, parse_plane(*offset, what + ".offset"));
  }
  NIBBLE_TRY(const auto post_scale, fields.number("post_scale"));
  scheme.post_scale = static_cast<float>(post_scale.value_or(1.0));
  if (const Json* activations = fields.child("activations")) {
    NIBBLE_TRY(scheme.activations, parse_activations(*activations, what + ".activations"));
  }
  if (const Json* supplement = fields.child("supplement")) {
    NIBBLE_TRY(scheme.supplement, parse_supplement(*supplement, what + ".supplement"));
  }
  if (Status storable = check_storable(scheme); !storable.ok()) return with_context(storable.error(), what);
  return scheme;
}

Status check_storable(const QuantScheme& scheme) {
  NIBBLE_TRY_STATUS(scheme.validate());
  NIBBLE_TRY_STATUS(check_code("matrix", scheme.code, false));
  if (scheme.code.table == TableKind::kStored) {
    using Kind = Grouping::Kind;
    const Grouping& grouping = scheme.table.grouping;
    if (grouping.kind != Kind::kTensor && grouping.kind != Kind::kRow && grouping.kind != Kind::kColumns)
      return fail(ErrorCode::kInvalidArgument, "a table per tensor, row or run of columns is possible, no other");
    NIBBLE_TRY_STATUS(check_grouping("table", grouping));
    if (!is_real(scheme.table.element))
      return fail(ErrorCode::kInvalidArgument, "a table cannot be of type {}", type_name(scheme.table.element));
    if (scheme.table.bank_size < 0 || scheme.table.bank_size > 256)
      return fail(ErrorCode::kInvalidArgument, "a bank of {} tables; 1 to 256 are possible", scheme.table.bank_size);
  }
  if (scheme.scale) NIBBLE_TRY_STATUS(check_plane("scale", *scheme.scale));
  if (scheme.offset) NIBBLE_TRY_STATUS(check_plane("offset", *scheme.offset));
  if (scheme.zero_kind == ZeroKind::kReal) NIBBLE_TRY_STATUS(check_plane("zero", scheme.zero));
  if (scheme.zero_kind == ZeroKind::kInteger) {
    NIBBLE_TRY_STATUS(check_grouping("zero", scheme.zero.grouping));
    if (scheme.zero.nested || scheme.zero.element != ElementType::kI16)
      return fail(ErrorCode::kInvalidArgument, "integer zero points are of type i16");
  }
  return {};
}

}  // namespace nibble
