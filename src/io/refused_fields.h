// Fields of a quantization_config that change what the weights mean and that Nibble does not implement: a checkpoint
// that sets one is refused by the field's name, instead of being read as other numbers than its writer meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/json.h"

namespace nibble {

struct RefusedField {
  std::string_view key;
  std::string_view allowed = "";  ///< a text value that says what Nibble reads anyway
};

/// kUnsupported when `config` sets one of the fields. Absent, null, false, empty and allowed values set nothing.
/// `what` names the configuration in the message.
Status refuse_fields(const Json& config, std::span<const RefusedField> fields, const std::string& what);

/// kUnsupported when `config` has a key that is not `known`, for objects whose every field matters.
Status refuse_unknown_fields(const Json& config, std::span<const std::string_view> known, const std::string& what);

}  // namespace nibble
