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
  std::string_view allowed = "";  ///< text values that say what Nibble reads anyway, separated by spaces
};

/// kUnsupported when `config` sets one of the fields, or one of those by which any method may say that weights are
/// rotated, transformed, stored sparsely or added to (`rotation`, `transform_config` ...). Absent, null, false, empty
/// and allowed values set nothing, nor does an object whose "format" is allowed. `what` names the configuration in the
/// message. What is said of activations and of the KV cache is nobody's refused field: weights keep their meaning.
Status refuse_fields(const Json& config, std::span<const RefusedField> fields, const std::string& what);

/// kUnsupported when `config` has a key that is not `known`, for objects whose every field matters.
Status refuse_unknown_fields(const Json& config, std::span<const std::string_view> known, const std::string& what);

}  // namespace nibble
