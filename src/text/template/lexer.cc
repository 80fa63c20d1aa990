#include <algorithm>

#include "text/template/number_text.h"
#include "text/template/python_text.h"
#include "text/template/token.h"

namespace nibble::jinja {
namespace {

/// All line ends become \n, and the last one goes.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_digit_char(char c) { return c >= '0' && c <= '9'; }
bool is_hex_char(char c) { return is_digit_char(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

class Lexer {
 public:
  Lexer(std::string_view source, std::string_view name) : source_(normalized(source)), name_(name) {}

  Result<std::vector<Token>> run() {
    while (position_ < source_.size()) NIBBLE_TRY_STATUS(read_outside());
    add(TokenKind::kEnd, position_, "");
    return std::move(tokens_);
  }

 private:
  // ---- text outside of tags

  /// Reads text up to the next tag, and the tag.
  Status read_outside() {
    std::size_t open = position_;
    while (true) {
      open = std::min(source_.find('{', open), source_.size());
      if (open + 1 >= source_.size()) open = source_.size();
      if (open == source_.size()) break;
      const char second = source_[open + 1];
      if (second == '{' || second == '%' || second == '#') break;
      ++open;
    }
    if (open == source_.size()) {
      add_data(position_, source_.size());
      position_ = source_.size();
      return {};
    }
    const char tag = source_[open + 1];
    const char sign = sign_at(open + 2);
    add_data(position_, stripped_end(position_, open, sign, tag == '{'));
    position_ = open;
    if (tag == '#') return skip_comment();
    if (tag == '%') {
      std::size_t after = 0;
      if (at_raw_tag(open + 2 + (sign != 0 ? 1 : 0), "raw", after) && close_raw_begin(after)) return read_raw(open);
    }
    add(tag == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin, open, "");
    position_ = open + 2 + (sign != 0 ? 1 : 0);
    return read_inside(tag == '{' ? '}' : '%', open);
  }

  char sign_at(std::size_t position) const {
    const char c = position < source_.size() ? source_[position] : '\0';
    return c == '-' || c == '+' ? c : '\0';
  }

  /// Where the text in front of a tag ends: `-` drops all white space before the tag, lstrip_blocks the blanks of its
  /// line when nothing else precedes it there.
  std::size_t stripped_end(std::size_t begin, std::size_t end, char sign, bool variable) const {
    const std::string_view text = std::string_view(source_).substr(begin, end - begin);
    if (sign == '-') return begin + strip(text, false, true).size();
    if (sign == '+' || variable) return end;
    const std::size_t line_feed = text.rfind('\n');
    const std::size_t line = line_feed == text.npos ? 0 : line_feed + 1;
    if (line == 0 && !line_starting_) return end;
    return strip(text.substr(line), true, false).empty() ? begin + line : end;
  }

  Status skip_comment() {
    const std::size_t open = position_;
    const std::size_t begin = open + 2 + (sign_at(open + 2) != 0 ? 1 : 0);
    const std::size_t close = source_.find("#}", begin);
    if (close == source_.npos) return error(open, "the comment is not closed; expected #}");
    end_tag(close + 2, close > begin ? sign_at(close - 1) : '\0');
    return {};
  }

  /// Moves past a tag that ends at `end`, and past what its sign and trim_blocks drop.
  void end_tag(std::size_t end, char sign, bool trims_line_end = true) {
    position_ = end;
    if (sign == '-') {
      const std::string_view rest = std::string_view(source_).substr(end);
      position_ = source_.size() - strip(rest, true, false).size();
    } else if (sign != '+' && trims_line_end && end < source_.size() && source_[end] == '\n') {
      ++position_;
    }
    line_starting_ = source_[position_ - 1] == '\n';
  }

  // ---- {% raw %} ... {% endraw %}

  /// Whether blanks, `word` and blanks stand at `position`; `after` is then behind them.
  bool at_raw_tag(std::size_t position, std::string_view word, std::size_t& after) const {
    const std::string_view rest = strip(std::string_view(source_).substr(position), true, false);
    if (rest.substr(0, word.size()) != word) return false;
    after = source_.size() - strip(rest.substr(word.size()), true, false).size();
    return true;
  }

  bool close_raw_begin(std::size_t after) {
    const std::string_view rest = std::string_view(source_).substr(after);
    const bool minus = rest.substr(0, 3) == "-%}";
    if (!minus && rest.substr(0, 2) != "%}") return false;
    end_tag(after + (minus ? 3 : 2), minus ? '-' : '\0', false);
    return true;
  }

  Status read_raw(std::size_t open) {
    const std::size_t begin = position_;
    for (std::size_t tag = source_.find("{%", begin); tag != source_.npos; tag = source_.find("{%", tag + 1)) {
      const char sign = sign_at(tag + 2);
      std::size_t after = 0;
      if (!at_raw_tag(tag + 2 + (sign != 0 ? 1 : 0), "endraw", after)) continue;
      const char end_sign = sign_at(after);
      if (source_.compare(after + (end_sign != 0 ? 1 : 0), 2, "%}") != 0) continue;
      add_data(begin, stripped_end(begin, tag, sign, false));
      end_tag(after + (end_sign != 0 ? 3 : 2), end_sign);
      return {};
    }
    return error(open, "the raw block is not closed; expected {% endraw %}");
  }

  // ---- inside of {{ }} and {% %}

  /// Reads tokens up to the end of a tag, `closing` and a brace.
  Status read_inside(char closing, std::size_t open) {
    std::string brackets;  // the closing ones still expected
    while (true) {
      skip_blanks();
      if (position_ >= source_.size()) {
        return error(open,
                     closing == '%' ? "the tag is not closed; expected %}" : "the tag is not closed; expected }}");
      }
      if (brackets.empty() && read_tag_end(closing)) return {};
      const char c = source_[position_];
      if (is_digit_char(c)) {
        NIBBLE_TRY_STATUS(read_number());
      } else if (c == '"' || c == '\'') {
        NIBBLE_TRY_STATUS(read_string(c));
      } else if (!read_name()) {
        NIBBLE_TRY_STATUS(read_operator(brackets));
      }
    }
  }

  void skip_blanks() {
    while (position_ < source_.size()) {
      std::size_t after = position_;
      if (!is_space(next_code_point(source_, after))) return;
      position_ = after;
    }
  }

  bool read_tag_end(char closing) {
    const bool block = closing == '%';
    const char first = source_[position_];
    const char sign = first == '-' || (block && first == '+') ? first : '\0';
    const std::size_t start = position_ + (sign != 0 ? 1 : 0);
    if (start + 1 >= source_.size() || source_[start] != closing || source_[start + 1] != '}') return false;
    add(block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, position_, "");
    end_tag(start + 2, sign, block);
    return true;
  }

  /// The end of digits that may have single underscores between them.
  template <typename IsDigit>
  std::size_t digits_end(std::size_t start, IsDigit is_digit) const {
    std::size_t end = start;
    while (end < source_.size()) {
      if (is_digit(source_[end])) {
        ++end;
      } else if (source_[end] == '_' && end > start && end + 1 < source_.size() && is_digit(source_[end + 1])) {
        end += 2;
      } else {
        break;
      }
    }
    return end;
  }

  char at(std::size_t position) const { return position < source_.size() ? source_[position] : '\0'; }

  /// The end of a float that starts here, or the position itself.
  std::size_t float_end() const {
    if (position_ > 0 && source_[position_ - 1] == '.') return position_;  // in a.0.1 the dots separate
    const std::size_t whole = digits_end(position_, is_digit_char);
    std::size_t end = whole;
    if (at(end) == '.' && is_digit_char(at(end + 1))) end = digits_end(end + 1, is_digit_char);
    if (at(end) == 'e' || at(end) == 'E') {
      const std::size_t exponent = end + (at(end + 1) == '+' || at(end + 1) == '-' ? 2 : 1);
      if (is_digit_char(at(exponent))) return digits_end(exponent, is_digit_char);
    }
    return end == whole ? position_ : end;
  }

  /// The end of an integer: 0b, 0o and 0x prefixes; decimals do not begin with zero.
  std::size_t integer_end() const {
    if (source_[position_] != '0') return digits_end(position_, is_digit_char);
    const char prefix = static_cast<char>(at(position_ + 1) | 0x20);
    const std::size_t digits = position_ + 2 + (at(position_ + 2) == '_' ? 1 : 0);
    std::size_t end = digits;
    if (prefix == 'b') end = digits_end(digits, [](char c) { return c == '0' || c == '1'; });
    if (prefix == 'o') end = digits_end(digits, [](char c) { return c >= '0' && c <= '7'; });
    if (prefix == 'x') end = digits_end(digits, is_hex_char);
    return end > digits ? end : digits_end(position_, [](char c) { return c == '0'; });
  }

  Status read_number() {
    const std::size_t start = position_;
    const std::size_t real_end = float_end();
    position_ = real_end > start ? real_end : integer_end();
    std::string digits = source_.substr(start, position_ - start);
    digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
    Token& token = add(real_end > start ? TokenKind::kFloat : TokenKind::kInteger, start, "");
    if (real_end > start) {
      token.real = parse_float(digits).value_or(0);
      return {};
    }
    const auto value = parse_int(digits, 0);
    if (!value) return error(start, "the integer does not fit 64 bits");
    token.integer = *value;
    return {};
  }

  bool read_name() {
    std::size_t end = position_;
    std::size_t after = end;
    if (!is_identifier_start(next_code_point(source_, after))) return false;
    do {
      end = after;
    } while (end < source_.size() && is_identifier_part(next_code_point(source_, after)));
    add(TokenKind::kName, position_, source_.substr(position_, end - position_));
    position_ = end;
    return true;
  }

  Status read_operator(std::string& brackets) {
    constexpr std::string_view kTwo[] = {"//", "**", "==", "!=", ">=", "<="};
    constexpr std::string_view kOne = "+-/*%~[](){}><=.:|,;";
    const std::size_t start = position_;
    const std::string_view two = std::string_view(source_).substr(start, 2);
    if (std::find(std::begin(kTwo), std::end(kTwo), two) != std::end(kTwo)) {
      add(TokenKind::kOperator, start, std::string(two));
      position_ += 2;
      return {};
    }
    const char c = source_[start];
    if (kOne.find(c) == kOne.npos) {
      const std::size_t bytes = code_point_bytes(c);
      return error(start, "unexpected character '" + source_.substr(start, bytes) + "'; expected an expression");
    }
    if (c == '(') brackets += ')';
    if (c == '[') brackets += ']';
    if (c == '{') brackets += '}';
    if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty()) return error(start, std::string("unexpected '") + c + "': no bracket is open");
      if (brackets.back() != c)
        return error(start, std::string("unexpected '") + c + "', expected '" + brackets.back() + "'");
      brackets.pop_back();
    }
    add(TokenKind::kOperator, start, std::string(1, c));
    ++position_;
    return {};
  }

  // ---- string literals

  Status read_string(char quote) {
    const std::size_t start = position_;
    std::string text;
    std::size_t i = start + 1;
    while (true) {
      if (i >= source_.size()) return error(start, std::string("the string is not closed; expected ") + quote);
      if (source_[i] == quote) break;
      if (source_[i] == '\\' && i + 1 < source_.size()) {
        ++i;
        NIBBLE_TRY_STATUS(read_escape(i, text));
      } else {
        text += source_[i++];
      }
    }
    add(TokenKind::kString, start, std::move(text));
    position_ = i + 1;
    return {};
  }

  /// Reads what follows a backslash; `i` moves past it.
  Status read_escape(std::size_t& i, std::string& text) {
    constexpr std::string_view kLetters = "\\'\"abfnrtv";
    constexpr std::string_view kValues = "\\'\"\a\b\f\n\r\t\v";
    const char c = source_[i];
    const std::size_t place = kLetters.find(c);
    if (place != kLetters.npos) {
      text += kValues[place];
      ++i;
      return {};
    }
    if (c == '\n') {
      ++i;
      return {};
    }
    if (c == 'x') return read_code(i, 2, text);
    if (c == 'u') return read_code(i, 4, text);
    if (c == 'U') return read_code(i, 8, text);
    if (c == 'N') return error(i - 1, "\\N escapes are not supported; write \\u and the code");
    if (c >= '0' && c <= '7') {
      char32_t value = 0;
      for (int digits = 0; digits < 3 && at(i) >= '0' && at(i) <= '7'; ++digits) {
        value = value * 8 + static_cast<char32_t>(source_[i++] - '0');
      }
      append_code_point(text, value);
      return {};
    }
    text += '\\';  // as Python: an unknown escape stays as it is
    return {};
  }

  Status read_code(std::size_t& i, std::size_t digits, std::string& text) {
    const std::size_t start = i - 1;
    ++i;
    std::uint32_t value = 0;
    for (std::size_t n = 0; n < digits; ++n, ++i) {
      if (!is_hex_char(at(i)))
        return error(start, "the escape needs " + std::to_string(digits) + " hexadecimal digits");
      const char c = source_[i];
      value = value * 16 + static_cast<std::uint32_t>(is_digit_char(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
      return error(start, "the escape is no Unicode character");
    append_code_point(text, value);
    return {};
  }

  // ---- output

  void add_data(std::size_t begin, std::size_t end) {
    if (begin < end) add(TokenKind::kData, begin, source_.substr(begin, end - begin));
    line_starting_ = false;
  }

  Token& add(TokenKind kind, std::size_t offset, std::string text) {
    Token token;
    token.kind = kind;
    token.at = position_of(offset);
    token.text = std::move(text);
    return tokens_.emplace_back(std::move(token));
  }

  /// Line and column of an offset. Offsets mostly grow, so that the count goes on from the one before.
  Position position_of(std::size_t offset) {
    if (offset < counted_) {
      counted_ = 0;
      counted_position_ = Position();
    }
    for (; counted_ < offset; ++counted_) {
      const auto byte = static_cast<unsigned char>(source_[counted_]);
      if (byte == '\n') {
        ++counted_position_.line;
        counted_position_.column = 1;
      } else if ((byte & 0xC0) != 0x80) {
        ++counted_position_.column;
      }
    }
    return counted_position_;
  }

  Error error(std::size_t offset, std::string_view message) {
    return error_at(ErrorCode::kCorrupt, name_, position_of(offset), message);
  }

  const std::string source_;
  const std::string_view name_;
  std::vector<Token> tokens_;
  std::size_t position_ = 0;
  bool line_starting_ = true;  ///< the last tag ended with its line
  std::size_t counted_ = 0;
  Position counted_position_;
};

}  // namespace

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData:
      return "text";
    case TokenKind::kVariableBegin:
      return "'{{'";
    case TokenKind::kVariableEnd:
      return "'}}'";
    case TokenKind::kBlockBegin:
      return "'{%'";
    case TokenKind::kBlockEnd:
      return "'%}'";
    case TokenKind::kString:
      return "a string";
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return "a number";
    case TokenKind::kEnd:
      return "the end of the template";
    default:
      return "'" + token.text.substr(0, 80) + "'";
  }
}

Error error_at(ErrorCode code, std::string_view template_name, Position at, std::string_view message) {
  return fail(code, "{}:{}:{}: {}", template_name, at.line, at.column, message);
}

Result<std::vector<Token>> tokenize_template(std::string_view source, std::string_view template_name) {
  return Lexer(source, template_name).run();
}

}  // namespace nibble::jinja
