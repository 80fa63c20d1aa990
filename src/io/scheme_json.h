// A QuantScheme spelled out in JSON: every field by name, for the nibble family's configuration
// (docs/formats/nibble.md).
#pragma once

#include <string>

#include "base/json.h"
#include "tensor/quant_scheme.h"

namespace nibble {

Json scheme_to_json(const QuantScheme& scheme);

/// Parses an untrusted scheme. The result passes check_storable(); errors name `what` and the field.
Result<QuantScheme> scheme_from_json(const Json& json, const std::string& what);

/// Refuses schemes that no matrix can have, beyond QuantScheme::validate(): element types without a meaning where they
/// stand, tables of another width than the codes, group sizes whose products overflow.
Status check_storable(const QuantScheme& scheme);

}  // namespace nibble
