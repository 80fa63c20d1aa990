// Documents that each keyword accepts and refuses, schemas that are refused, limits.
#include "text/grammar/json_schema.h"

#include <gmock/gmock.h>

#include "text/grammar/grammar_test_support.h"

namespace nibble {
namespace {

using ::testing::HasSubstr;

struct Case {
  const char* name;
  const char* schema;
  std::vector<std::string> accepted;
  std::vector<std::string> refused;
};

std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

class JsonSchemaKeyword : public ::testing::TestWithParam<Case> {};

TEST_P(JsonSchemaKeyword, AcceptsAndRefuses) {
  const auto grammar = grammar_of(GetParam().schema);
  ASSERT_TRUE(grammar.ok()) << grammar.error().message;
  for (const std::string& text : GetParam().accepted) EXPECT_TRUE(accepts(*grammar, text)) << text;
  for (const std::string& text : GetParam().refused) EXPECT_FALSE(accepts(*grammar, text)) << text;
}

const Case kCases[] = {
    {"any",
     R"({})",
     {"1", "-0", "1.5e+10", "\"\"", "\"a\\n\\u00e9\\ud83d\\ude00\xC3\xA9\"", "true", "null", "[]", "[1, 2,[3]]", "{}",
      "{\n  \"a\": {\n    \"b\": [ 1 ] }\n}"},
     {"",
      "01",
      "1.",
      ".5",
      "+1",
      "\"",
      "\"\\x\"",
      "\"\\ud83d\"",
      "\"\\ude00\"",
      "\"\xC3\"",
      "\"\xED\xA0\x80\"",
      "\"\x01\"",
      "[1,]",
      "[1 ,2]",
      "{\"a\":  1}",
      "{a:1}",
      " 1",
      "1 ",
      "nul",
      "truefalse",
      "{\n                      \"a\": 1}"}},
    {"always", "true", {"{}", "3"}, {"", "x"}},
    {"boolean", R"({"type": "boolean"})", {"true", "false"}, {"null", "\"true\"", "1"}},
    {"null", R"({"type": "null"})", {"null"}, {"false", "0", ""}},
    {"type_list",
     R"({"type": ["string", "integer", "null"], "maxLength": 2})",
     {"\"ab\"", "12345", "null"},
     {"\"abc\"", "1.5", "true"}},
    {"nullable", R"({"type": "integer", "nullable": true})", {"1", "null"}, {"\"\"", "nul"}},
    {"number", R"({"type": "number"})", {"0", "-1.25", "3e5", "2E-07"}, {"1e", "--1", "1e500", "NaN", "Infinity"}},
    {"integer",
     R"({"type": "integer"})",
     {"0", "-7", "123456789012345678"},
     {"1.0", "1e3", "00", "-", "1234567890123456789"}},
    {"integer_range",
     R"({"type": "integer", "minimum": -12, "maximum": 345})",
     {"-12", "-9", "-1", "0", "7", "99", "100", "299", "345"},
     {"-13", "-0", "346", "350", "1000", "-20", "007"}},
    {"integer_min",
     R"({"type": "integer", "minimum": 17})",
     {"17", "20", "100", "999999999999999999"},
     {"16", "9", "0", "-17"}},
    {"integer_max", R"({"type": "integer", "maximum": -5})", {"-5", "-6", "-50", "-100"}, {"-4", "0", "5"}},
    {"integer_exclusive",
     R"({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 3})",
     {"1", "2"},
     {"0", "3", "-1"}},
    {"integer_fraction_bounds",
     R"({"type": "integer", "minimum": 0.5, "exclusiveMaximum": 2.5})",
     {"1", "2"},
     {"0", "3"}},
    {"integer_extremes",
     R"({"type": "integer", "minimum": -9223372036854775808, "maximum": 9223372036854775807})",
     {"-9223372036854775808", "9223372036854775807", "0"},
     {"-9223372036854775809", "9223372036854775808", "10000000000000000000"}},
    {"number_range",
     R"({"type": "number", "minimum": 0, "maximum": 1})",
     {"0", "0.0", "0.5", "0.9999999999", "1", "1.0"},
     {"-0", "-0.5", "1.0000000001", "2", "10", "1e0"}},
    {"number_range_of_fractions",
     R"({"type": "number", "minimum": -2.25, "exclusiveMaximum": 0.125})",
     {"-2.25", "-2.2", "-2", "-1.999", "-0.1", "0", "0.12", "0.1249999", "0.0"},
     {"-2.26", "-2.3", "-3", "0.125", "0.1250", "0.13", "0.2", "1", "-2.2500001"}},
    {"number_above", R"({"type": "number", "exclusiveMinimum": 0})", {"0.1", "1", "123.5"}, {"0", "0.0", "-1"}},
    {"number_within_one",
     R"({"type": "number", "minimum": 3.14, "maximum": 3.15})",
     {"3.14", "3.149", "3.15", "3.150"},
     {"3.139", "3", "3.1", "3.151", "3.2"}},
    {"string_length",
     R"({"type": "string", "minLength": 2, "maxLength": 3})",
     {"\"ab\"", "\"abc\"", "\"\xC3\xA9\xF0\x9F\x98\x80\"", "\"\\n\\u0041\"", "\"\\ud83d\\ude00xy\""},
     {"\"a\"", "\"abcd\"", "\"\\n\"", "\"\xF0\x9F\x98\x80\""}},
    {"min_length", R"({"type": "string", "minLength": 1})", {"\"a\"", "\"abcdefg\""}, {"\"\""}},
    {"max_length_zero", R"({"type": "string", "maxLength": 0})", {"\"\""}, {"\"a\""}},
    {"pattern",
     R"({"type": "string", "pattern": "^[A-Z]{2,3}-\\d+(\\.(alpha|beta))?$"})",
     {"\"AB-1\"", "\"XYZ-123.beta\""},
     {"\"A-1\"", "\"ABCD-1\"", "\"AB-\"", "\"AB-1.\"", "\"AB-1.gamma\"", "\"ab-1\""}},
    {"pattern_escapes",
     R"({"pattern": "^(\"\\\\\\n|[^a-y\\d\\s]|\\u00e9|.{3})$"})",
     {"\"\\\"\\\\\\n\"", "\"z\"", "\"\xC3\xA9\"", "\"\\u0001\"", "\"1 \\\"\""},
     {"\"a\"", "\"5\"", "\" \"", "\"\\n\"", "\"1\\n2\"", "\"\\u00e9\""}},
    {"pattern_quantifiers",
     R"({"pattern": "^a*b+?c{2}d{1,}(?:e|)$"})",
     {"\"bccd\"", "\"aabbccdde\""},
     {"\"ccd\"", "\"bcd\"", "\"bcc\""}},
    {"pattern_dot_is_a_character",
     R"({"pattern": "^.$"})",
     {"\"\xF0\x9F\x98\x80\"", "\"\xE4\xB8\x96\""},
     {"\"\xF0\x9F\"", "\"ab\"", "\"\""}},
    {"date",
     R"({"format": "date"})",
     {"\"2024-02-29\"", "\"2023-12-31\"", "\"2000-02-29\""},
     {"\"2023-02-29\"", "\"1900-02-29\"", "\"2023-04-31\"", "\"2023-13-01\"", "\"23-01-01\""}},
    {"time", R"({"format": "time"})", {"\"23:59:59Z\"", "\"00:00:00.123+05:30\""}, {"\"24:00:00Z\"", "\"12:00:00\""}},
    {"date_time",
     R"({"format": "date-time"})",
     {"\"2024-02-29T12:34:56Z\""},
     {"\"2024-02-30T12:34:56Z\"", "\"2024-02-29\""}},
    {"uuid",
     R"({"format": "uuid"})",
     {"\"123e4567-e89b-12d3-a456-426614174000\""},
     {"\"123e4567e89b12d3a456426614174000\""}},
    {"ipv4", R"({"format": "ipv4"})", {"\"192.168.0.255\""}, {"\"256.1.1.1\"", "\"1.1.1\"", "\"01.1.1.1\""}},
    {"ipv6", R"({"format": "ipv6"})", {"\"2001:db8:0:0:0:0:0:1\""}, {"\"2001:db8\""}},
    {"email", R"({"format": "email"})", {"\"a.b+c@example.org\""}, {"\"a@b\"", "\"@b.c\"", "\"a b@c.d\""}},
    {"hostname", R"({"format": "hostname"})", {"\"a-b.example.org\""}, {"\"-a.b\"", "\"a..b\""}},
    {"enum",
     R"({"enum": ["red", "re", 3, null, [1, 2], {"a": "b\n"}]})",
     {"\"red\"", "\"re\"", "3", "null", "[1,2]", "{\"a\":\"b\\n\"}"},
     {"\"r\"", "\"blue\"", "4", "[1,3]", "\"redd\""}},
    {"enum_of_type", R"({"type": "string", "enum": ["a", 1, null]})", {"\"a\""}, {"1", "null"}},
    {"const", R"({"const": "x\"y"})", {"\"x\\\"y\""}, {"\"x\"", "\"xy\""}},
    {"const_in_enum", R"({"enum": [1, 2], "const": 2})", {"2"}, {"1"}},
    {"any_of", R"({"anyOf": [{"type": "integer"}, {"type": "string"}]})", {"1", "\"a\""}, {"null", "1.5"}},
    {"one_of", R"({"title": "t", "oneOf": [{"const": 1}, {"const": 12}]})", {"1", "12"}, {"2", "122"}},
    {"any_of_beside_type",
     R"({"type": "string", "anyOf": [{"maxLength": 1}, {"minLength": 3}]})",
     {"\"\"", "\"a\"", "\"abc\""},
     {"\"ab\"", "1"}},
    {"any_of_beside_required",
     R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
         "anyOf": [{"required": ["a"]}, {"required": ["b"]}]})",
     {"{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":2}"},
     {"{}", "{\"b\":1,\"a\":2}"}},
    {"object",
     R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {}}, "required": ["b"]})",
     {"{\"b\":\"\"}", "{\"a\":1,\"b\":\"x\"}", "{ \"a\": 1, \"b\": \"x\", \"c\": [] }", "{\"b\":\"\",\"c\":null}"},
     {"{}", "{\"a\":1}", "{\"b\":1}", "{\"b\":\"\",\"a\":1}", "{\"b\":\"\",}", "{,\"b\":\"\"}", "{\"b\":\"\" \"c\":1}",
      "{\"b\":\"\",\"d\":1}", "{\"b\":\"\",\"b\":\"\"}"}},
    {"object_all_optional",
     R"({"properties": {"a": {"const": 1}, "b": {"const": 2}}})",
     {"{}", "{ }", "{\"a\":1}", "{\"b\":2}", "{\"a\":1, \"b\":2}"},
     {"{\"a\":1,}", "{  }", "{,}"}},
    {"object_of_anything", R"({"type": "object"})", {"{}", "{\"x\": [1]}"}, {"[]", "1"}},
    {"no_properties", R"({"type": "object", "additionalProperties": false})", {"{}"}, {"{\"a\":1}"}},
    {"additional_schema",
     R"({"type": "object", "properties": {"ab": {"type": "integer"}}, "additionalProperties": {"type": "string"}})",
     {"{}", "{\"ab\":1}", "{\"ab\":1,\"x\":\"\"}", "{\"a\":\"\",\"abc\":\"\"}", "{\"\":\"\",\"\xC3\xA9\":\"\"}"},
     {"{\"ab\":\"\"}", "{\"x\":1}", "{\"x\":\"\",\"ab\":1}", "{\"\\u0061b\":\"\"}", "{\"a\\u0062\":\"\"}"}},
    {"additional_beside_names_beyond_ascii",
     R"({"properties": {"aé": {"const": 1}, "aéb": {"const": 2}, "€": {"const": 3}}, "additionalProperties": {"const": 4}})",
     {"{\"a\xC3\xA9\":1,\"a\":4,\"a\xC3\xA8\":4}", "{\"a\xC3\xA9\x62\":2,\"a\xC3\xA9\x62\x62\":4}",
      "{\"\xE2\x82\xAC\":3,\"\xE2\x82\xAD\":4,\"\xF0\x9F\x98\x80\":4}", "{\"a\xE2\x82\xAC\":4,\"a\xC3\xA9z\":4}"},
     {"{\"a\xC3\xA9\":4}", "{\"a\xC3\xA9\x62\":4}", "{\"\xE2\x82\xAC\":4}", "{\"a\xC3\":4}", "{\"a\":1}"}},
    {"additional_true",
     R"({"properties": {"k": {"const": 1}}, "required": ["k"], "additionalProperties": true})",
     {"{\"k\":1}", "{\"k\":1,\"l\":[{}]}"},
     {"{}", "{\"l\":2}", "{\"k\":2}"}},
    {"required_unlisted",
     R"({"type": "object", "required": ["a"]})",
     {"{\"a\":[]}", "{\"a\":1,\"b\":2}"},
     {"{}", "{\"b\":1}"}},
    {"required_of_additional",
     R"({"required": ["a"], "additionalProperties": {"type": "null"}})",
     {"{\"a\":null}"},
     {"{\"a\":1}", "{}"}},
    {"key_escapes",
     R"({"properties": {"a\"b\\\n\u0001é": {"const": 1}}, "required": ["a\"b\\\n\u0001é"]})",
     {"{\"a\\\"b\\\\\\n\\u0001\xC3\xA9\":1}"},
     {"{}"}},
    {"array",
     R"({"type": "array", "items": {"type": "integer"}})",
     {"[]", "[ ]", "[1]", "[1, 2,3]", "[\n  1\n]"},
     {"[\"a\"]", "[1 2]", "[,]"}},
    {"array_bounds",
     R"({"type": "array", "items": {"const": 1}, "minItems": 2, "maxItems": 3})",
     {"[1,1]", "[1,1,1]"},
     {"[]", "[1]", "[1,1,1,1]"}},
    {"array_max_one", R"({"items": {"const": 1}, "maxItems": 1})", {"[]", "[1]"}, {"[1,1]"}},
    {"array_max_zero", R"({"type": "array", "maxItems": 0})", {"[]"}, {"[1]"}},
    {"array_min", R"({"type": "array", "minItems": 1})", {"[{}]", "[1,2,3,4]"}, {"[]"}},
    {"prefix_items",
     R"({"prefixItems": [{"type": "string"}, {"type": "integer"}]})",
     {"[\"a\",1]"},
     {"[1,\"a\"]", "[\"a\"]", "[\"a\",1,2]"}},
    {"prefix_and_items",
     R"({"prefixItems": [{"const": 0}], "items": {"const": 1}, "minItems": 2, "maxItems": 3})",
     {"[0,1]", "[0,1,1]"},
     {"[0]", "[0,1,1,1]", "[1,1]"}},
    {"items_false", R"({"prefixItems": [{}], "items": false})", {"[1]"}, {"[1,2]"}},
    {"reference",
     R"({"$defs": {"p": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/p"}})",
     {"[1,2]"},
     {"[\"\"]"}},
    {"reference_escapes",
     R"({"definitions": {"a/b~c d": {"const": 1}}, "$ref": "#/definitions/a~1b~0c%20d"})",
     {"1"},
     {"2"}},
    {"recursion",
     R"({"$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
         "required": ["v", "next"], "additionalProperties": false}}, "$ref": "#/$defs/node"})",
     {"{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3,\"next\":null}}}"},
     {"{\"v\":1}", "{\"v\":1,\"next\":{}}"}},
    {"recursion_of_root", R"({"type": "array", "items": {"$ref": "#"}})", {"[]", "[[],[[]]]"}, {"[1]"}},
    {"all_of_one", R"({"allOf": [{"type": "integer"}]})", {"1"}, {"\"\""}},
    {"all_of_objects",
     R"({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                   {"$ref": "#/$defs/b"}], "$defs": {"b": {"properties": {"b": {"type": "string"}, "a": {"minimum": 5}}, "required": ["b"]}}})",
     {"{\"a\":5,\"b\":\"\"}"},
     {"{\"a\":4,\"b\":\"\"}", "{\"a\":5}", "{\"b\":\"\"}"}},
    {"all_of_closed",
     R"({"allOf": [{"properties": {"a": {}, "b": {}}, "additionalProperties": false}, {"properties": {"a": {"const": 1}, "c": {}}}]})",
     {"{\"a\":1,\"b\":2}", "{}"},
     {"{\"a\":2}", "{\"c\":1}"}},
    {"all_of_numbers",
     R"({"allOf": [{"type": "number", "minimum": 2}, {"type": "integer", "minimum": 1, "maximum": 4}]})",
     {"2", "4"},
     {"1", "5", "2.5"}},
    {"all_of_enums", R"({"allOf": [{"enum": [1, 2, 3]}, {"enum": [2, 3, 4]}, {"enum": [3, 5]}]})", {"3"}, {"2", "5"}},
    {"all_of_alternatives",
     R"({"allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}]})",
     {"\"a\""},
     {"1", "null"}},
    {"all_of_recursive",
     R"({"$defs": {"t": {"type": "object", "properties": {"c": {"$ref": "#/$defs/t"}}},
                   "u": {"type": "object", "properties": {"c": {"$ref": "#/$defs/u"}, "n": {"type": "integer"}}, "required": ["n"]}},
         "allOf": [{"$ref": "#/$defs/t"}, {"$ref": "#/$defs/u"}]})",
     {"{\"n\":1}", "{\"c\":{\"n\":2},\"n\":1}"},
     {"{}", "{\"c\":{},\"n\":1}"}},
    {"reference_beside_description",
     R"({"$defs": {"p": {"const": 1}}, "description": "d", "$ref": "#/$defs/p"})",
     {"1"},
     {"2"}},
    {"reference_beside_keyword",
     R"({"$defs": {"p": {"type": "integer"}}, "$ref": "#/$defs/p", "minimum": 3})",
     {"3"},
     {"2"}},
    {"annotations",
     R"({"$schema": "s", "$id": "i", "$comment": "c", "title": "t", "description": "d", "default": 1, "examples": [1], "deprecated": true, "x-y": 1, "type": "null"})",
     {"null"},
     {"1"}},
    {"without_effect",
     R"({"type": "array", "uniqueItems": false, "items": {"type": "object", "minProperties": 0}})",
     {"[{}]"},
     {"1"}},
};

INSTANTIATE_TEST_SUITE_P(All, JsonSchemaKeyword, ::testing::ValuesIn(kCases),
                         [](const auto& c) { return std::string(c.param.name); });

struct Refusal {
  const char* schema;
  const char* message;
};

TEST(JsonSchema, RefusesWhatItCannotPromise) {
  const Refusal refusals[] = {
      {R"({"not": {}})", "schema: #: keyword \"not\" is not supported"},
      {R"({"properties": {"a": {"if": {}}}})", "schema: #/properties/a: keyword \"if\" is not supported"},
      {R"({"properties": {"a/b": {"items": {"contains": {}}}}})", "#/properties/a~1b/items: keyword \"contains\""},
      {R"({"patternProperties": {}})", "\"patternProperties\""},
      {R"({"propertyNames": {}})", "\"propertyNames\""},
      {R"({"minProperties": 1})", "\"minProperties\""},
      {R"({"maxProperties": 1})", "\"maxProperties\""},
      {R"({"uniqueItems": true})", "\"uniqueItems\""},
      {R"({"multipleOf": 2})", "\"multipleOf\""},
      {R"({"dependentRequired": {}})", "\"dependentRequired\""},
      {R"({"unevaluatedProperties": false})", "\"unevaluatedProperties\""},
      {R"({"additionalItems": false})", "\"additionalItems\""},
      {R"({"$dynamicRef": "#a"})", "\"$dynamicRef\""},
      {R"({"contentEncoding": "base64"})", "\"contentEncoding\""},
      {R"({"made-up": 1})", "\"made-up\""},
      {R"({"format": "regex"})", "#/format: the format \"regex\" is not supported; supported are date,"},
      {R"({"pattern": "abc"})", "only patterns of the whole string are supported"},
      {R"({"pattern": "^a|b$"})", "write ^(a|b)$"},
      {R"({"pattern": "^(?=a)b$"})", "only the groups"},
      {R"({"pattern": "^(a)\\1$"})", "the escape \\1 is not supported"},
      {R"({"pattern": "^\\bx$"})", "the escape \\b is not supported"},
      {R"({"pattern": "^\\p{L}$"})", "the escape \\p is not supported"},
      {R"({"pattern": "^a\\$"})", "only patterns of the whole string"},
      {R"({"pattern": "^a^b$"})", "anchors are supported at both ends only"},
      {R"({"pattern": "^[b-a]$"})", "wrong order"},
      {R"({"pattern": "^(a$"})", "expected ')'"},
      {R"({"pattern": "^a)$"})", "ends a group"},
      {R"({"pattern": "^a**$"})", "nothing to repeat"},
      {R"({"pattern": "^a{3,2}$"})", "wrong way round"},
      {R"({"pattern": "^a{1000000}$"})", "counts are supported up to"},
      {R"({"pattern": "^a$", "maxLength": 3})", "only one of pattern, format"},
      {R"({"enum": ["a"], "minLength": 1})", "\"minLength\" is not supported beside enum"},
      {R"({"$ref": "http://example.org/x"})", "only references within the schema"},
      {R"({"$ref": "#/nowhere"})", "\"#/nowhere\" is not in the schema"},
      {R"({"$ref": 3})", "expected a string"},
      {R"({"$ref": "#"})", "no text can satisfy"},
      {R"({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}, "$ref": "#/$defs/a"})",
       "refers to itself with nothing in between"},
      {R"({"$defs": {"a": {"type": "object", "properties": {"n": {"$ref": "#/$defs/a"}}, "required": ["n"]}}, "$ref": "#/$defs/a"})",
       "no text can satisfy"},
      {R"({"allOf": [{"$ref": "#"}, {"type": "object"}]})", "circle of references"},
      {R"({"allOf": [{"pattern": "^a$"}, {"pattern": "^b$"}]})", "\"pattern\" with different values"},
      {R"({"allOf": [{"type": "string"}, {"type": "integer"}]})", "no text can satisfy"},
      {R"({"type": "integer", "minimum": 3, "maximum": 2})", "no text can satisfy"},
      {R"({"type": "number", "minimum": 1e300})", "bounds of numbers"},
      {R"({"enum": []})", "no text can satisfy"},
      {"false", "no text can satisfy"},
      {R"({"required": ["b"], "additionalProperties": false})", "\"b\" is required, but additionalProperties is false"},
      {R"({"type": "strin"})", "unknown type; known: object"},
      {R"({"type": 3})", "unknown type"},
      {R"({"items": [{}]})", "write it as prefixItems"},
      {R"({"anyOf": []})", "expected a list of schemas"},
      {R"({"anyOf": [3]})", "#/anyOf/0: is number, expected a schema"},
      {R"({"minLength": -1})", "#/minLength: expected a number of zero or more"},
      {R"({"maxItems": 1.5})", "#/maxItems: expected a number of zero or more"},
      {R"({"type": "integer", "minimum": "1"})", "#/minimum: expected a number"},
      {R"({"properties": []})", "#/properties: expected an object"},
      {R"({"required": "a"})", "#/required: expected a list"},
      {R"([])", "expected a schema"},
      {R"({"properties": {"a": {"$id": "x"}}})", "\"$id\" is supported at the root only"},
      {R"({"type": "string", "maxLength": 10000000})", "the grammar needs more than"},
      {R"({"type": "array", "maxItems": 9999999999, "items": {"type": "null"}})", "the grammar needs more than"},
      {R"({"pattern": "^((((a{100}){100}){100}){100})$"})", "the grammar needs more than"},
  };
  for (const Refusal& refusal : refusals) {
    const auto grammar = grammar_of(refusal.schema);
    ASSERT_FALSE(grammar.ok()) << refusal.schema;
    EXPECT_THAT(grammar.error().message, HasSubstr(refusal.message)) << refusal.schema;
    EXPECT_THAT(grammar.error().message, ::testing::StartsWith("schema: ")) << refusal.schema;
  }
}

TEST(JsonSchema, KeepsItsLimits) {
  SchemaLimits limits;
  limits.max_schemas = 10;
  limits.max_alternatives = 4;
  limits.max_properties = 4;
  limits.max_depth = 5;
  limits.max_merged_bytes = 2000;
  const auto message = [&](std::string_view schema) {
    const auto grammar = grammar_of(schema, limits);
    return grammar.ok() ? "accepted" : grammar.error().message;
  };
  EXPECT_EQ(message(R"({"prefixItems": [{},{},{},{},{},{},{},{},{}]})"), "accepted");
  EXPECT_THAT(message(R"({"prefixItems": [{},{},{},{},{},{},{},{},{},{}]})"), HasSubstr("more than 10 schemas"));
  EXPECT_THAT(message(R"({"anyOf": [{},{},{},{},{}]})"), HasSubstr("more than 4 alternatives"));
  EXPECT_THAT(message(R"({"properties": {"a":{},"b":{},"c":{},"d":{},"e":{}}})"), HasSubstr("more than 4 properties"));
  EXPECT_THAT(message(R"({"required": ["a","b","c","d","e","f","g","h","i"]})"), HasSubstr("more than 4 properties"));
  std::string deep = "{}";
  for (int i = 0; i < 8; ++i) deep = R"({"properties": {"a": )" + deep + "}}";
  limits.max_schemas = 100;
  EXPECT_THAT(message(deep), HasSubstr("deeper than 5 levels"));
  limits.max_alternatives = 100;
  EXPECT_THAT(message(R"({"allOf": [{"anyOf": [{"title": "x"},{},{},{},{},{},{},{},{},{}]},
                                   {"anyOf": [{},{},{},{},{},{},{},{},{},{},{}]}]})"),
              HasSubstr("more than 100 alternatives, multiplied out"));
  const std::string long_name(2000, 'a');
  EXPECT_THAT(message(R"({"allOf": [{"required": [")" + long_name + R"("]}, {}]})"), HasSubstr("more than 2000 bytes"));
}

TEST(JsonSchema, NamesBesideFreeKeysTakeFewStates) {
  const std::string name(120, 'a');
  const auto grammar = grammar_of(R"({"required": [")" + name + R"("]})");
  ASSERT_TRUE(grammar.ok()) << grammar.error().message;
  EXPECT_LT((*grammar)->automaton().states(), 1500u);
  EXPECT_TRUE(accepts(*grammar, "{\"" + name + "\":1,\"" + name + "a\":2,\"aa\":3}"));
  EXPECT_FALSE(accepts(*grammar, "{\"" + name + "\":1,\"" + name + "\":2}"));
}

TEST(JsonSchema, ManyPropertiesAndValues) {
  Json schema = {{"type", "object"}, {"properties", Json::object()}};
  Json values = Json::array();
  for (int i = 0; i < 3000; ++i) values.push_back("value " + std::to_string(i));
  for (int i = 0; i < 400; ++i) schema["properties"]["property" + std::to_string(i)] = {{"enum", values[i]}};
  for (int i = 0; i < 400; ++i)
    schema["properties"]["property" + std::to_string(i)] = {{"enum", Json::array({values[i]})}};
  const auto grammar = json_schema_grammar(schema, "schema");
  ASSERT_TRUE(grammar.ok()) << grammar.error().message;
  EXPECT_TRUE(accepts(*grammar, R"({"property3": "value 3", "property399": "value 399"})"));
  EXPECT_FALSE(accepts(*grammar, R"({"property399": "value 399", "property3": "value 3"})"));
  const auto choice = json_schema_grammar({{"enum", values}}, "schema");
  ASSERT_TRUE(choice.ok()) << choice.error().message;
  EXPECT_TRUE(accepts(*choice, "\"value 2999\""));
  EXPECT_FALSE(accepts(*choice, "\"value 3000\""));
}

}  // namespace
}  // namespace nibble
