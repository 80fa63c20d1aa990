#include "io/refused_fields.h"

#include <algorithm>

#include "base/utf8.h"

namespace nibble {
namespace {

bool is_set(const Json& value, std::string_view allowed) {
  if (value.is_null() || (value.is_boolean() && !value.get<bool>())) return false;
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    return !text.empty() && text != allowed;
  }
  return !value.is_structured() || !value.empty();
}

}  // namespace

Status refuse_fields(const Json& config, std::span<const RefusedField> fields, const std::string& what) {
  if (!config.is_object()) return {};
  for (const RefusedField& field : fields) {
    const auto it = config.find(std::string(field.key));
    if (it == config.end() || !is_set(*it, field.allowed)) continue;
    return fail(ErrorCode::kUnsupported,
                "{}: \"{}\" is set; it changes what the weights mean, and Nibble does not read it", what, field.key);
  }
  return {};
}

Status refuse_unknown_fields(const Json& config, std::span<const std::string_view> known, const std::string& what) {
  if (!config.is_object()) return {};
  for (const auto& [key, value] : config.items())
    if (std::find(known.begin(), known.end(), key) == known.end())
      return fail(ErrorCode::kUnsupported, "{}: \"{}\" is no field that Nibble knows", what, printable(key));
  return {};
}

}  // namespace nibble
