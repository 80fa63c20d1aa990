// --override: some linears get another scheme than the rest.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/model_files.h"
#include "quant/choose_targets.h"
#include "quant/linear_schemes.h"

namespace nibble {

/// Linears in whose name the pattern is found.
struct SchemeOverride {
  std::string pattern;  ///< a regular expression
  QuantScheme scheme;
};

/// Of each text "PATTERN=SCHEME", split at its last "="; f32, f16 and bf16 leave a linear in floats.
Result<std::vector<SchemeOverride>> parse_overrides(std::span<const std::string> texts);

/// What every linear of the model is given by an override, if anything: by the last whose pattern is found in its
/// module's name ("model.layers.3.mlp.down_proj") or its tensor's in a GGUF file ("blk.3.ffn_down.weight"). Errors: a
/// pattern that is wrong, or found nowhere.
Result<std::vector<std::optional<QuantScheme>>> overridden(const ModelFiles& files,
                                                           std::span<const SchemeOverride> overrides);

/// `schemes` with the overrides; embedding and head that nothing is said of, and `with_head` does not count in, get the
/// scheme that they have (floats where the format cannot hold it). So every linear's scheme is said. In a GGUF file
/// with llama-quantize's fallback where blocks do not divide a row. Errors: those of overridden(); schemes that the
/// family does not hold beside each other.
Result<LinearSchemes> with_overrides(const ModelFiles& files, const LinearSchemes& schemes, bool with_head,
                                     std::span<const SchemeOverride> overrides, const OutputFormat& format);

/// For methods that quantize linears of one input together: an error that names two of them with different schemes, or
/// one that is left in floats.
Status check_shared_inputs(const ModelLayout& layout, const LinearSchemes& schemes);

}  // namespace nibble
