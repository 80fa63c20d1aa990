#include "quant/auto_round/searched_rtn.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "quant/rtn/group_grid.h"
#include "quant/stored_scale.h"

namespace nibble {
namespace {

/// Scales to try, as parts of round-to-nearest's; that one first.
std::vector<float> trial_parts(const QuantScheme& scheme) {
  const bool narrow = scheme.code.bits == 2 && scheme.zero_kind == ZeroKind::kNone;
  const float half = static_cast<float>(1 << (scheme.code.bits - 1));
  const float step = narrow ? 0.01f / half : 0.0075f;
  const int steps = narrow ? 90 : 100;
  std::vector<float> out{1.0f};
  for (int i = -steps; i <= steps; ++i)
    if (i != 0) out.push_back(1.0f / (1.0f - step * static_cast<float>(i)));
  return out;
}

class GroupSearch {
 public:
  GroupSearch(const QuantScheme& scheme, std::span<const float> parts)
      : scheme_(scheme), parts_(parts), nearest_(scheme, {}), top_(static_cast<float>((1 << scheme.code.bits) - 1)) {}

  /// importance [x.size()] or null.
  GroupGrid choose(std::span<const float> x, const float* importance) const {
    const GroupGrid own = nearest_.choose(x, [](std::span<float>) {});
    GroupGrid best{own.scale, own.zero};
    double least = -1;
    for (const float part : parts_) {
      GroupGrid trial;
      trial.scale = stored_scale(scheme_.scale->element, own.scale * part);
      trial.zero = nearest_.zero_for(x, trial.scale);
      const double error = weighted_error(x, importance, trial);
      if (least >= 0 && !(error < least)) continue;
      least = error;
      best = trial;
    }
    return best;
  }
  void encode(std::span<const float> x, const GroupGrid& grid, std::uint8_t* codes) const {
    nearest_.encode(x, grid, codes);
  }

 private:
  double weighted_error(std::span<const float> x, const float* importance, const GroupGrid& grid) const {
    constexpr std::size_t kLanes = 16;
    const float zero = static_cast<float>(scheme_.code.bias + grid.zero);
    float lanes[kLanes] = {};
    const auto add = [&](std::size_t i, std::size_t lane) {
      float q = x[i] / grid.scale;
      q = q < -512.0f ? -512.0f : q > 512.0f ? 512.0f : q;
      q = round_even(q) + zero;
      q = q < 0.0f ? 0.0f : q;
      q = q > top_ ? top_ : q;
      const float error = x[i] - grid.scale * (q - zero);
      lanes[lane] += importance == nullptr ? error * error : importance[i] * (error * error);
    };
    std::size_t i = 0;
    for (; i + kLanes <= x.size(); i += kLanes)
      for (std::size_t lane = 0; lane < kLanes; ++lane) add(i + lane, lane);
    for (std::size_t lane = 0; i < x.size(); ++i, ++lane) add(i, lane);
    double sum = 0;
    for (const float lane : lanes) sum += static_cast<double>(lane);
    return sum;
  }

  const QuantScheme& scheme_;
  std::span<const float> parts_;
  GroupQuantizer nearest_;
  float top_;
};

}  // namespace

QuantizedMatrix quantize_searched_rtn(std::span<float> weights, std::int64_t rows, std::int64_t cols,
                                      std::span<const float> importance, const QuantScheme& scheme, ThreadPool& pool) {
  NIBBLE_CHECK(static_cast<std::int64_t>(weights.size()) == rows * cols);
  NIBBLE_CHECK(importance.empty() || static_cast<std::int64_t>(importance.size()) == cols);
  const Grouping& grouping = scheme.scale->grouping;
  const std::int64_t group = grouping.kind == Grouping::Kind::kColumns ? std::min(grouping.size, cols) : cols;
  const std::int64_t groups = (cols + group - 1) / group;
  const std::vector<float> parts = trial_parts(scheme);
  const GroupSearch search(scheme, parts);
  QuantizedMatrix out;
  out.allocate(scheme, rows, cols, 0, rows);
  pool.run(static_cast<std::size_t>(rows), 4, [&](std::size_t begin, std::size_t end, int) {
    for (auto row = static_cast<std::int64_t>(begin); row < static_cast<std::int64_t>(end); ++row) {
      make_finite(weights.subspan(static_cast<std::size_t>(row * cols), static_cast<std::size_t>(cols)));
      for (std::int64_t n = 0; n < groups; ++n) {
        const std::int64_t first = row * cols + n * group;
        const auto size = static_cast<std::size_t>(std::min(group, cols - n * group));
        const std::span<const float> x = weights.subspan(static_cast<std::size_t>(first), size);
        const GroupGrid grid = search.choose(x, importance.empty() ? nullptr : importance.data() + n * group);
        search.encode(x, grid, out.codes.data() + first);
        store_entry(scheme.scale->element, grid.scale, out.scale.entries, row * groups + n);
        if (scheme.zero_kind == ZeroKind::kInteger)
          store_entry(ElementType::kI16, static_cast<float>(grid.zero), out.zero.entries, row * groups + n);
      }
    }
  });
  return out;
}

Result<std::vector<MatrixPtr>> search_linears(const ModelWeights& weights, std::span<const LinearId> linears,
                                              const InputGram& gram, const QuantScheme& scheme,
                                              FinishedLinears& finished, ThreadPool& pool) {
  const double unit = gram_unit(gram);
  if (unit == 0)
    log_warning("{}: its inputs are all 0, NaN or infinite, so its scales are searched as if all were alike",
                weights.layout().linears[static_cast<std::size_t>(linears.front())].name);
  std::vector<float> importance;  // empty: all columns alike
  for (std::int64_t j = 0; unit > 0 && j < gram.cols; ++j)
    importance.push_back(static_cast<float>(gram.sums[static_cast<std::size_t>(j * gram.cols + j)] /
                                            static_cast<double>(std::max<std::int64_t>(gram.tokens, 1))));
  const QuadraticForm h(gram, 0, gram.cols, unit);
  std::vector<MatrixPtr> out;
  for (const LinearId id : linears) {
    const auto begin = std::chrono::steady_clock::now();
    const LinearInfo& info = weights.layout().linears[static_cast<std::size_t>(id)];
    NIBBLE_TRY(FloatMatrix w, finite_weights(weights, id, pool));
    warn_of_non_finite(w, info.name);
    QuantizedMatrix matrix = quantize_searched_rtn(w.values, w.rows, w.cols, importance, scheme, pool);
    FinishedLinear linear;
    measure_errors(w, matrix, h, linear, pool);
    linear.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    NIBBLE_TRY(const MatrixPtr finished_matrix, finished.finish(id, std::move(matrix), std::move(linear)));
    out.push_back(finished_matrix);
  }
  return out;
}

}  // namespace nibble
