#include "io/refused_fields.h"

#include <algorithm>

#include "base/utf8.h"

namespace nibble {
namespace {

/// Fields of any method. compressed-tensors writes a sparsity that is none: {"format": "dense"}.
constexpr RefusedField kOfAnyMethod[] = {
    {"rotation"}, {"rotation_config"}, {"transform_config"}, {"sparsity_config", "dense"}, {"adapter"}};

bool is_word_of(std::string_view text, std::string_view words) {
  while (!words.empty()) {
    const std::string_view word = words.substr(0, words.find(' '));
    if (word == text) return true;
    words.remove_prefix(std::min(word.size() + 1, words.size()));
  }
  return false;
}

bool is_set(const Json& value, std::string_view allowed) {
  if (value.is_null() || (value.is_boolean() && !value.get<bool>())) return false;
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    return !text.empty() && !is_word_of(text, allowed);
  }
  if (value.is_object()) {
    const auto format = value.find("format");
    if (format != value.end() && format->is_string() && is_word_of(format->get_ref<const std::string&>(), allowed))
      return false;
  }
  return !value.is_structured() || !value.empty();
}

Status refuse_each(const Json& config, std::span<const RefusedField> fields, const std::string& what) {
  for (const RefusedField& field : fields) {
    const auto it = config.find(std::string(field.key));
    if (it == config.end() || !is_set(*it, field.allowed)) continue;
    if (it->is_string() && !field.allowed.empty())
      return fail(ErrorCode::kUnsupported, "{}: \"{}\" is \"{}\"; it says what the weights mean, and Nibble reads: {}",
                  what, field.key, printable(it->get_ref<const std::string&>()), field.allowed);
    return fail(ErrorCode::kUnsupported,
                "{}: \"{}\" is set; it changes what the weights mean, and Nibble does not read it", what, field.key);
  }
  return {};
}

}  // namespace

Status refuse_fields(const Json& config, std::span<const RefusedField> fields, const std::string& what) {
  if (!config.is_object()) return {};
  NIBBLE_TRY_STATUS(refuse_each(config, kOfAnyMethod, what));
  return refuse_each(config, fields, what);
}

Status refuse_unknown_fields(const Json& config, std::span<const std::string_view> known, const std::string& what) {
  if (!config.is_object()) return {};
  for (const auto& [key, value] : config.items())
    if (std::find(known.begin(), known.end(), key) == known.end())
      return fail(ErrorCode::kUnsupported, "{}: \"{}\" is no field that Nibble knows", what, printable(key));
  return {};
}

}  // namespace nibble
