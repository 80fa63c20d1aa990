#include "text/tool_calls/json_scanner.h"

namespace nibble {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }

}  // namespace

void JsonScanner::reset() {
  state_ = State::kValue;
  open_.clear();
}

JsonScanner::Result JsonScanner::value_ended() {
  if (open_.empty()) return Result::kEnd;
  return go(State::kAfterItem);
}

JsonScanner::Result JsonScanner::begin_value(char c) {
  switch (c) {
    case '{':
    case '[':
      if (open_.size() >= kMaxDepth) return Result::kWrong;
      open_.push_back(c);
      return go(c == '{' ? State::kFirstKey : State::kFirstItem);
    case '"':
      is_key_ = false;
      return go(State::kString);
    case 't':
      rest_ = "rue";
      return go(State::kLiteral);
    case 'f':
      rest_ = "alse";
      return go(State::kLiteral);
    case 'n':
      rest_ = "ull";
      return go(State::kLiteral);
    case '-':
      return go(State::kMinus);
    case '0':
      return go(State::kZero);
    default:
      return is_digit(c) ? go(State::kDigits) : Result::kWrong;
  }
}

JsonScanner::Result JsonScanner::close(char c) {
  if ((open_.back() == '{') != (c == '}')) return Result::kWrong;
  open_.pop_back();
  return value_ended();
}

JsonScanner::Result JsonScanner::number(char c) {
  const bool is_whole = state_ == State::kZero || state_ == State::kDigits;
  if (is_digit(c)) {
    switch (state_) {
      case State::kMinus:
        return go(c == '0' ? State::kZero : State::kDigits);
      case State::kZero:
        return Result::kWrong;
      case State::kPoint:
        return go(State::kFraction);
      case State::kExponent:
      case State::kExponentSign:
        return go(State::kExponentDigits);
      default:
        return Result::kMore;
    }
  }
  if (c == '.' && is_whole) return go(State::kPoint);
  if ((c == 'e' || c == 'E') && (is_whole || state_ == State::kFraction)) return go(State::kExponent);
  if ((c == '+' || c == '-') && state_ == State::kExponent) return go(State::kExponentSign);
  if (!is_whole && state_ != State::kFraction && state_ != State::kExponentDigits) return Result::kWrong;
  if (open_.empty()) return Result::kEndedBefore;
  state_ = State::kAfterItem;
  return feed(c);
}

JsonScanner::Result JsonScanner::feed(char c) {
  switch (state_) {
    case State::kValue:
      // The first byte decides; white space is for what is within.
      return is_space(c) && !open_.empty() ? Result::kMore : begin_value(c);
    case State::kFirstItem:
      if (is_space(c)) return Result::kMore;
      return c == ']' ? close(c) : begin_value(c);
    case State::kFirstKey:
    case State::kKey:
      if (is_space(c)) return Result::kMore;
      if (c == '}' && state_ == State::kFirstKey) return close(c);
      is_key_ = true;
      return c == '"' ? go(State::kString) : Result::kWrong;
    case State::kColon:
      if (is_space(c)) return Result::kMore;
      return c == ':' ? go(State::kValue) : Result::kWrong;
    case State::kAfterItem:
      if (is_space(c)) return Result::kMore;
      if (c == ',') return go(open_.back() == '{' ? State::kKey : State::kValue);
      return c == '}' || c == ']' ? close(c) : Result::kWrong;
    case State::kString:
      if (c == '\\') return go(State::kEscape);
      if (static_cast<unsigned char>(c) < 0x20) return Result::kWrong;
      if (c != '"') return Result::kMore;
      return is_key_ ? go(State::kColon) : value_ended();
    case State::kEscape:
      hex_left_ = 4;
      if (c == 'u') return go(State::kHex);
      return std::string("\"\\/bfnrt").find(c) != std::string::npos ? go(State::kString) : Result::kWrong;
    case State::kHex:
      if (!is_hex(c)) return Result::kWrong;
      return --hex_left_ == 0 ? go(State::kString) : Result::kMore;
    case State::kLiteral:
      if (c != *rest_) return Result::kWrong;
      return *++rest_ == '\0' ? value_ended() : Result::kMore;
    default:
      return number(c);
  }
}

}  // namespace nibble
