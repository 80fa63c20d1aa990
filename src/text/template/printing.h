// Values as text: Python's str() and repr(), and JSON as json.dumps writes it.
#pragma once

#include <string>

#include "text/template/runtime.h"

namespace nibble::jinja {

/// str(value).
Result<std::string> to_text(Runtime& runtime, const Value& value);
/// str(value) as a value: strings are passed on as they are.
Result<Value> to_string(Runtime& runtime, const Value& value);
/// repr(value).
Result<std::string> to_repr(Runtime& runtime, const Value& value);

struct JsonStyle {
  bool escape_non_ascii = false;
  bool sort_keys = false;
  bool indented = false;
  std::string indent;  ///< of one level
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

/// json.dumps(value, ...).
Result<std::string> to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace nibble::jinja
