// Rewrites Oniguruma's syntax to PCRE2's where the two differ. Works left to right, one construct at a time.
#include <array>

#include "base/utf8.h"
#include "text/regex.h"

namespace nibble {
namespace {

constexpr std::size_t kMaxPatternBytes = 64 << 10;

// Items for the inside of a class. PCRE2's own \s has U+180E, its \w lacks marks; both vary with its version.
constexpr std::string_view kSpaceItems =
    R"(\x{09}-\x{0d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNotSpaceItems =
    R"(\x{00}-\x{08}\x{0e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";
constexpr std::string_view kWordItems =
    R"(\p{L}\p{M}\p{Nl}\p{Nd}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";

// The scripts that tokenizers name; \p{Name} in PCRE2 would mean Script_Extensions.
constexpr std::array<std::string_view, 26> kScripts = {
    "Han",     "Hiragana",  "Katakana", "Hangul",   "Thai",     "Lao",     "Khmer",    "Myanmar", "Latin",
    "Greek",   "Cyrillic",  "Arabic",   "Hebrew",   "Armenian", "Bengali", "Tamil",    "Telugu",  "Devanagari",
    "Kannada", "Malayalam", "Gujarati", "Gurmukhi", "Sinhala",  "Tibetan", "Georgian", "Ethiopic"};

class Translator {
 public:
  Translator(std::string_view pattern, std::string_view what) : in_(pattern), what_(what) {}

  Result<std::string> run() {
    if (in_.size() > kMaxPatternBytes)
      return fail(ErrorCode::kUnsupported, "{}: a pattern of {} bytes, the limit is {}", what_, in_.size(),
                  kMaxPatternBytes);
    if (!is_utf8(in_)) return fail(ErrorCode::kCorrupt, "{}: a pattern that is not UTF-8", what_);
    while (at_ < in_.size()) NIBBLE_TRY_STATUS(in_class_ ? class_item() : item());
    return std::move(out_);
  }

 private:
  char peek(std::size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }

  Error refuse(std::string_view construct) const {
    return fail(ErrorCode::kUnsupported, "{}: the pattern \"{}\" uses {} (byte {}), which is not supported", what_, in_,
                construct, at_);
  }

  /// Copies `count` bytes as one atom, to which a following quantifier belongs.
  Status atom(std::size_t count) {
    atom_start_ = out_.size();
    out_.append(in_.substr(at_, count));
    at_ += count;
    return {};
  }

  Status replace_atom(std::size_t count, std::string_view text) {
    atom_start_ = out_.size();
    out_.append(text);
    at_ += count;
    return {};
  }

  Status item() {
    switch (peek()) {
      case '\\':
        return escape();
      case '[':
        atom_start_ = out_.size();
        in_class_ = true;
        class_first_ = true;
        out_ += '[';
        ++at_;
        if (peek() == '^') {
          out_ += '^';
          ++at_;
        }
        return {};
      case '(':
        if (in_.substr(at_, 3) == "(?~") return refuse("an absence operator");
        if (in_.substr(at_, 2) == "(?" && peek(2) == '(') return refuse("a conditional");
        groups_.push_back(out_.size());
        return copy(1);
      case ')':
        if (!groups_.empty()) {
          atom_start_ = groups_.back();
          groups_.pop_back();
        }
        return copy(1);
      case '{':
        return interval();
      case '*':
      case '+':
      case '?':
      case '|':
      case '^':
      case '$':
        return copy(1);
      default:
        return atom(utf8_at(in_, at_).bytes);
    }
  }

  Status copy(std::size_t count) {
    out_.append(in_.substr(at_, count));
    at_ += count;
    return {};
  }

  /// {n}, {n,}, {n,m} and {,m}. In Ruby's syntax a + after it repeats, while PCRE2 would read it as possessive.
  Status interval() {
    const std::size_t close = in_.find('}', at_);
    const std::string_view body = close == std::string_view::npos ? "" : in_.substr(at_ + 1, close - at_ - 1);
    if (body.empty() || body == "," || body.find_first_not_of("0123456789,") != std::string_view::npos)
      return replace_atom(1, "\\{");
    std::string interval = body.front() == ',' ? "{0" : "{";
    interval.append(body).append("}");
    at_ = close + 1;
    if (peek() == '+') {
      out_.insert(atom_start_, "(?:");
      interval += ")+";
      ++at_;
    }
    out_ += interval;
    return {};
  }

  Status escape() {
    switch (peek(1)) {
      case 's':
        return replace_atom(2, std::string("[").append(kSpaceItems) + "]");
      case 'S':
        return replace_atom(2, std::string("[^").append(kSpaceItems) + "]");
      case 'w':
        return replace_atom(2, std::string("[").append(kWordItems) + "]");
      case 'W':
        return replace_atom(2, std::string("[^").append(kWordItems) + "]");
      case 'b':
      case 'B': {
        const std::string word = std::string("[").append(kWordItems) + "]";
        return replace_atom(2, peek(1) == 'b'
                                   ? "(?:(?<=" + word + ")(?!" + word + ")|(?<!" + word + ")(?=" + word + "))"
                                   : "(?:(?<=" + word + ")(?=" + word + ")|(?<!" + word + ")(?!" + word + "))");
      }
      case 'g':
      case 'y':
      case 'Y':
        return refuse("a subexpression call or text segment boundary");
      default:
        return common_escape();
    }
  }

  /// Escapes that mean the same inside and outside of a class.
  Status common_escape() {
    switch (peek(1)) {
      case 'd':
        return replace_atom(2, "\\p{Nd}");
      case 'D':
        return replace_atom(2, "\\P{Nd}");
      case 'h':
        return in_class_ ? replace_atom(2, "0-9a-fA-F") : replace_atom(2, "[0-9a-fA-F]");
      case 'u': {
        const std::string_view digits = in_.substr(at_ + 2, 4);
        if (digits.size() < 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
          return refuse("\\u without four hexadecimal digits");
        return replace_atom(6, "\\x{" + std::string(digits) + "}");
      }
      case 'p':
      case 'P':
        return property();
      case '\0':
        return refuse("a backslash at its end");
      default:
        return atom(1 + utf8_at(in_, at_ + 1).bytes);
    }
  }

  Status property() {
    const std::size_t close = in_.find('}', at_);
    if (peek(2) != '{' || close == std::string_view::npos) return refuse("a property without braces");
    std::string_view name = in_.substr(at_ + 3, close - at_ - 3);
    bool negated = peek(1) == 'P';
    if (!name.empty() && name.front() == '^') {
      negated = !negated;
      name.remove_prefix(1);
    }
    std::string text = negated ? "\\P{" : "\\p{";
    for (std::string_view script : kScripts)
      if (script == name) text += "sc:";
    return replace_atom(close + 1 - at_, text.append(name) + "}");
  }

  Status class_item() {
    const bool first = std::exchange(class_first_, false);
    const std::size_t start = atom_start_;  // the whole class stays the atom
    Status status;
    if (peek() == '\\') {
      status = class_escape();
    } else if (peek() == ']' && !first) {
      in_class_ = false;
      status = copy(1);
    } else if (in_.substr(at_, 2) == "[:" && in_.find(":]", at_) != std::string_view::npos) {
      status = copy(in_.find(":]", at_) + 2 - at_);
    } else if (peek() == '[') {
      status = refuse("a character class inside a character class");
    } else if (in_.substr(at_, 2) == "&&") {
      status = refuse("the intersection of character classes (&&)");
    } else {
      status = copy(utf8_at(in_, at_).bytes);
    }
    atom_start_ = start;
    return status;
  }

  Status class_escape() {
    switch (peek(1)) {
      case 's':
        return replace_atom(2, kSpaceItems);
      case 'S':
        return replace_atom(2, kNotSpaceItems);
      case 'w':
        return replace_atom(2, kWordItems);
      case 'W':
        return refuse("\\W inside a character class");
      default:
        return common_escape();
    }
  }

  std::string_view in_;
  std::string_view what_;
  std::size_t at_ = 0;
  std::string out_;
  bool in_class_ = false;
  bool class_first_ = false;
  std::size_t atom_start_ = 0;
  std::vector<std::size_t> groups_;
};

}  // namespace

Result<std::string> translate_oniguruma(std::string_view pattern, std::string_view what) {
  return Translator(pattern, what).run();
}

std::string escape_for_regex(std::string_view literal) {
  std::string out;
  for (char c : literal) {
    if (std::string_view("\\^$.|?*+()[]{}/-#&~").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace nibble
