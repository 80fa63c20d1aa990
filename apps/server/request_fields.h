// Fields of a request's JSON object, with their types and ranges. The first that is wrong is remembered, so that a
// reader asks for all it wants and then looks at error() once. Absent and null are the same.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api_error.h"
#include "base/json.h"

namespace nibble::server {

class RequestFields {
 public:
  /// `object` must outlive the reader; `path` stands before the names in messages ("stream_options.").
  explicit RequestFields(const Json& object, std::string path = "");

  /// nullptr when absent.
  const Json* find(std::string_view name) const;
  std::optional<bool> boolean(std::string_view name);
  /// A whole number; 16.0 is one.
  std::optional<std::int64_t> integer(std::string_view name, std::int64_t min, std::int64_t max);
  std::optional<double> number(std::string_view name, double min, double max);
  std::optional<std::string> string(std::string_view name);
  /// A list of strings, or one string.
  std::optional<std::vector<std::string>> strings(std::string_view name, std::size_t max);
  const Json* object(std::string_view name);
  const Json* list(std::string_view name);

  void fail(std::string_view name, std::string message);
  void fail(ApiError error);
  const std::optional<ApiError>& error() const { return error_; }

 private:
  void wrong_type(std::string_view name, const Json& found, std::string_view expected);

  const Json& object_;
  std::string path_;
  std::optional<ApiError> error_;
};

}  // namespace nibble::server
