// Log softmax of a few tokens, by the softmax kernel, whose bits are the same everywhere.
#include "run/logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernel/softmax/softmax.h"
#include "run/sampling.h"

namespace nibble {

void add_logprobs(std::span<const float> logits, int top, GeneratedToken& token) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  std::vector<float> x(logits.begin(), logits.end());
  for (float& value : x) value = bounded_logit(value);
  const auto best = static_cast<std::size_t>(std::max_element(x.begin(), x.end()) - x.begin());
  std::vector<float> p(x.size());
  kernel::best_softmax().row(x.data(), static_cast<std::int64_t>(x.size()), p.data());
  // The largest probability is 1 / sum of e^(x - largest); the others' own may be rounded to 0.
  const double log_sum = -std::log(static_cast<double>(p[best]));
  const auto logprob = [&](std::int32_t id) {
    TokenLogprob out;
    out.id = id;
    const float value = x[static_cast<std::size_t>(id)];
    out.logprob = value == kNever ? kNever : static_cast<float>(static_cast<double>(value) - x[best] - log_sum);
    return out;
  };
  token.logprob = logprob(token.id);
  std::vector<std::int32_t> ids(x.size());
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i);
  const auto count = std::min(static_cast<std::size_t>(std::max(top, 0)), ids.size());
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count), ids.end(),
                    [&](std::int32_t a, std::int32_t b) {
                      const float xa = x[static_cast<std::size_t>(a)];
                      const float xb = x[static_cast<std::size_t>(b)];
                      return xa != xb ? xa > xb : a < b;
                    });
  for (std::size_t i = 0; i < count; ++i) token.top.push_back(logprob(ids[i]));
}

}  // namespace nibble
