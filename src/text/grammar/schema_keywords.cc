#include "text/grammar/schema_keywords.h"

namespace nibble {
namespace {

struct Row {
  std::string_view name;
  SchemaKeyword kind;
};

constexpr SchemaKeyword kAnnotation = SchemaKeyword::kAnnotation;
constexpr SchemaKeyword kCombines = SchemaKeyword::kCombines;
constexpr SchemaKeyword kConstrains = SchemaKeyword::kConstrains;

/// Everything else is refused, but names that begin with "x-".
constexpr Row kKeywords[] = {
    {"$schema", kAnnotation},
    {"$id", kAnnotation},
    {"$comment", kAnnotation},
    {"$anchor", kAnnotation},
    {"$defs", kAnnotation},
    {"definitions", kAnnotation},
    {"title", kAnnotation},
    {"description", kAnnotation},
    {"default", kAnnotation},
    {"example", kAnnotation},
    {"examples", kAnnotation},
    {"deprecated", kAnnotation},
    {"readOnly", kAnnotation},
    {"writeOnly", kAnnotation},
    {"discriminator", kAnnotation},
    {"externalDocs", kAnnotation},
    {"$ref", kCombines},
    {"anyOf", kCombines},
    {"oneOf", kCombines},
    {"allOf", kCombines},
    {"type", kConstrains},
    {"nullable", kConstrains},
    {"enum", kConstrains},
    {"const", kConstrains},
    {"properties", kConstrains},
    {"required", kConstrains},
    {"additionalProperties", kConstrains},
    {"items", kConstrains},
    {"prefixItems", kConstrains},
    {"minItems", kConstrains},
    {"maxItems", kConstrains},
    {"minLength", kConstrains},
    {"maxLength", kConstrains},
    {"pattern", kConstrains},
    {"format", kConstrains},
    {"minimum", kConstrains},
    {"maximum", kConstrains},
    {"exclusiveMinimum", kConstrains},
    {"exclusiveMaximum", kConstrains},
};

}  // namespace

SchemaKeyword schema_keyword(std::string_view name) {
  for (const Row& row : kKeywords)
    if (row.name == name) return row.kind;
  return name.substr(0, 2) == "x-" ? SchemaKeyword::kAnnotation : SchemaKeyword::kRefused;
}

}  // namespace nibble
