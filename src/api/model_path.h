// What a MODEL argument means: a path, or a model of the hub through the cache.
#pragma once

#include <string>

#include "base/result.h"

namespace nibble {

/// The path of `model`: itself, or of hf:org/name[@revision] the snapshot in the cache. Downloads nothing: kNotFound
/// says how to.
Result<std::string> model_path(const std::string& model);

}  // namespace nibble
