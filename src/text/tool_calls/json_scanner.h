// JsonScanner: finds the end of a JSON value that comes byte by byte.
#pragma once

#include <cstdint>
#include <string>

namespace nibble {

/// Takes what RFC 8259 takes, with white space within the value but not before it. Does not look into UTF-8.
class JsonScanner {
 public:
  enum class Result {
    kMore,         ///< the byte belongs to the value, which goes on
    kEnd,          ///< the byte is the value's last
    kEndedBefore,  ///< the value (a number) ended before this byte
    kWrong,        ///< no value begins like this, or it is nested deeper than kMaxDepth
  };
  static constexpr std::size_t kMaxDepth = 64;

  void reset();
  Result feed(char c);
  /// The next byte is a character of a string, or its end.
  bool in_string() const { return state_ == State::kString; }

 private:
  enum class State : std::uint8_t {
    kValue,
    kFirstItem,  ///< after "[": a value or "]"
    kFirstKey,   ///< after "{": a key or "}"
    kKey,        ///< after "," in an object
    kColon,
    kAfterItem,  ///< "," or what closes
    kString,
    kEscape,
    kHex,
    kLiteral,
    kMinus,
    kZero,
    kDigits,
    kPoint,
    kFraction,
    kExponent,
    kExponentSign,
    kExponentDigits,
  };
  Result begin_value(char c);
  Result close(char c);
  Result value_ended();
  Result number(char c);
  Result go(State state) {
    state_ = state;
    return Result::kMore;
  }

  State state_ = State::kValue;
  bool is_key_ = false;    ///< of kString
  int hex_left_ = 0;       ///< of kHex
  const char* rest_ = "";  ///< of kLiteral
  std::string open_;       ///< "{" and "[" that are open
};

}  // namespace nibble
