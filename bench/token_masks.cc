// nibble-token-masks MODEL: a developer's program for measuring constrained decoding with a model's vocabulary (a GGUF
// file, a tokenizer-only one too, or a folder). For grammars and a document of each it prints how long a mask takes: in
// microseconds, the first time a grammar is used (cold: all that is found out is found out now) and once more (warm).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "model/text_assets.h"
#include "text/grammar/grammar_state.h"
#include "text/grammar/json_schema.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

struct Example {
  const char* name;
  const char* schema;
  std::string document;
};

std::vector<Example> examples() {
  const std::string prose =
      "The quick brown fox, who had not slept since Tuesday, jumped over 13 lazy dogs; gr\xC3\xBC\xC3\x9F"
      "e to \xE4\xB8\x96\xE7\x95\x8C and to everyone else who reads what machines write for other machines.";
  return {
      {"object of anything", R"({"type": "object"})",
       "{\n  \"title\": \"" + prose + "\",\n  \"list\": [1, 2.5, -3e2, true, null, {\"deep\": [[\"" + prose +
           "\"]]}],\n  \"end\": {}\n}"},
      {"contact",
       R"({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0,
          "maximum": 150}, "kind": {"enum": ["person", "company", "robot"]}, "notes": {"type": "array", "items":
          {"type": "string"}}, "email": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
          "required": ["name", "age", "kind"], "additionalProperties": false})",
       R"({"name": "Ada Lovelace", "age": 36, "kind": "person", "notes": [")" + prose +
           R"(", "second"], "email": null})"},
      {"string of 10 to 2000", R"({"type": "string", "minLength": 10, "maxLength": 2000})",
       "\"" + prose + prose + "\""},
      {"pattern", R"({"pattern": "^[A-Za-z ]{1,80}: (\\d{3}-)*\\d{4}( ext\\. \\w+)?$"})",
       "\"Telephone number of the office: 555-555-1234 ext. reception\""},
      {"date-time", R"({"format": "date-time"})", "\"2024-02-29T23:59:59.123+01:00\""},
  };
}

struct Times {
  std::vector<double> masks;
  double accept = 0;
};

Result<Times> decode(const std::shared_ptr<GrammarMatcher>& matcher, const std::vector<std::int32_t>& ids) {
  Times out;
  GrammarState state(matcher);
  std::vector<std::uint64_t> bitmask((matcher->trie().vocab_size() + 63) / 64);
  for (const std::int32_t id : ids) {
    const auto start = Clock::now();
    NIBBLE_TRY_STATUS(state.allowed(bitmask));
    out.masks.push_back(microseconds_since(start));
    const auto at = static_cast<std::uint32_t>(id);
    if (((bitmask[at / 64] >> (at % 64)) & 1U) == 0)
      return fail(ErrorCode::kInternal, "token {} of the document is not allowed", id);
    const auto accept = Clock::now();
    NIBBLE_TRY_STATUS(state.accept(id));
    out.accept += microseconds_since(accept);
  }
  if (!state.may_end()) return fail(ErrorCode::kInternal, "the document does not end the grammar's text");
  std::sort(out.masks.begin(), out.masks.end());
  return out;
}

void print(const char* name, const char* pass, const Times& times) {
  const auto& masks = times.masks;
  std::printf("%-22s %-5s %5zu %9.1f %9.1f %9.1f %9.2f\n", name, pass, masks.size(), masks[masks.size() / 2],
              masks[masks.size() * 9 / 10], masks.back(), times.accept / static_cast<double>(masks.size()));
}

Status run(const std::string& path) {
  NIBBLE_TRY(const auto checkpoint, Checkpoint::open(path));
  NIBBLE_TRY(TextAssets assets, read_text_assets(*checkpoint));
  NIBBLE_TRY(const auto tokenizer, Tokenizer::create(std::move(assets.tokenizer)));
  const auto start = Clock::now();
  const auto trie = TokenTrie::of(*tokenizer);
  std::printf("%d tokens, %zu nodes, built in %.1f ms\n", tokenizer->vocab_size(), trie->nodes().size() - 2,
              microseconds_since(start) / 1000);
  std::printf("%-22s %-5s %5s %9s %9s %9s %9s\n", "grammar", "", "masks", "median us", "p90 us", "max us", "accept us");
  for (const Example& example : examples()) {
    const auto compile = Clock::now();
    NIBBLE_TRY(const Json schema, parse_untrusted(example.schema, example.name));
    NIBBLE_TRY(const auto grammar, json_schema_grammar(schema, example.name));
    const double compile_us = microseconds_since(compile);
    const auto matcher = std::make_shared<GrammarMatcher>(grammar, trie);
    NIBBLE_TRY(const auto ids, tokenizer->encode(example.document, {.add_special = false, .parse_special = false}));
    NIBBLE_TRY(const Times cold, decode(matcher, ids));
    NIBBLE_TRY(const Times warm, decode(matcher, ids));
    print(example.name, "cold", cold);
    print(example.name, "warm", warm);
    std::printf("%22s compiled in %.0f us: %zu states; %.1f MB found out\n", "", compile_us,
                grammar->automaton().states(), static_cast<double>(matcher->memory_bytes()) / 1e6);
  }
  return {};
}

}  // namespace
}  // namespace nibble

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: nibble-token-masks MODEL\n");
    return 2;
  }
  const nibble::Status status = nibble::run(argv[1]);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.error().message.c_str());
  return status.ok() ? 0 : 1;
}
