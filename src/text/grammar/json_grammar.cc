#include "text/grammar/json_grammar.h"

#include <algorithm>
#include <string>

#include "base/utf8.h"

namespace nibble {
namespace {

using Expression = JsonGrammar::Expression;

constexpr std::uint64_t kMaxIndent = 20;
constexpr std::uint64_t kMaxNumberDigits = 16;
constexpr std::uint64_t kMaxIntegerDigits = 18;

std::vector<CodePointRange> unescaped() { return complement({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}); }

/// How json.dumps escapes what must be escaped.
std::string escape_of(char32_t code) {
  switch (code) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return fmt::format("\\u{:04x}", static_cast<unsigned>(code));
  }
}

bool must_be_escaped(char32_t code) { return code < 0x20 || code == '"' || code == '\\'; }

}  // namespace

Expression JsonGrammar::white_space() {
  if (!white_space_) {
    white_space_ = builder_.declare("white space");
    const Expression indent = builder_.repeat(builder_.characters({{' ', ' '}, {'\t', '\t'}}), 0, kMaxIndent);
    const Expression line = builder_.sequence({builder_.text("\n"), indent});
    builder_.define(*white_space_, builder_.choice({builder_.empty(), builder_.text(" "), line}));
  }
  return builder_.call(*white_space_);
}

Expression JsonGrammar::any_value() {
  if (!value_) {
    value_ = builder_.declare("value");
    builder_.define(*value_, builder_.choice({any_object(), any_array(), any_string(), any_number(), literal("true"),
                                              literal("false"), literal("null")}));
  }
  return builder_.call(*value_);
}

Expression JsonGrammar::any_object() {
  if (!object_) {
    object_ = builder_.declare("object");
    const Expression member = builder_.sequence({any_string(), literal(":"), white_space(), any_value()});
    const Expression more = builder_.repeat(builder_.sequence({literal(","), white_space(), member}), 0, {});
    const Expression members = builder_.sequence({member, more, white_space()});
    builder_.define(*object_,
                    builder_.sequence({literal("{"), white_space(), builder_.optional(members), literal("}")}));
  }
  return builder_.call(*object_);
}

Expression JsonGrammar::any_array() {
  if (!array_) {
    array_ = builder_.declare("array");
    builder_.define(*array_, array({}, any_value(), 0, {}));
  }
  return builder_.call(*array_);
}

Expression JsonGrammar::array(std::vector<Expression> first, std::optional<Expression> rest, std::uint64_t min,
                              std::optional<std::uint64_t> max) {
  if (max && first.size() > *max) first.resize(*max);
  if (!rest && min > first.size()) return builder_.nothing();
  const std::size_t listed = first.size();
  std::vector<Expression> parts = {literal("["), white_space()};
  for (std::size_t i = 0; i < listed; ++i) {
    if (i > 0) parts.insert(parts.end(), {literal(","), white_space()});
    parts.push_back(first[i]);
  }
  if (rest && (!max || *max > listed)) {
    const std::uint64_t least = min > listed ? min - listed : 0;
    const auto most = max ? std::optional<std::uint64_t>(*max - listed) : std::nullopt;
    const Expression next = builder_.sequence({literal(","), white_space(), *rest});
    if (listed > 0) {
      parts.push_back(builder_.repeat(next, least, most));
    } else {
      const auto after_first = most ? std::optional<std::uint64_t>(*most - 1) : std::nullopt;
      const Expression items =
          builder_.sequence({*rest, builder_.repeat(next, least > 0 ? least - 1 : 0, after_first), white_space()});
      parts.push_back(least > 0 ? items : builder_.optional(items));
    }
  }
  if (listed > 0) parts.push_back(white_space());
  parts.push_back(literal("]"));
  return builder_.sequence(std::move(parts));
}

Expression JsonGrammar::any_string() {
  if (!string_) {
    string_ = builder_.declare("string");
    builder_.define(*string_,
                    builder_.sequence({literal("\""), builder_.repeat(string_character(), 0, {}), literal("\"")}));
  }
  return builder_.call(*string_);
}

Expression JsonGrammar::string(std::uint64_t min, std::optional<std::uint64_t> max) {
  if (min == 0 && !max) return any_string();
  return builder_.as_rule(
      "string of bounded length",
      builder_.sequence({literal("\""), builder_.repeat(string_character(), min, max), literal("\"")}));
}

// What is common has edges of its own; the rest is a rule, so that a string of n characters needs n states.
Expression JsonGrammar::string_character() {
  if (!rare_character_) {
    rare_character_ = builder_.declare("character");
    const auto hex = [&](std::string_view text) {
      std::vector<CodePointRange> ranges;
      for (const char c : text) {
        const auto code = static_cast<char32_t>(c);
        ranges.push_back({code, code});
        if (c >= 'a') ranges.push_back({code - 32, code - 32});
      }
      return builder_.characters(std::move(ranges));
    };
    const Expression any = hex("0123456789abcdef");
    const Expression not_surrogate = builder_.choice({builder_.sequence({hex("0123456789abcef"), any, any, any}),
                                                      builder_.sequence({hex("d"), hex("01234567"), any, any})});
    const Expression pair =
        builder_.sequence({hex("d"), hex("89ab"), any, any, literal("\\u"), hex("d"), hex("cdef"), any, any});
    const Expression escape = builder_.sequence(
        {literal("\\"),
         builder_.choice(
             {builder_.characters(
                  {{'"', '"'}, {'\\', '\\'}, {'/', '/'}, {'b', 'b'}, {'f', 'f'}, {'n', 'n'}, {'r', 'r'}, {'t', 't'}}),
              builder_.sequence({literal("u"), builder_.choice({not_surrogate, pair})})})});
    builder_.define(*rare_character_, builder_.choice({escape, builder_.characters({{0x80, 0x10FFFF}})}));
  }
  std::vector<CodePointRange> common = unescaped();
  for (CodePointRange& range : common) range.last = std::min<char32_t>(range.last, 0x7F);
  common.erase(std::remove_if(common.begin(), common.end(), [](const auto& r) { return r.first > r.last; }),
               common.end());
  return builder_.choice({builder_.characters(std::move(common)), builder_.call(*rare_character_)});
}

Expression JsonGrammar::string_content(std::string_view text) {
  std::string spelled;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_at(text, at);
    if (must_be_escaped(step.code)) {
      spelled += escape_of(step.code);
    } else {
      append_utf8(spelled, step.code);
    }
    at += step.bytes;
  }
  return builder_.text(spelled);
}

Expression JsonGrammar::string_characters(std::vector<CodePointRange> ranges) {
  std::vector<Expression> choices;
  std::vector<CodePointRange> plain;
  for (const CodePointRange& range : normalized_ranges(std::move(ranges))) {
    for (char32_t code = range.first; code <= std::min<char32_t>(range.last, '\\'); ++code)
      if (must_be_escaped(code)) choices.push_back(builder_.text(escape_of(code)));
    CodePointRange rest = range;  // cut at what must be escaped
    for (const CodePointRange& allowed : unescaped()) {
      const CodePointRange cut = {std::max(rest.first, allowed.first), std::min(rest.last, allowed.last)};
      if (cut.first <= cut.last) plain.push_back(cut);
    }
  }
  choices.push_back(builder_.characters(std::move(plain)));
  return builder_.choice(std::move(choices));
}

Expression JsonGrammar::key_besides(std::vector<std::string_view> names) {
  std::vector<std::u32string> codes;
  for (const std::string_view name : names) {
    std::u32string code;
    for (std::size_t at = 0; at < name.size();) {
      const Utf8Step step = utf8_at(name, at);
      code.push_back(step.code);
      at += step.bytes;
    }
    codes.push_back(std::move(code));
  }
  std::sort(codes.begin(), codes.end());
  codes.erase(std::unique(codes.begin(), codes.end()), codes.end());
  return builder_.as_rule("key", builder_.sequence({literal("\""), key_rest(codes, 0, codes.size(), 0)}));
}

// What a key that is no listed one goes on with, up to its closing quote, is the same behind each character of the
// names: rules, so that a character of a name needs a few states and not all of UTF-8.
Expression JsonGrammar::free_key_end() {
  if (!free_key_end_) {
    free_key_end_ = builder_.declare("rest of a key");
    builder_.define(*free_key_end_,
                    builder_.sequence({builder_.repeat(string_characters(unescaped()), 0, {}), literal("\"")}));
  }
  return builder_.call(*free_key_end_);
}

/// A character that is not among `taken`, then anything.
Expression JsonGrammar::other_key_end(std::vector<CodePointRange> taken) {
  const CodePointRange beyond_ascii = {0x80, 0x10FFFF};
  const bool is_ascii =
      std::all_of(taken.begin(), taken.end(), [](const CodePointRange& range) { return range.last < 0x80; });
  if (!is_ascii) return builder_.sequence({builder_.characters(complement(std::move(taken))), free_key_end()});
  if (!wide_key_end_) {
    wide_key_end_ = builder_.declare("rest of a key, not ASCII");
    builder_.define(*wide_key_end_, builder_.sequence({builder_.characters({beyond_ascii}), free_key_end()}));
  }
  taken.push_back(beyond_ascii);
  return builder_.choice({builder_.sequence({builder_.characters(complement(std::move(taken))), free_key_end()}),
                          builder_.call(*wide_key_end_)});
}

/// What may follow the first `at` characters, which names[begin, end) share, up to the closing quote.
Expression JsonGrammar::key_rest(const std::vector<std::u32string>& names, std::size_t begin, std::size_t end,
                                 std::size_t at) {
  if (begin == end) return free_key_end();
  std::vector<Expression> choices;
  if (names[begin].size() == at) {
    ++begin;  // this name itself must go on
  } else {
    choices.push_back(literal("\""));
  }
  std::vector<CodePointRange> taken = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
  while (begin < end) {
    const char32_t code = names[begin][at];
    std::size_t next = begin + 1;
    while (next < end && names[next][at] == code) ++next;
    if (!must_be_escaped(code))
      choices.push_back(builder_.sequence({builder_.characters({{code, code}}), key_rest(names, begin, next, at + 1)}));
    taken.push_back({code, code});
    begin = next;
  }
  choices.push_back(other_key_end(std::move(taken)));
  return builder_.choice(std::move(choices));
}

Expression JsonGrammar::digits(std::uint64_t min, std::uint64_t max) {
  return builder_.repeat(builder_.bytes('0', '9'), min, max);
}

Expression JsonGrammar::any_number() {
  if (!number_) {
    number_ = builder_.declare("number");
    const Expression whole =
        builder_.choice({literal("0"), builder_.sequence({builder_.bytes('1', '9'), digits(0, kMaxNumberDigits - 1)})});
    const Expression fraction = builder_.sequence({literal("."), digits(1, kMaxNumberDigits)});
    const Expression exponent =
        builder_.sequence({builder_.choice({literal("e"), literal("E")}),
                           builder_.choice({builder_.empty(), literal("+"), literal("-")}), digits(1, 2)});
    builder_.define(*number_, builder_.sequence({builder_.optional(literal("-")), whole, builder_.optional(fraction),
                                                 builder_.optional(exponent)}));
  }
  return builder_.call(*number_);
}

Expression JsonGrammar::any_integer() {
  return builder_.sequence({builder_.optional(literal("-")),
                            builder_.choice({literal("0"), builder_.sequence({builder_.bytes('1', '9'),
                                                                              digits(0, kMaxIntegerDigits - 1)})})});
}

Result<std::shared_ptr<const Grammar>> json_object_grammar(const GrammarLimits& limits) {
  GrammarBuilder builder(limits);
  JsonGrammar json(builder);
  const auto root = builder.declare("root");
  builder.define(root, json.any_object());
  return builder.build(root);
}

}  // namespace nibble
