// Schemas that hold at once: allOf, and references or alternatives beside other keywords. They are multiplied out into
// plain schemas, of which one must hold; what two plain schemas say about a property or an item is left to an allOf
// below, so that recursion ends where schemas repeat.
#include <algorithm>

#include "text/grammar/json_schema.h"
#include "text/grammar/schema_keywords.h"

namespace nibble {
namespace {

void add_part(Json& parts, const Json& schema) {
  const bool is_list = schema.is_object() && schema.size() == 1 && schema.contains("allOf");
  if (is_list) {
    for (const Json& part : schema.at("allOf")) add_part(parts, part);
  } else if (schema != true && std::find(parts.begin(), parts.end(), schema) == parts.end()) {
    parts.push_back(schema);
  }
}

/// Both.
Json conjunction(const Json& left, const Json& right) {
  if (left == false || right == false) return false;
  Json parts = Json::array();
  add_part(parts, left);
  add_part(parts, right);
  if (parts.empty()) return true;
  if (parts.size() == 1) return parts[0];
  return Json{{"allOf", std::move(parts)}};
}

Json as_list(const Json& value) { return value.is_array() ? value : Json::array({value}); }

bool contains(const Json& list, const Json& value) { return std::find(list.begin(), list.end(), value) != list.end(); }

/// The types in both lists; an integer is a number.
Json common_types(const Json& left, const Json& right) {
  Json out = Json::array();
  const auto add_from = [&](const Json& list, const Json& other) {
    for (const Json& type : list)
      if ((contains(other, type) || (type == "integer" && contains(other, "number"))) && !contains(out, type))
        out.push_back(type);
  };
  add_from(left, right);
  add_from(right, left);
  return out;
}

}  // namespace

Result<std::vector<Json>> SchemaCompiler::alternatives(const Json& schema, const Place& place) {
  if (++schemas_ > limits_.max_schemas)
    return unsupported(place, fmt::format("more than {} schemas", limits_.max_schemas));
  if (place.depth > 2 * limits_.max_depth)
    return unsupported(
        place, fmt::format("schemas nested deeper than {} levels, or a circle of references", limits_.max_depth));
  if (schema.is_boolean()) return schema.get<bool>() ? std::vector<Json>{Json::object()} : std::vector<Json>{};
  NIBBLE_TRY_STATUS(check_keywords(schema, place));
  Json own = Json::object();
  for (const auto& [keyword, value] : schema.items())
    if (schema_keyword(keyword) == SchemaKeyword::kConstrains) own[keyword] = value;
  if (own.contains("type") && own.contains("nullable")) {
    if (own["nullable"] == true) {
      own["type"] = as_list(own["type"]);
      own["type"].push_back("null");
    }
  }
  own.erase("nullable");
  if (own.contains("const")) {
    const Json only = Json::array({own["const"]});
    if (own.contains("enum") && !contains(as_list(own["enum"]), own["const"])) return std::vector<Json>{};
    own["enum"] = only;
    own.erase("const");
  }
  std::vector<Json> out = {std::move(own)};
  for (const auto& [keyword, value] : schema.items()) {
    if (keyword == "$ref") {
      NIBBLE_TRY(const Json* const target, resolve(value, place));
      NIBBLE_TRY(const std::vector<Json> part, alternatives(*target, place.at(keyword)));
      NIBBLE_TRY_STATUS(multiply(out, part, place));
    } else if (keyword == "allOf") {
      for (std::size_t i = 0; i < value.size(); ++i) {
        NIBBLE_TRY(const std::vector<Json> part, alternatives(value[i], place.at(keyword, i)));
        NIBBLE_TRY_STATUS(multiply(out, part, place));
      }
    } else if (keyword == "anyOf" || keyword == "oneOf") {
      NIBBLE_TRY(const std::vector<Json> part, alternatives_of_list(value, place.at(keyword)));
      NIBBLE_TRY_STATUS(multiply(out, part, place));
    }
  }
  return out;
}

Result<std::vector<Json>> SchemaCompiler::alternatives_of_list(const Json& list, const Place& place) {
  std::vector<Json> out;
  for (std::size_t i = 0; i < list.size(); ++i) {
    NIBBLE_TRY(std::vector<Json> part, alternatives(list[i], place.at(std::to_string(i))));
    std::move(part.begin(), part.end(), std::back_inserter(out));
  }
  return out;
}

Status SchemaCompiler::multiply(std::vector<Json>& left, const std::vector<Json>& right, const Place& place) {
  if (left.size() * right.size() > limits_.max_alternatives)
    return unsupported(place, fmt::format("more than {} alternatives, multiplied out", limits_.max_alternatives));
  std::vector<Json> out;
  for (const Json& a : left) {
    for (const Json& b : right) {
      NIBBLE_TRY(std::optional<Json> both, merge(a, b, place));
      if (!both) continue;
      merged_bytes_ += both->dump().size();
      if (merged_bytes_ > limits_.max_merged_bytes)
        return unsupported(place, fmt::format("allOf and references beside other keywords make more than {} bytes",
                                              limits_.max_merged_bytes));
      out.push_back(std::move(*both));
    }
  }
  left = std::move(out);
  return {};
}

/// The plain schema of what both accept; nothing when they have no type or no value in common.
Result<std::optional<Json>> SchemaCompiler::merge(const Json& left, const Json& right, const Place& place) const {
  Json out = left;
  for (const auto& [keyword, value] : right.items()) {
    const auto mine = left.find(keyword);
    if (keyword == "properties" || keyword == "additionalProperties") continue;  // together, below
    if (mine == left.end()) {
      out[keyword] = value;
      continue;
    }
    if (*mine == value) continue;
    if (keyword == "type") {
      out[keyword] = common_types(as_list(*mine), as_list(value));
      if (out[keyword].empty()) return std::optional<Json>();
    } else if (keyword == "enum") {
      Json values = Json::array();
      for (const Json& candidate : as_list(*mine))
        if (contains(as_list(value), candidate)) values.push_back(candidate);
      if (values.empty()) return std::optional<Json>();
      out[keyword] = std::move(values);
    } else if (keyword == "required" && mine->is_array() && value.is_array()) {
      for (const Json& name : value)
        if (!contains(*mine, name)) out[keyword].push_back(name);
    } else if (keyword == "items") {
      out[keyword] = conjunction(*mine, value);
    } else if (mine->is_number() && value.is_number()) {
      const bool is_max = keyword.find("max") == 0 || keyword == "exclusiveMaximum";
      out[keyword] = (mine->get<double>() < value.get<double>()) == is_max ? *mine : value;
    } else {
      return unsupported(place,
                         fmt::format("keyword \"{}\" with different values in schemas that hold at once", keyword));
    }
  }
  // Which items "items" is about depends on "prefixItems".
  if (out.contains("prefixItems") && (left.contains("items") || right.contains("items")) &&
      (left.contains("prefixItems") != right.contains("prefixItems")))
    return unsupported(place, "keyword \"prefixItems\" is not supported in schemas that hold at once");
  if (out.contains("properties") || out.contains("additionalProperties") || right.contains("properties") ||
      right.contains("additionalProperties"))
    NIBBLE_TRY_STATUS(merge_objects(left, right, out));
  return std::optional<Json>(std::move(out));
}

/// A property that only one side lists is one of the others' additional properties.
Status SchemaCompiler::merge_objects(const Json& left, const Json& right, Json& out) const {
  const auto properties_of = [](const Json& schema) {
    const auto found = schema.find("properties");
    return found == schema.end() ? Json::object() : *found;
  };
  const auto others_of = [](const Json& schema) {
    const auto found = schema.find("additionalProperties");
    return found == schema.end() ? Json(true) : *found;
  };
  const Json mine = properties_of(left);
  const Json yours = properties_of(right);
  if (!mine.is_object() || !yours.is_object())
    return fail(ErrorCode::kInvalidArgument, "{}: \"properties\" is no object", what_);
  const Json my_others = others_of(left);
  const Json your_others = others_of(right);
  Json merged = Json::object();
  for (const auto& [name, schema] : mine.items()) {
    const auto found = yours.find(name);
    merged[name] = conjunction(schema, found == yours.end() ? your_others : *found);
  }
  for (const auto& [name, schema] : yours.items())
    if (!mine.contains(name)) merged[name] = conjunction(my_others, schema);
  out["properties"] = std::move(merged);
  if (left.contains("additionalProperties") || right.contains("additionalProperties"))
    out["additionalProperties"] = conjunction(my_others, your_others);
  return {};
}

}  // namespace nibble
