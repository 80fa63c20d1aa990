// Log probabilities of tokens, from logits as the model gave them.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/engine.h"

namespace nibble {

/// Adds to `token`, whose id is set, its log probability and those of the `top` likeliest tokens, without bytes: log
/// softmax of logits [vocabulary]. A NaN counts as -infinity.
void add_logprobs(std::span<const float> logits, int top, GeneratedToken& token);

}  // namespace nibble
