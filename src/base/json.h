// JSON. nlohmann::json is the document type; bytes from outside enter only through parse_untrusted.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble {

/// Keeps the order of keys, so that what we copy from a user's file stays readable beside it.
using Json = nlohmann::ordered_json;

struct JsonLimits {
  std::size_t max_bytes = std::size_t{256} << 20;
  int max_depth = 64;
};

/// Parses UTF-8 JSON. Refuses, naming `what` and the byte: syntax errors, duplicate keys, invalid UTF-8, nesting or
/// size beyond the limits.
Result<Json> parse_untrusted(std::string_view text, std::string_view what, const JsonLimits& limits = {});

/// Reads fields of an object with their expected type. Absent and null are the same. The error names file and field.
class JsonFields {
 public:
  /// `object` must outlive the reader. Unless it is an object, or null (as good as empty), every Result is kCorrupt.
  JsonFields(const Json& object, std::string what) : object_(object), what_(std::move(what)) {}

  bool has(std::string_view key) const;
  Result<std::optional<std::int64_t>> integer(std::string_view key) const;
  Result<std::optional<double>> number(std::string_view key) const;
  Result<std::optional<bool>> boolean(std::string_view key) const;
  Result<std::optional<std::string>> string(std::string_view key) const;
  /// A list of strings; a single string counts as a list of one.
  Result<std::optional<std::vector<std::string>>> strings(std::string_view key) const;
  /// The child object or array, or nullptr when absent.
  const Json* child(std::string_view key) const;
  const std::string& what() const { return what_; }

 private:
  Error wrong_type(std::string_view key, const Json& found, std::string_view expected) const;
  const Json& object_;
  std::string what_;
};

}  // namespace nibble
