// What a model is recognised by, whatever file it is in.
#pragma once

#include <string>

#include "model/model_weights.h"

namespace nibble {

/// SHA-256 (64 hexadecimal digits) over all norms and biases and the first row of every block linear, as float32:
/// equal for the same numbers in a folder and in a GGUF file, and another one as soon as a model was trained on.
Result<std::string> model_fingerprint(const ModelWeights& weights);

}  // namespace nibble
