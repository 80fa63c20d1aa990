// A schema without alternatives and references: values of enum, or one grammar per type.
#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "text/grammar/json_schema.h"
#include "text/grammar/schema_keywords.h"
#include "text/grammar/string_pattern.h"

namespace nibble {
namespace {

using Expression = JsonGrammar::Expression;

constexpr std::string_view kTypes[] = {"object", "array", "string", "integer", "number", "boolean", "null"};

struct TypedKeyword {
  std::string_view keyword;
  std::string_view type;
};

/// Which type a keyword is about; without "type", a schema is about these types.
constexpr TypedKeyword kTypedKeywords[] = {
    {"properties", "object"}, {"required", "object"},         {"additionalProperties", "object"},
    {"items", "array"},       {"prefixItems", "array"},       {"minItems", "array"},
    {"maxItems", "array"},    {"minLength", "string"},        {"maxLength", "string"},
    {"pattern", "string"},    {"format", "string"},           {"minimum", "number"},
    {"maximum", "number"},    {"exclusiveMinimum", "number"}, {"exclusiveMaximum", "number"},
};

bool is_of_type(const Json& value, std::string_view type) {
  if (type == "integer")
    return value.is_number_integer() ||
           (value.is_number_float() && std::floor(value.get<double>()) == value.get<double>());
  if (type == "number") return value.is_number();
  return value.type_name() == type;
}

/// Names of properties that others are told apart from; each character is a level of the grammar.
constexpr std::size_t kMaxKeyBytes = 128;

/// 18 digits, as many as any_integer() writes.
constexpr std::int64_t kUsualInteger = 999'999'999'999'999'999;

}  // namespace

Result<std::vector<std::string>> SchemaCompiler::types_of(const Json& schema, const Place& place) const {
  std::vector<std::string> types;
  const auto add = [&](std::string type) {
    if (std::find(types.begin(), types.end(), type) == types.end()) types.push_back(std::move(type));
  };
  const auto given = schema.find("type");
  if (given != schema.end()) {
    const Json list = given->is_array() ? *given : Json::array({*given});
    for (const Json& type : list) {
      const bool is_known = type.is_string() && std::find(std::begin(kTypes), std::end(kTypes),
                                                          type.get<std::string>()) != std::end(kTypes);
      if (!is_known)
        return wrong(place.at("type"),
                     fmt::format("{}: unknown type; known: {}", printable(type.dump()), fmt::join(kTypes, ", ")));
      add(type.get<std::string>());
    }
    const auto nullable = schema.find("nullable");
    if (nullable != schema.end() && *nullable == true) add("null");
  } else {
    for (const TypedKeyword& row : kTypedKeywords)
      if (schema.contains(std::string(row.keyword))) add(std::string(row.type));
  }
  // Every integer is a number.
  if (std::find(types.begin(), types.end(), "number") != types.end())
    types.erase(std::remove(types.begin(), types.end(), "integer"), types.end());
  return types;
}

Result<Expression> SchemaCompiler::compile_plain(const Json& schema, const Place& place) {
  const auto nullable = schema.find("nullable");
  if (nullable != schema.end() && !nullable->is_boolean()) return wrong(place.at("nullable"), "expected true or false");
  if (schema.contains("enum") || schema.contains("const")) return compile_enum(schema, place);
  NIBBLE_TRY(const std::vector<std::string> types, types_of(schema, place));
  if (types.empty()) return schema.contains("type") ? builder_.nothing() : json_.any_value();
  std::vector<Expression> choices;
  for (const std::string& type : types) {
    NIBBLE_TRY(const Expression part, compile_type(type, schema, place));
    choices.push_back(part);
  }
  return builder_.choice(std::move(choices));
}

Result<Expression> SchemaCompiler::compile_type(const std::string& type, const Json& schema, const Place& place) {
  if (type == "object") return compile_object(schema, place);
  if (type == "array") return compile_array(schema, place);
  if (type == "string") return compile_string(schema, place);
  if (type == "integer") return compile_integer(schema, place);
  if (type == "number") return compile_number(schema, place);
  if (type == "boolean") return builder_.choice({json_.literal("true"), json_.literal("false")});
  return json_.literal("null");
}

Result<Expression> SchemaCompiler::compile_enum(const Json& schema, const Place& place) {
  for (const auto& [keyword, value] : schema.items()) {
    const bool constrains = schema_keyword(keyword) == SchemaKeyword::kConstrains;
    if (constrains && keyword != "enum" && keyword != "const" && keyword != "type" && keyword != "nullable")
      return unsupported(place, fmt::format("keyword \"{}\" is not supported beside enum and const", keyword));
  }
  Json values = Json::array();
  const auto listed = schema.find("enum");
  const auto constant = schema.find("const");
  if (listed != schema.end()) {
    if (!listed->is_array()) return wrong(place.at("enum"), "expected a list of values");
    values = *listed;
  }
  if (constant != schema.end()) {
    const bool both = listed == schema.end() || std::find(values.begin(), values.end(), *constant) != values.end();
    values = both ? Json::array({*constant}) : Json::array();
  }
  NIBBLE_TRY(const std::vector<std::string> types, types_of(schema, place));
  std::vector<Expression> choices;
  for (const Json& value : values) {
    const bool typed =
        !schema.contains("type") ||
        std::any_of(types.begin(), types.end(), [&](const std::string& type) { return is_of_type(value, type); });
    if (typed) choices.push_back(json_.literal(value.dump()));
  }
  return builder_.choice(std::move(choices));
}

Result<Expression> SchemaCompiler::compile_string(const Json& schema, const Place& place) {
  NIBBLE_TRY(const auto min, count(schema, "minLength", place));
  NIBBLE_TRY(const auto max, count(schema, "maxLength", place));
  const auto pattern = schema.find("pattern");
  const auto format = schema.find("format");
  const int kinds = (pattern != schema.end()) + (format != schema.end()) + (min || max);
  if (kinds > 1) return unsupported(place, "only one of pattern, format, and minLength with maxLength is supported");
  if (pattern == schema.end() && format == schema.end()) return json_.string(min.value_or(0), max);
  const bool by_pattern = pattern != schema.end();
  const Json& value = by_pattern ? *pattern : *format;
  const Place at = place.at(by_pattern ? "pattern" : "format");
  if (!value.is_string()) return wrong(at, "expected a string");
  const auto text = value.get<std::string>();
  const auto inside = by_pattern ? pattern_expression(json_, text) : format_expression(json_, text);
  if (!inside.ok()) return with_context(inside.error(), fmt::format("{}: {}", what_, printable(at.path)));
  return builder_.as_rule(at.path, builder_.sequence({json_.literal("\""), *inside, json_.literal("\"")}));
}

Result<Expression> SchemaCompiler::compile_integer(const Json& schema, const Place& place) {
  std::optional<std::int64_t> min;
  std::optional<std::int64_t> max;
  bool none = false;
  for (const std::string keyword : {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}) {
    NIBBLE_TRY(const std::optional<double> value, bound(schema, keyword, place));
    if (!value) continue;
    const bool is_min = keyword == "minimum" || keyword == "exclusiveMinimum";
    const bool is_exclusive = keyword[0] == 'e';
    const Json& exact = schema.at(keyword);
    std::int64_t limit = 0;
    bool on_limit = true;  // whether the bound itself is an integer
    if (exact.is_number_integer() && !(exact.is_number_unsigned() && exact.get<std::uint64_t>() > INT64_MAX)) {
      limit = exact.get<std::int64_t>();
    } else {
      const double rounded = is_min ? std::ceil(*value) : std::floor(*value);
      on_limit = rounded == *value;
      if (rounded >= 9.2e18 || rounded <= -9.2e18) {  // beyond what we write: no bound, or nothing
        none = none || (is_min ? rounded > 0 : rounded < 0);
        continue;
      }
      limit = static_cast<std::int64_t>(rounded);
    }
    if (is_exclusive && on_limit) {
      if (limit == (is_min ? INT64_MAX : INT64_MIN)) return builder_.nothing();
      limit += is_min ? 1 : -1;
    }
    if (is_min) min = min ? std::max(*min, limit) : limit;
    if (!is_min) max = max ? std::min(*max, limit) : limit;
  }
  if (none) return builder_.nothing();
  if (!min && !max) return json_.any_integer();
  if (!min) min = *max < -kUsualInteger ? INT64_MIN : -kUsualInteger;
  if (!max) max = *min > kUsualInteger ? INT64_MAX : kUsualInteger;
  return json_.integer(*min, *max);
}

Result<Expression> SchemaCompiler::compile_number(const Json& schema, const Place& place) {
  NIBBLE_TRY(std::optional<double> min, bound(schema, "minimum", place));
  NIBBLE_TRY(std::optional<double> max, bound(schema, "maximum", place));
  NIBBLE_TRY(const std::optional<double> above, bound(schema, "exclusiveMinimum", place));
  NIBBLE_TRY(const std::optional<double> below, bound(schema, "exclusiveMaximum", place));
  const bool is_above = above && (!min || *above >= *min);
  const bool is_below = below && (!max || *below <= *max);
  if (is_above) min = above;
  if (is_below) max = below;
  if (!min && !max) return json_.any_number();
  const auto out = json_.number(min, max, is_above, is_below);
  if (!out) return unsupported(place, "bounds of numbers are supported up to 15 digits before and 10 behind the point");
  return *out;
}

Result<Expression> SchemaCompiler::compile_array(const Json& schema, const Place& place) {
  NIBBLE_TRY(const auto min, count(schema, "minItems", place));
  NIBBLE_TRY(const auto max, count(schema, "maxItems", place));
  std::vector<Expression> first;
  const auto listed = schema.find("prefixItems");
  if (listed != schema.end()) {
    if (!listed->is_array()) return wrong(place.at("prefixItems"), "expected a list of schemas");
    for (std::size_t i = 0; i < listed->size(); ++i) {
      NIBBLE_TRY(const Expression item, compile((*listed)[i], place.at("prefixItems", i)));
      first.push_back(item);
    }
  }
  std::optional<Expression> rest;
  const auto items = schema.find("items");
  if (items != schema.end()) {
    if (items->is_array())
      return unsupported(place.at("items"), "a list of schemas is not supported; write it as prefixItems");
    if (*items != false) {
      NIBBLE_TRY(rest, compile(*items, place.at("items")));
    }
  } else if (first.size() < min.value_or(0) || listed == schema.end()) {
    rest = json_.any_value();
  }
  return builder_.as_rule(place.path, json_.array(std::move(first), rest, min.value_or(0), max));
}

Result<Expression> SchemaCompiler::compile_object(const Json& schema, const Place& place) {
  const Json no_properties = Json::object();
  const auto listed = schema.find("properties");
  const Json& properties = listed == schema.end() ? no_properties : *listed;
  if (!properties.is_object()) return wrong(place.at("properties"), "expected an object of schemas");
  std::vector<std::string> required;
  const auto required_list = schema.find("required");
  if (required_list != schema.end()) {
    if (!required_list->is_array()) return wrong(place.at("required"), "expected a list of names");
    for (const Json& name : *required_list) {
      if (!name.is_string()) return wrong(place.at("required"), "expected a list of names");
      required.push_back(name.get<std::string>());
    }
  }
  const auto additional = schema.find("additionalProperties");
  const bool any_others = additional != schema.end() ? *additional != false : properties.empty();
  const auto is_required = [&](const std::string& name) {
    return std::find(required.begin(), required.end(), name) != required.end();
  };
  if (properties.size() + required.size() > 2 * limits_.max_properties || properties.size() > limits_.max_properties)
    return unsupported(place, fmt::format("more than {} properties", limits_.max_properties));

  std::vector<GrammarBuilder::Item> items;
  std::vector<std::string_view> names;
  const auto add = [&](const std::string& name, Expression value, bool must) {
    items.push_back({builder_.sequence({json_.literal("\""), json_.string_content(name), json_.literal("\":"),
                                        json_.white_space(), value}),
                     must, false});
  };
  for (const auto& [name, value] : properties.items()) {
    NIBBLE_TRY(const Expression expression, compile(value, place.at("properties").at(name)));
    add(name, expression, is_required(name));
    names.push_back(name);
  }
  std::optional<Expression> other;
  if (any_others) {
    const bool any = additional == schema.end();
    NIBBLE_TRY(other,
               any ? Result<Expression>(json_.any_value()) : compile(*additional, place.at("additionalProperties")));
  }
  // Required but not listed: such a property is one of the others.
  for (const std::string& name : required) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    if (additional != schema.end() && !other)
      return wrong(place.at("required"), fmt::format("\"{}\" is required, but additionalProperties is false and "
                                                     "properties has none of this name",
                                                     printable(name)));
    add(name, other ? *other : json_.any_value(), true);
    names.push_back(name);
  }
  if (other) {
    for (const std::string_view name : names)
      if (name.size() > kMaxKeyBytes)
        return unsupported(place, fmt::format("names of more than {} bytes beside other properties", kMaxKeyBytes));
    items.push_back(
        {builder_.sequence({json_.key_besides(names), json_.literal(":"), json_.white_space(), *other}), false, true});
  }
  const Expression separator = builder_.sequence({json_.literal(","), json_.white_space()});
  return builder_.as_rule(
      place.path, builder_.sequence({json_.literal("{"), json_.white_space(),
                                     builder_.separated(items, separator, json_.white_space()), json_.literal("}")}));
}

}  // namespace nibble
