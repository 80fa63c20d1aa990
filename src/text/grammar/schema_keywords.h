// What each keyword of JSON Schema is to the compiler.
#pragma once

#include <string_view>

namespace nibble {

enum class SchemaKeyword {
  kAnnotation,  ///< says nothing about which documents are accepted
  kCombines,    ///< joins whole schemas: anyOf, oneOf, allOf, $ref
  kConstrains,  ///< supported
  kRefused,
};

SchemaKeyword schema_keyword(std::string_view name);

}  // namespace nibble
