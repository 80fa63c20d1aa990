#include "text/grammar/string_pattern.h"

#include <string>

#include "base/utf8.h"

namespace nibble {
namespace {

using Expression = JsonGrammar::Expression;
using Ranges = std::vector<CodePointRange>;

constexpr int kMaxGroups = 40;  // within each other
constexpr std::uint64_t kMaxCount = 100'000;

const Ranges kDigits = {{'0', '9'}};
const Ranges kWord = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const Ranges kSpace = {{0x09, 0x0D},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
                       {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
const Ranges kLineEnds = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
constexpr std::string_view kSyntax = "^$\\.*+?()[]{}|/-";

class PatternParser {
 public:
  PatternParser(JsonGrammar& json, std::string_view text) : json_(json), builder_(json.builder()), text_(text) {}

  /// The whole text, without anchors.
  Result<Expression> parse() {
    NIBBLE_TRY(const Expression out, alternatives(0));
    if (at_ < text_.size()) return wrong("this ends a group that was not begun");
    return out;
  }

  Result<Expression> parse_anchored() {
    // An odd number of backslashes before the last $ would make it a literal.
    std::size_t slashes = 0;
    while (slashes + 2 <= text_.size() && text_[text_.size() - 2 - slashes] == '\\') ++slashes;
    if (text_.size() < 2 || text_.front() != '^' || text_.back() != '$' || slashes % 2 == 1)
      return fail(ErrorCode::kUnsupported, "pattern \"{}\": only patterns of the whole string are supported: ^...$",
                  printable(text_));
    text_.remove_suffix(1);
    at_ = 1;
    top_level_alternatives_ = false;
    return parse();
  }

 private:
  bool done() const { return at_ >= text_.size(); }
  char peek() const { return text_[at_]; }
  bool take(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) return false;
    at_ += expected.size();
    return true;
  }
  Error wrong(std::string_view finding) const {
    return fail(ErrorCode::kInvalidArgument, "pattern \"{}\": byte {}: {}", printable(text_), at_, finding);
  }
  Error unsupported(std::string_view finding) const {
    return fail(ErrorCode::kUnsupported, "pattern \"{}\": byte {}: {}", printable(text_), at_, finding);
  }

  Result<Expression> alternatives(int depth) {
    if (depth > kMaxGroups) return unsupported("groups nested too deep");
    std::vector<Expression> choices;
    for (;;) {
      NIBBLE_TRY(const Expression part, terms(depth));
      choices.push_back(part);
      if (done() || peek() != '|') break;
      if (depth == 0 && !top_level_alternatives_)
        return unsupported("^a|b$ anchors its alternatives at one side only; write ^(a|b)$");
      ++at_;
    }
    return builder_.choice(std::move(choices));
  }

  Result<Expression> terms(int depth) {
    std::vector<Expression> parts;
    while (!done() && peek() != '|' && peek() != ')') {
      NIBBLE_TRY(const Expression part, atom(depth));
      NIBBLE_TRY(const Expression repeated, quantified(part));
      parts.push_back(repeated);
    }
    return builder_.sequence(std::move(parts));
  }

  Result<Expression> atom(int depth) {
    const char c = peek();
    if (c == '(') return group(depth);
    if (c == '[') return bracket();
    if (c == '.') {
      ++at_;
      return json_.string_characters(complement(kLineEnds));
    }
    if (c == '^' || c == '$') return unsupported("anchors are supported at both ends only");
    if (c == '*' || c == '+' || c == '?' || c == '{') return wrong("nothing to repeat");
    if (c == ']' || c == '}') return wrong("must be escaped");
    NIBBLE_TRY(Ranges ranges, character(false));
    return json_.string_characters(std::move(ranges));
  }

  Result<Expression> group(int depth) {
    if (!take("(?:")) {
      if (text_.substr(at_, 2) == "(?") return unsupported("only the groups (...) and (?:...) are supported");
      ++at_;
    }
    NIBBLE_TRY(const Expression inside, alternatives(depth + 1));
    if (!take(")")) return wrong("expected ')'");
    return inside;
  }

  Result<Expression> quantified(Expression part) {
    if (done()) return part;
    std::uint64_t min = 0;
    std::optional<std::uint64_t> max;
    if (take("*")) {
    } else if (take("+")) {
      min = 1;
    } else if (take("?")) {
      max = 1;
    } else if (take("{")) {
      NIBBLE_TRY(min, number());
      max = min;
      if (take(",")) {
        max.reset();
        if (!done() && peek() != '}') {
          NIBBLE_TRY(max, number());
        }
      }
      if (!take("}")) return wrong("expected '}'");
      if (max && *max < min) return wrong("the counts are the wrong way round");
    } else {
      return part;
    }
    take("?");  // lazy: the same strings
    if (!done() && (peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{'))
      return wrong("nothing to repeat");
    return builder_.repeat(part, min, max);
  }

  Result<std::uint64_t> number() {
    std::uint64_t value = 0;
    const std::size_t begin = at_;
    for (; !done() && peek() >= '0' && peek() <= '9'; ++at_) {
      value = value * 10 + static_cast<std::uint64_t>(peek() - '0');
      if (value > kMaxCount) return unsupported(fmt::format("counts are supported up to {}", kMaxCount));
    }
    if (at_ == begin) return wrong("expected a count");
    return value;
  }

  Result<Expression> bracket() {
    ++at_;
    const bool negated = take("^");
    Ranges ranges;
    while (!done() && peek() != ']') {
      NIBBLE_TRY(const Ranges first, character(true));
      const bool is_range = at_ + 1 < text_.size() && peek() == '-' && text_[at_ + 1] != ']';
      if (!is_range) {
        ranges.insert(ranges.end(), first.begin(), first.end());
        continue;
      }
      ++at_;
      NIBBLE_TRY(const Ranges last, character(true));
      if (!is_one(first) || !is_one(last)) return wrong("a range between classes");
      if (first[0].first > last[0].first) return wrong("a range in the wrong order");
      ranges.push_back({first[0].first, last[0].first});
    }
    if (!take("]")) return wrong("expected ']'");
    return json_.string_characters(negated ? complement(std::move(ranges)) : std::move(ranges));
  }

  static bool is_one(const Ranges& ranges) { return ranges.size() == 1 && ranges[0].first == ranges[0].last; }

  /// One character or escape, as the characters that it stands for.
  Result<Ranges> character(bool in_brackets) {
    if (peek() == '\\') return escape(in_brackets);
    const Utf8Step step = utf8_at(text_, at_);
    at_ += step.bytes;
    return Ranges{{step.code, step.code}};
  }

  Result<Ranges> escape(bool in_brackets) {
    ++at_;
    if (done()) return wrong("an escape without a character");
    const char c = text_[at_];
    const auto one = [&](char32_t code) {
      ++at_;
      return Ranges{{code, code}};
    };
    const auto set = [&](Ranges ranges) {
      ++at_;
      return ranges;
    };
    switch (c) {
      case 'd':
        return set(kDigits);
      case 'D':
        return set(complement(kDigits));
      case 'w':
        return set(kWord);
      case 'W':
        return set(complement(kWord));
      case 's':
        return set(kSpace);
      case 'S':
        return set(complement(kSpace));
      case 't':
        return one('\t');
      case 'n':
        return one('\n');
      case 'v':
        return one('\v');
      case 'f':
        return one('\f');
      case 'r':
        return one('\r');
      case 'x':
        return hex(2);
      case 'u':
        return hex(4);
      case 'b':
        if (in_brackets) return one('\b');
        break;
      default:
        if (kSyntax.find(c) != std::string_view::npos) return one(static_cast<unsigned char>(c));
    }
    return unsupported(fmt::format("the escape \\{} is not supported", printable(text_.substr(at_, 1))));
  }

  Result<Ranges> hex(std::size_t digits) {
    ++at_;
    char32_t code = 0;
    for (std::size_t i = 0; i < digits; ++i, ++at_) {
      const char c = done() ? ' ' : peek();
      const char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c;
      if (lower >= '0' && lower <= '9') {
        code = code * 16 + static_cast<char32_t>(lower - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        code = code * 16 + static_cast<char32_t>(lower - 'a' + 10);
      } else {
        return wrong(fmt::format("expected {} hexadecimal digits", digits));
      }
    }
    if (code >= 0xD800 && code <= 0xDFFF)
      return unsupported("surrogates are not supported; write the character itself");
    return Ranges{{code, code}};
  }

  JsonGrammar& json_;
  GrammarBuilder& builder_;
  std::string_view text_;
  std::size_t at_ = 0;
  bool top_level_alternatives_ = true;
};

struct StringFormat {
  std::string_view name;
  std::string_view pattern;
};

#define NIBBLE_FULL_DATE                                                                    \
  "([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|" \
  "02-(0[1-9]|1[0-9]|2[0-8]))|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"
#define NIBBLE_FULL_TIME \
  "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+\\-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define NIBBLE_LABEL "[A-Za-z0-9]([A-Za-z0-9\\-]{0,61}[A-Za-z0-9])?"
#define NIBBLE_OCTET "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"

/// RFC 3339, 4122, 1123, 2673 and 5321, without rare forms: leap seconds, quoted names, "::" in IPv6 addresses.
constexpr StringFormat kFormats[] = {
    {"date", NIBBLE_FULL_DATE},
    {"time", NIBBLE_FULL_TIME},
    {"date-time", NIBBLE_FULL_DATE "T" NIBBLE_FULL_TIME},
    {"uuid", "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"},
    {"ipv4", NIBBLE_OCTET "(\\." NIBBLE_OCTET "){3}"},
    {"ipv6", "[0-9a-fA-F]{1,4}(:[0-9a-fA-F]{1,4}){7}"},
    {"hostname", NIBBLE_LABEL "(\\." NIBBLE_LABEL "){0,3}"},
    {"email", "[A-Za-z0-9_+\\-]{1,32}(\\.[A-Za-z0-9_+\\-]{1,15}){0,2}@" NIBBLE_LABEL "(\\." NIBBLE_LABEL "){1,3}"},
};

}  // namespace

Result<Expression> pattern_expression(JsonGrammar& json, std::string_view pattern) {
  return PatternParser(json, pattern).parse_anchored();
}

std::vector<std::string_view> known_string_formats() {
  std::vector<std::string_view> out;
  for (const StringFormat& format : kFormats) out.push_back(format.name);
  return out;
}

Result<Expression> format_expression(JsonGrammar& json, std::string_view format) {
  for (const StringFormat& known : kFormats)
    if (known.name == format) return PatternParser(json, known.pattern).parse();
  return fail(ErrorCode::kUnsupported, "the format \"{}\" is not supported; supported are {}", printable(format),
              fmt::join(known_string_formats(), ", "));
}

}  // namespace nibble
