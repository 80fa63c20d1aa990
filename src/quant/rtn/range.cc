// Parsing and printing of range rules.
#include "quant/rtn/range.h"

#include <cstdlib>

namespace nibble {

Result<RangeRule> parse_range(std::string_view text) {
  if (text == "full") return RangeRule{RangeRule::Kind::kFull, 100.0};
  if (text == "absmax") return RangeRule{RangeRule::Kind::kAbsmax, 100.0};
  if (text == "gptq") return RangeRule{RangeRule::Kind::kGptq, 100.0};
  if (text == "mse") return RangeRule{RangeRule::Kind::kMse, 100.0};
  constexpr std::string_view kPrefix = "percentile:";
  if (text.starts_with(kPrefix)) {
    const std::string number(text.substr(kPrefix.size()));
    char* end = nullptr;
    const double value = std::strtod(number.c_str(), &end);
    if (!number.empty() && *end == '\0' && value > 0.0 && value <= 100.0)
      return RangeRule{RangeRule::Kind::kPercentile, value};
  }
  return fail(ErrorCode::kInvalidArgument,
              "\"{}\": unknown range; known: full, absmax, gptq, percentile:P with 0 < P <= 100, mse", text);
}

std::string to_string(const RangeRule& rule) {
  switch (rule.kind) {
    case RangeRule::Kind::kFull:
      return "full";
    case RangeRule::Kind::kAbsmax:
      return "absmax";
    case RangeRule::Kind::kGptq:
      return "gptq";
    case RangeRule::Kind::kPercentile:
      return fmt::format("percentile:{}", rule.percentile);
    case RangeRule::Kind::kMse:
      return "mse";
  }
  return "?";
}

}  // namespace nibble
