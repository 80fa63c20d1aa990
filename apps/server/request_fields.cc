#include "request_fields.h"

#include <fmt/format.h>

#include <cmath>

namespace nibble::server {

RequestFields::RequestFields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object.is_object()) error_ = invalid_field(path_, "expected a JSON object");
}

const Json* RequestFields::find(std::string_view name) const {
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void RequestFields::fail(ApiError error) {
  if (!error_) error_ = std::move(error);
}

void RequestFields::fail(std::string_view name, std::string message) {
  fail(invalid_field(path_ + std::string(name), std::move(message)));
}

void RequestFields::wrong_type(std::string_view name, const Json& found, std::string_view expected) {
  fail(name, fmt::format("expected {}, found {} {}", expected,
                         found.is_array() || found.is_object() || found.is_number() ? "a" : "the", found.type_name()));
}

std::optional<bool> RequestFields::boolean(std::string_view name) {
  const Json* value = find(name);
  if (value == nullptr) return {};
  if (value->is_boolean()) return value->get<bool>();
  wrong_type(name, *value, "true or false");
  return {};
}

std::optional<std::int64_t> RequestFields::integer(std::string_view name, std::int64_t min, std::int64_t max) {
  const Json* value = find(name);
  if (value == nullptr) return {};
  std::optional<std::int64_t> whole;
  if (value->is_number_unsigned()) {
    const auto number = value->get<std::uint64_t>();
    if (number <= static_cast<std::uint64_t>(INT64_MAX)) whole = static_cast<std::int64_t>(number);
  } else if (value->is_number_integer()) {
    whole = value->get<std::int64_t>();
  } else if (value->is_number_float()) {
    const double number = value->get<double>();
    if (std::trunc(number) == number && std::abs(number) < 9e15) whole = static_cast<std::int64_t>(number);
  } else {
    wrong_type(name, *value, "a whole number");
    return {};
  }
  if (whole && *whole >= min && *whole <= max) return whole;
  fail(name, fmt::format("expected a whole number from {} to {}", min, max));
  return {};
}

std::optional<double> RequestFields::number(std::string_view name, double min, double max) {
  const Json* value = find(name);
  if (value == nullptr) return {};
  if (!value->is_number()) {
    wrong_type(name, *value, "a number");
    return {};
  }
  const double number = value->get<double>();
  if (number >= min && number <= max) return number;
  fail(name, fmt::format("expected a number from {} to {}", min, max));
  return {};
}

std::optional<std::string> RequestFields::string(std::string_view name) {
  const Json* value = find(name);
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  wrong_type(name, *value, "a string");
  return {};
}

std::optional<std::vector<std::string>> RequestFields::strings(std::string_view name, std::size_t max) {
  const Json* value = find(name);
  if (value == nullptr) return {};
  std::vector<std::string> texts;
  if (value->is_string()) {
    texts.push_back(value->get<std::string>());
    return texts;
  }
  if (!value->is_array()) {
    wrong_type(name, *value, "a string or a list of strings");
    return {};
  }
  if (value->size() > max) {
    fail(name, fmt::format("a list of {}, at most {} are allowed", value->size(), max));
    return {};
  }
  for (const Json& text : *value) {
    if (!text.is_string()) {
      wrong_type(name, text, "strings");
      return {};
    }
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

const Json* RequestFields::object(std::string_view name) {
  const Json* value = find(name);
  if (value == nullptr || value->is_object()) return value;
  wrong_type(name, *value, "an object");
  return nullptr;
}

const Json* RequestFields::list(std::string_view name) {
  const Json* value = find(name);
  if (value == nullptr || value->is_array()) return value;
  wrong_type(name, *value, "a list");
  return nullptr;
}

}  // namespace nibble::server
