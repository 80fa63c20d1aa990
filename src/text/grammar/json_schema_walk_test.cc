// Random schemas, random documents under their masks: each is JSON, and a validator that shares nothing with the
// compiler accepts it.
#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "base/utf8.h"
#include "text/grammar/grammar_test_support.h"
#include "text/regex.h"

namespace nibble {
namespace {

// ---------------------------------------------------------------- a validator

class Validator {
 public:
  explicit Validator(const Json& root) : root_(root) {}

  bool valid(const Json& value, const Json& schema) const {
    if (schema.is_boolean()) return schema.get<bool>();
    for (const auto& [keyword, rule] : schema.items())
      if (!holds(keyword, rule, value, schema)) return false;
    return true;
  }

 private:
  static bool has_type(const Json& value, const std::string& type) {
    if (type == "integer") return value.is_number() && std::floor(value.get<double>()) == value.get<double>();
    return type == value.type_name();
  }
  static std::size_t characters(const std::string& text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  }
  bool any(const Json& list, const Json& value) const {
    return std::any_of(list.begin(), list.end(), [&](const Json& schema) { return valid(value, schema); });
  }
  bool matches(const Json& value, const std::string& pattern) const {
    const auto regex = Regex::compile(pattern, "test");
    std::vector<TextSpan> found;
    return regex.ok() && regex->find_all(value.get<std::string>(), found).ok() && !found.empty();
  }

  bool holds(const std::string& keyword, const Json& rule, const Json& value, const Json& schema) const {
    if (keyword == "$ref") return valid(value, root_.at("$defs").at(rule.get<std::string>().substr(8)));
    if (keyword == "anyOf") return any(rule, value);
    if (keyword == "allOf")
      return std::all_of(rule.begin(), rule.end(), [&](const Json& part) { return valid(value, part); });
    if (keyword == "type") {
      if (rule.is_string()) return has_type(value, rule);
      return std::any_of(rule.begin(), rule.end(), [&](const Json& type) { return has_type(value, type); });
    }
    if (keyword == "enum") return std::find(rule.begin(), rule.end(), value) != rule.end();
    if (keyword == "const") return rule == value;
    if (value.is_string()) {
      if (keyword == "minLength") return characters(value.get<std::string>()) >= rule.get<std::size_t>();
      if (keyword == "maxLength") return characters(value.get<std::string>()) <= rule.get<std::size_t>();
      if (keyword == "pattern") return matches(value, rule.get<std::string>());
      if (keyword == "format") return matches(value, "^[0-9A-Fa-f:TZ.+-]{10,}$") || rule == "ipv4";
    }
    if (value.is_number()) {
      if (keyword == "minimum") return value.get<double>() >= rule.get<double>();
      if (keyword == "maximum") return value.get<double>() <= rule.get<double>();
      if (keyword == "exclusiveMinimum") return value.get<double>() > rule.get<double>();
      if (keyword == "exclusiveMaximum") return value.get<double>() < rule.get<double>();
    }
    if (value.is_array()) return array_holds(keyword, rule, value, schema);
    if (value.is_object()) return object_holds(keyword, rule, value, schema);
    return true;
  }

  bool array_holds(const std::string& keyword, const Json& rule, const Json& value, const Json& schema) const {
    if (keyword == "minItems") return value.size() >= rule.get<std::size_t>();
    if (keyword == "maxItems") return value.size() <= rule.get<std::size_t>();
    if (keyword == "prefixItems") {
      for (std::size_t i = 0; i < std::min(rule.size(), value.size()); ++i)
        if (!valid(value[i], rule[i])) return false;
    }
    if (keyword == "items") {
      const std::size_t listed = schema.contains("prefixItems") ? schema.at("prefixItems").size() : 0;
      for (std::size_t i = listed; i < value.size(); ++i)
        if (!valid(value[i], rule)) return false;
    }
    return true;
  }

  bool object_holds(const std::string& keyword, const Json& rule, const Json& value, const Json& schema) const {
    const Json none = Json::object();
    const Json& properties = schema.contains("properties") ? schema.at("properties") : none;
    if (keyword == "required")
      return std::all_of(rule.begin(), rule.end(),
                         [&](const Json& name) { return value.contains(name.get<std::string>()); });
    for (const auto& [name, member] : value.items()) {
      if (keyword == "properties" && properties.contains(name) && !valid(member, properties.at(name))) return false;
      if (keyword == "additionalProperties" && !properties.contains(name) && !valid(member, rule)) return false;
    }
    return true;
  }

  const Json& root_;
};

// ---------------------------------------------------------------- random schemas

class SchemaMaker {
 public:
  explicit SchemaMaker(unsigned seed) : random_(seed) {}

  Json root() {
    Json out = schema(0);
    if (!out.is_object()) out = Json{{"items", out}};
    if (pick(2) == 0) out["$schema"] = "https://json-schema.org/draft/2020-12/schema";
    Json definitions = Json::object();
    for (const char* name : {"p", "q"}) definitions[name] = schema(1);
    out["$defs"] = definitions;
    return out;
  }

 private:
  std::uint64_t pick(std::uint64_t count) { return random_() % count; }

  Json schema(int depth) {
    switch (pick(depth < 3 ? 17 : 9)) {
      case 0:
        return text();
      case 1:
        return integer();
      case 2:
        return number();
      case 3:
        return {{"type", "boolean"}};
      case 4:
        return {{"type", Json::array({"null", "integer", "string"})}, {"description", "d"}};
      case 5:
        return {{"enum", Json::array({"a", "ab", 3, nullptr, -2.5, Json{{"k", "v\n"}}, Json::array({1})})}};
      case 6:
        return {{"const", "caf\xC3\xA9 \"x\""}};
      case 7:
        return pick(2) == 0 ? Json(true) : Json::object();
      case 8:
        return {{"$ref", pick(2) == 0 ? "#/$defs/p" : "#/$defs/q"}};
      case 9:
      case 10:
        return array(depth);
      case 11:
        return {{"anyOf", Json::array({schema(depth + 1), schema(depth + 1)})}};
      case 12:
        return {{"allOf", Json::array({object(depth), object(depth)})}};
      case 13: {
        Json out = object(depth);
        out["anyOf"] = Json::array({Json{{"required", Json::array({"a"})}}, object(depth + 1)});
        return out;
      }
      default:
        return object(depth);
    }
  }

  Json text() {
    switch (pick(4)) {
      case 0:
        return {{"type", "string"}, {"minLength", pick(3)}, {"maxLength", 3 + pick(4)}};
      case 1:
        return {{"type", "string"},
                {"pattern", std::vector<std::string>{"^[a-c]{2,4}$", "^(x|yz)+\\d?$", "^.\\.\\w*$",
                                                     "^[^\\s\\d]{1,3}\"\\\\$"}[pick(4)]}};
      case 2:
        return {{"type", "string"}, {"format", std::vector<std::string>{"date", "date-time", "uuid", "ipv4"}[pick(4)]}};
      default:
        return {{"type", "string"}};
    }
  }
  Json integer() {
    Json out = {{"type", "integer"}};
    const auto low = static_cast<std::int64_t>(random_() % 3000) - 1500;
    if (pick(2) == 0) out[pick(2) == 0 ? "minimum" : "exclusiveMinimum"] = low;
    if (pick(2) == 0) out[pick(2) == 0 ? "maximum" : "exclusiveMaximum"] = low + static_cast<std::int64_t>(pick(300));
    return out;
  }
  Json number() {
    Json out = {{"type", "number"}};
    const double low = (static_cast<double>(pick(4000)) - 2000) / 64;
    if (pick(2) == 0) out["minimum"] = low;
    if (pick(2) == 0) out[pick(2) == 0 ? "maximum" : "exclusiveMaximum"] = low + static_cast<double>(pick(100)) / 32;
    return out;
  }
  Json array(int depth) {
    Json out = {{"type", "array"}};
    if (pick(3) == 0) out["prefixItems"] = Json::array({schema(depth + 1), schema(depth + 1)});
    if (pick(3) != 0) out["items"] = schema(depth + 1);
    if (pick(2) == 0) out["minItems"] = pick(4);
    if (pick(2) == 0) out["maxItems"] = 2 + pick(4);
    return out;
  }
  Json object(int depth) {
    Json out = {{"type", "object"}};
    Json required = Json::array();
    Json properties = Json::object();
    for (const char* name : {"a", "ab", "b\"\xC3\xA9"}) {
      if (pick(2) == 0) continue;
      properties[name] = schema(depth + 1);
      if (pick(2) == 0) required.push_back(name);
    }
    if (pick(4) == 0) required.push_back("else");
    if (pick(5) != 0) out["properties"] = properties;
    if (!required.empty()) out["required"] = required;
    const auto kind = pick(4);
    if (kind == 0) out["additionalProperties"] = false;
    if (kind == 1) out["additionalProperties"] = schema(depth + 1);
    return out;
  }

  std::mt19937 random_;
};

// ---------------------------------------------------------------- random documents

std::shared_ptr<const TokenTrie> walk_trie() {
  static const auto trie = [] {
    std::vector<std::string> pieces;
    for (int byte = 0; byte < 256; ++byte) pieces.emplace_back(1, static_cast<char>(byte));
    for (const char* text : {"{\"",      "\":",      "\": \"", "\", \"",  "\"}",  "}}",      "]}",  "},",
                             "null",     "true",     "12",     "-3",      ".5",   "the ",    "a\"", "\xC3\xA9",
                             "\xF0\x9F", "\x98\x80", "\\\"",   "\\u00e9", "\n\t", "else\":", "[[",  "T1"})
      pieces.emplace_back(text);
    pieces.emplace_back();
    const auto count = static_cast<std::int32_t>(pieces.size());
    return TokenTrie::of_pieces(std::move(pieces), {count - 1});
  }();
  return trie;
}

/// A document, by random tokens; after some time those that close are preferred. Empty when it would not end.
std::string random_document(const std::shared_ptr<GrammarMatcher>& matcher, std::mt19937& random) {
  GrammarState state(matcher);
  std::string text;
  auto bitmask = bitmask_for(*walk_trie());
  const std::size_t patience = random() % 60;
  for (std::size_t step = 0; step < 3000; ++step) {
    const Status status = state.allowed(bitmask);
    if (!status.ok()) {  // only the limit of nesting may stop a text
      EXPECT_THAT(status.error().message, ::testing::HasSubstr("levels deep")) << text;
      return {};
    }
    if (state.may_end() && (state.must_end() || step >= patience)) {
      EXPECT_TRUE(state.accept(walk_trie()->end_of_generation()[0]).ok());
      return text;
    }
    std::vector<std::int32_t> tokens = tokens_of(bitmask);
    tokens.erase(std::remove(tokens.begin(), tokens.end(), walk_trie()->end_of_generation()[0]), tokens.end());
    std::int32_t token = tokens[random() % tokens.size()];
    if (step >= patience && random() % 4 != 0) {
      for (const std::int32_t candidate : tokens)
        if (candidate == '}' || candidate == ']' || candidate == '"' || candidate == 'n' || candidate == '0')
          token = candidate;
    }
    EXPECT_TRUE(state.accept(token).ok());
    text += walk_trie()->piece(token);
  }
  return {};
}

bool is_honest_refusal(const std::string& message) {
  for (const char* reason : {"no text can satisfy", "refers to itself", "different values", "circle of references",
                             "is required, but additionalProperties", "\"prefixItems\" is not supported",
                             "beside enum and const", "only one of pattern"})
    if (message.find(reason) != std::string::npos) return true;
  return false;
}

TEST(JsonSchemaWalk, RandomDocumentsSatisfyRandomSchemas) {
  std::mt19937 random(11);
  int compiled = 0;
  int documents = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    const Json schema = SchemaMaker(seed).root();
    const auto grammar = json_schema_grammar(schema, "schema");
    if (!grammar.ok()) {
      EXPECT_TRUE(is_honest_refusal(grammar.error().message)) << grammar.error().message << "\n" << schema.dump();
      continue;
    }
    ++compiled;
    const auto matcher = std::make_shared<GrammarMatcher>(*grammar, walk_trie());
    for (int i = 0; i < 6; ++i) {
      const std::string text = random_document(matcher, random);
      if (text.empty()) continue;
      ++documents;
      ASSERT_TRUE(is_utf8(text)) << text;
      const Json value = Json::parse(text, nullptr, false);  // keys of free objects may come twice
      ASSERT_FALSE(value.is_discarded()) << schema.dump() << "\n" << text;
      EXPECT_TRUE(Validator(schema).valid(value, schema)) << schema.dump() << "\n" << text;
    }
  }
  RecordProperty("compiled", compiled);
  RecordProperty("documents", documents);
  EXPECT_GT(compiled, 280);
  EXPECT_GT(documents, 1200);
}

TEST(JsonSchemaWalk, RandomObjectsAreJson) {
  std::mt19937 random(12);
  const auto grammar = json_object_grammar();
  ASSERT_TRUE(grammar.ok());
  const auto matcher = std::make_shared<GrammarMatcher>(*grammar, walk_trie());
  int documents = 0;
  for (int i = 0; i < 200; ++i) {
    const std::string text = random_document(matcher, random);
    if (text.empty()) continue;
    ++documents;
    const Json value = Json::parse(text, nullptr, false);
    EXPECT_TRUE(value.is_object()) << text;
  }
  EXPECT_GT(documents, 180);
}

}  // namespace
}  // namespace nibble
