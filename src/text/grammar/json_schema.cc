// The schema's skeleton: keywords, references, alternatives. Types are in json_schema_types.cc, allOf and what else has
// to be multiplied out in json_schema_merge.cc.
#include "text/grammar/json_schema.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/grammar/schema_keywords.h"

namespace nibble {
namespace {

/// A step of a JSON pointer in a fragment: %XX first, then ~1 and ~0.
std::string unescaped_step(std::string_view step) {
  const auto hex = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  std::string plain;
  for (std::size_t i = 0; i < step.size(); ++i) {
    if (step[i] == '%' && i + 2 < step.size() && hex(step[i + 1]) >= 0 && hex(step[i + 2]) >= 0) {
      plain.push_back(static_cast<char>(hex(step[i + 1]) * 16 + hex(step[i + 2])));
      i += 2;
    } else {
      plain.push_back(step[i]);
    }
  }
  std::string out;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const char next = i + 1 < plain.size() ? plain[i + 1] : ' ';
    if (plain[i] == '~' && (next == '0' || next == '1')) {
      out.push_back(next == '0' ? '~' : '/');
      ++i;
    } else {
      out.push_back(plain[i]);
    }
  }
  return out;
}

}  // namespace

SchemaCompiler::Place SchemaCompiler::Place::at(std::string_view step) const {
  Place out{path + "/", depth + 1};
  for (const char c : step) out.path += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return out;
}

SchemaCompiler::SchemaCompiler(JsonGrammar& json, const Json& root, std::string what, const SchemaLimits& limits)
    : json_(json), builder_(json.builder()), root_(root), what_(std::move(what)), limits_(limits) {}

Error SchemaCompiler::wrong(const Place& place, std::string_view finding) const {
  return fail(ErrorCode::kInvalidArgument, "{}: {}: {}", what_, printable(place.path), finding);
}

Error SchemaCompiler::unsupported(const Place& place, std::string_view finding) const {
  return fail(ErrorCode::kUnsupported, "{}: {}: {}", what_, printable(place.path), finding);
}

Result<JsonGrammar::Expression> SchemaCompiler::compile() {
  NIBBLE_TRY(const Expression root, compile(root_, Place{"#", 0}));
  while (!pending_.empty()) {
    const Pending next = std::move(pending_.back());
    pending_.pop_back();
    const Place place{next.path, 0};
    std::vector<Expression> choices;
    if (next.is_merged) {
      NIBBLE_TRY(const std::vector<Json> plain, alternatives(*next.schema, place));
      for (const Json& schema : plain) {
        NIBBLE_TRY(const Expression part, compile_plain(schema, place));
        choices.push_back(part);
      }
    } else {
      NIBBLE_TRY(const Expression part, compile(*next.schema, place));
      choices.push_back(part);
    }
    builder_.define(next.rule, builder_.choice(std::move(choices)));
  }
  return root;
}

Result<JsonGrammar::Expression> SchemaCompiler::compile(const Json& schema, const Place& place) {
  if (++schemas_ > limits_.max_schemas)
    return unsupported(place, fmt::format("more than {} schemas", limits_.max_schemas));
  if (place.depth > 2 * limits_.max_depth)  // each schema is two steps of the path below the one around it
    return unsupported(place, fmt::format("schemas nested deeper than {} levels", limits_.max_depth));
  if (schema.is_boolean()) return schema.get<bool>() ? json_.any_value() : builder_.nothing();
  NIBBLE_TRY_STATUS(check_keywords(schema, place));
  const Json* combines = nullptr;
  std::string name;
  int combining = 0;
  bool constrains = false;
  for (const auto& [keyword, value] : schema.items()) {
    const SchemaKeyword kind = schema_keyword(keyword);
    constrains = constrains || kind == SchemaKeyword::kConstrains;
    if (kind != SchemaKeyword::kCombines) continue;
    ++combining;
    combines = &value;
    name = keyword;
  }
  if (combining == 0) return compile_plain(schema, place);
  if (combining > 1 || constrains) return compile_merged(schema, place);
  if (name == "$ref") return compile_reference(*combines, place);
  if (name == "allOf" && combines->size() > 1) return compile_merged(schema, place);
  return compile_choice(*combines, place.at(name));
}

Status SchemaCompiler::check_keywords(const Json& schema, const Place& place) {
  if (!schema.is_object())
    return wrong(place, fmt::format("is {}, expected a schema: an object, true or false", schema.type_name()));
  for (const auto& [keyword, value] : schema.items()) {
    const SchemaKeyword kind = schema_keyword(keyword);
    if (kind == SchemaKeyword::kRefused) {
      const bool no_effect = (keyword == "uniqueItems" && value == false) || (keyword == "minProperties" && value == 0);
      if (!no_effect) return unsupported(place, fmt::format("keyword \"{}\" is not supported", printable(keyword)));
    }
    if (keyword == "$id" && place.path != "#")
      return unsupported(place, "keyword \"$id\" is supported at the root only: it changes what references mean");
    if (kind == SchemaKeyword::kCombines && keyword != "$ref") {
      if (!value.is_array() || value.empty())
        return wrong(place.at(keyword), "expected a list of schemas with at least one");
      if (value.size() > limits_.max_alternatives)
        return unsupported(place.at(keyword), fmt::format("more than {} alternatives", limits_.max_alternatives));
    }
  }
  return {};
}

Result<JsonGrammar::Expression> SchemaCompiler::compile_choice(const Json& list, const Place& place) {
  std::vector<Expression> choices;
  for (std::size_t i = 0; i < list.size(); ++i) {
    NIBBLE_TRY(const Expression part, compile(list[i], place.at(std::to_string(i))));
    choices.push_back(part);
  }
  return builder_.choice(std::move(choices));
}

Result<JsonGrammar::Expression> SchemaCompiler::compile_reference(const Json& reference, const Place& place) {
  NIBBLE_TRY(const Json* const target, resolve(reference, place));
  const auto text = reference.get<std::string>();
  const auto known = references_.find(text);
  if (known != references_.end()) return builder_.call(known->second);
  const GrammarBuilder::RuleId rule = builder_.declare(text);
  references_.emplace(text, rule);
  pending_.push_back({rule, target, text, false});
  return builder_.call(rule);
}

/// A rule for a schema whose parts must be multiplied out; the same one for equal schemas, so that recursion ends.
Result<JsonGrammar::Expression> SchemaCompiler::compile_merged(const Json& schema, const Place& place) {
  const std::string text = schema.dump();
  merged_bytes_ += text.size();
  if (merged_bytes_ > limits_.max_merged_bytes)
    return unsupported(place, fmt::format("allOf and references beside other keywords make more than {} bytes",
                                          limits_.max_merged_bytes));
  const auto known = merged_.find(text);
  if (known != merged_.end()) return builder_.call(known->second);
  const GrammarBuilder::RuleId rule = builder_.declare(place.path);
  merged_.emplace(text, rule);
  owned_.push_back(std::make_unique<const Json>(schema));
  pending_.push_back({rule, owned_.back().get(), place.path, true});
  return builder_.call(rule);
}

Result<const Json*> SchemaCompiler::resolve(const Json& reference, const Place& place) const {
  const Place at = place.at("$ref");
  if (!reference.is_string()) return wrong(at, "expected a string");
  const auto text = reference.get<std::string>();
  if (text != "#" && text.substr(0, 2) != "#/")
    return unsupported(at,
                       fmt::format("\"{}\": only references within the schema are supported: #/...", printable(text)));
  const Json* target = &root_;
  std::string_view rest = std::string_view(text).substr(1);
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string step = unescaped_step(rest.substr(0, end));
    rest.remove_prefix(end);
    const Json* next = nullptr;
    if (target->is_object()) {
      const auto member = target->find(step);
      if (member != target->end()) next = &*member;
    } else if (target->is_array() && !step.empty() && step.size() < 7 &&
               step.find_first_not_of("0123456789") == std::string::npos) {
      const std::size_t index = std::stoul(step);
      if (index < target->size()) next = &(*target)[index];
    }
    if (next == nullptr) return wrong(at, fmt::format("\"{}\" is not in the schema", printable(text)));
    target = next;
  }
  return target;
}

Result<std::optional<std::uint64_t>> SchemaCompiler::count(const Json& schema, std::string_view keyword,
                                                           const Place& place) const {
  const auto found = schema.find(std::string(keyword));
  if (found == schema.end()) return std::optional<std::uint64_t>();
  if (found->is_number_unsigned()) return std::optional(found->get<std::uint64_t>());
  if (found->is_number_float()) {  // 3.0 is as good as 3
    const auto value = found->get<double>();
    if (value >= 0 && value < 1e9 && value == static_cast<double>(static_cast<std::uint64_t>(value)))
      return std::optional(static_cast<std::uint64_t>(value));
  }
  return wrong(place.at(keyword), "expected a number of zero or more, without a fraction");
}

Result<std::optional<double>> SchemaCompiler::bound(const Json& schema, std::string_view keyword,
                                                    const Place& place) const {
  const auto found = schema.find(std::string(keyword));
  if (found == schema.end()) return std::optional<double>();
  if (!found->is_number()) return wrong(place.at(keyword), "expected a number");
  return std::optional(found->get<double>());
}

Result<std::shared_ptr<const Grammar>> json_schema_grammar(const Json& schema, std::string_view what,
                                                           const SchemaLimits& limits) {
  GrammarBuilder builder(limits.grammar);
  JsonGrammar json(builder);
  const auto root = builder.declare("#");
  SchemaCompiler compiler(json, schema, std::string(what), limits);
  NIBBLE_TRY(const auto document, compiler.compile());
  builder.define(root, document);
  auto grammar = builder.build(root);
  if (!grammar.ok()) return with_context(grammar.error(), std::string(what));
  return grammar;
}

}  // namespace nibble
