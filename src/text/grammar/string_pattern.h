// Regular expressions of JSON schemas ("pattern"), and the formats of strings, as grammars of a string's inside.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/grammar/json_grammar.h"

namespace nibble {

/// `pattern` is an ECMA-262 regular expression that begins with ^ and ends with $, of literals, ".", classes, \d \w \s
/// \D \W \S, escapes, groups, alternatives and quantifiers. Everything else (look-around, back references, \b, named
/// groups, properties) fails with kUnsupported, wrong syntax with kInvalidArgument; both name the character.
Result<JsonGrammar::Expression> pattern_expression(JsonGrammar& json, std::string_view pattern);

/// The known values of "format", for messages.
std::vector<std::string_view> known_string_formats();
/// The inside of strings of a format; fails with kUnsupported for one that is not known.
Result<JsonGrammar::Expression> format_expression(JsonGrammar& json, std::string_view format);

}  // namespace nibble
