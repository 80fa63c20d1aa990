// The "attribute" argument of filters: "address.city" looks up two names, "items.0" a name and an index.
#pragma once

#include <vector>

#include "text/template/runtime.h"

namespace nibble::jinja {

class AttributePath {
 public:
  /// A string with dots, an integer, or missing or none for the item itself.
  static Result<AttributePath> parse(Runtime& runtime, const Value& attribute);
  static Result<AttributePath> parse(Runtime& runtime, std::string_view dotted);

  /// item[part]... ; where a part is undefined, `fallback` if that is given.
  Result<Value> get(Runtime& runtime, Value item, const Value& fallback = Value()) const;

 private:
  std::vector<Value> parts_;
};

/// The value by which sort, unique, min, max and groupby compare: strings in lower case unless `case_sensitive`.
Result<Value> comparison_key(Runtime& runtime, const Value& value, bool case_sensitive);

}  // namespace nibble::jinja
