// The words of a template.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble::jinja {

/// Where something stands in the source; both count from one, columns in characters.
struct Position {
  std::uint32_t line = 1;
  std::uint32_t column = 1;
};

enum class TokenKind : std::uint8_t {
  kData,           ///< text outside of tags
  kVariableBegin,  ///< {{
  kVariableEnd,    ///< }}
  kBlockBegin,     ///< {%
  kBlockEnd,       ///< %}
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  Position at;
  std::string text;  ///< of data, names, strings (unescaped) and operators
  std::int64_t integer = 0;
  double real = 0;

  bool is(TokenKind wanted) const { return kind == wanted; }
  bool is_operator(std::string_view symbol) const { return kind == TokenKind::kOperator && text == symbol; }
  bool is_name(std::string_view word) const { return kind == TokenKind::kName && text == word; }
};

/// A token as messages show it: "'endif'", "end of template".
std::string describe(const Token& token);

/// "name:line:column: message".
Error error_at(ErrorCode code, std::string_view template_name, Position at, std::string_view message);

/// Cuts a template into tokens, ending with kEnd. As transformers sets Jinja up: one line end after a block is dropped
/// (trim_blocks), blanks before a block that begins its line too (lstrip_blocks), and the template's last line end.
/// `source` is UTF-8.
Result<std::vector<Token>> tokenize_template(std::string_view source, std::string_view template_name);

}  // namespace nibble::jinja
