// How far a group's codes reach: the range rule of round-to-nearest (algorithms.md 2.1 and 2.2).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace nibble {

struct RangeRule {
  enum class Kind {
    kFull,    ///< symmetric: a signed scale that puts the value of largest magnitude on the code -2^(b-1); else min-max
    kAbsmax,  ///< symmetric: restricted to -(2^(b-1)-1) .. 2^(b-1)-1
    kGptq,    ///< symmetric: scale = 2 max|x| / (2^b - 1), as GPTQ's quantizer
    kPercentile,  ///< as kFull, with the p-th percentile of |x| (of each side when asymmetric) in place of the extreme
    kMse,         ///< the scale (and zero point) of least squared error
  };
  Kind kind = Kind::kFull;
  double percentile = 100.0;
};

/// full | absmax | gptq | percentile:P (0 < P <= 100) | mse
Result<RangeRule> parse_range(std::string_view text);
std::string to_string(const RangeRule& rule);

}  // namespace nibble
