#include "quant/auto_round/auto_round.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <utility>

#include "base/check.h"
#include "quant/auto_round/rounded_matrix.h"
#include "quant/integer_groups.h"
#include "train/train_ops.h"

namespace nibble {
namespace {

class Tuner {
 public:
  Tuner(const BlockTask& task, TrainWeights& weights, const LinearSchemes& schemes, const AutoRoundOptions& options,
        ThreadPool& pool)
      : task_(task),
        weights_(weights),
        options_(options),
        pool_(pool),
        batch_{0, task.window, {}, {}},
        ops_(weights, batch_, gradients_of(task.linears), pool),
        random_(options.seed),
        order_(static_cast<std::size_t>(task.windows)),
        next_(order_.size()) {
    std::iota(order_.begin(), order_.end(), 0);
    for (const LinearId id : task.linears) {
      DenseMatrix& matrix = weights.matrix(id);
      rounded_.try_emplace(id, std::move(matrix.values), matrix.rows, matrix.cols, schemes.of(id));
      matrix.values.assign(static_cast<std::size_t>(matrix.rows * matrix.cols), 0.0f);
    }
  }

  Result<TunedBlock> run() {
    set_values();
    NIBBLE_TRY(out_.loss_before, judge());
    keep_as_best(0, out_.loss_before);
    const float rate = options_.rate > 0 ? options_.rate : 1.0f / static_cast<float>(std::max(options_.iterations, 1));
    const float reach_rate = !options_.tune_ranges ? 0.0f : options_.reach_rate > 0 ? options_.reach_rate : rate;
    for (int i = 0; i < options_.iterations; ++i) {
      const float left = 1.0f - static_cast<float>(i) / static_cast<float>(options_.iterations);
      NIBBLE_TRY_STATUS(iterate(rate * left, reach_rate * left));
      const int done = i + 1;
      if (done % options_.judge_every == 0 || done == options_.iterations) {
        NIBBLE_TRY(const double loss, judge());
        if (loss < out_.loss_after) keep_as_best(done, loss);
      }
      if (task_.progress && !task_.progress(done)) return fail(ErrorCode::kCancelled, "tuning was stopped");
    }
    return std::move(out_);
  }

 private:
  static GradientRequest gradients_of(const std::vector<LinearId>& linears) {
    GradientRequest request;
    request.matrices.insert(linears.begin(), linears.end());
    return request;
  }

  void set_values() {
    for (const auto& [id, rounded] : rounded_) rounded.values(weights_.matrix(id).values.data(), pool_);
  }

  void keep_as_best(int iteration, double loss) {
    out_.best_iteration = iteration;
    out_.loss_after = loss;
    for (const auto& [id, rounded] : rounded_) out_.matrices[id] = rounded.quantized(pool_);
  }

  /// Reads these windows, runs the block on them and calls use(y); parts of them after one another.
  template <typename Use>
  Status forward(std::span<const std::int64_t> windows, Use&& use) {
    const auto at_once = static_cast<std::size_t>(windows_at_once(options_, task_.window));
    const std::int64_t size = task_.window * task_.width;
    for (std::size_t first = 0; first < windows.size(); first += at_once) {
      const std::span<const std::int64_t> part = windows.subspan(first, std::min(at_once, windows.size() - first));
      batch_.windows = static_cast<std::int64_t>(part.size());
      x_.resize(part.size() * static_cast<std::size_t>(size));
      targets_.resize(x_.size());
      std::vector<Status> read(2 * part.size());
      pool_.run(read.size(), 1, [&](std::size_t begin, std::size_t end, int) {
        for (std::size_t i = begin; i < end; ++i)
          read[i] = i % 2 == 0 ? task_.inputs(part[i / 2], x_.data() + static_cast<std::int64_t>(i / 2) * size)
                               : task_.targets(part[i / 2], targets_.data() + static_cast<std::int64_t>(i / 2) * size);
      });
      for (const Status& status : read) NIBBLE_TRY_STATUS(status);
      use(task_.run(ops_, ops_.given(x_, task_.width)));
    }
    return {};
  }

  std::int64_t skipped() const { return options_.skip_first_token && task_.window > 1 ? 1 : 0; }
  bool counts(std::int64_t token) const { return token % task_.window >= skipped(); }

  /// Every token's sum of squared differences, added up in their order.
  double squared_error(std::span<const float> y) {
    const std::int64_t tokens = static_cast<std::int64_t>(y.size()) / task_.width;
    token_errors_.assign(static_cast<std::size_t>(tokens), 0.0);
    pool_.run(token_errors_.size(), 64, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t t = begin; t < end; ++t) {
        if (!counts(static_cast<std::int64_t>(t))) continue;
        const std::size_t first = t * static_cast<std::size_t>(task_.width);
        for (std::size_t i = first; i < first + static_cast<std::size_t>(task_.width); ++i) {
          const double difference = static_cast<double>(y[i]) - static_cast<double>(targets_[i]);
          token_errors_[t] += difference * difference;
        }
      }
    });
    return std::accumulate(token_errors_.begin(), token_errors_.end(), 0.0);
  }

  Result<double> judge() {
    const std::int64_t count = std::min(options_.judge_windows, task_.windows);
    std::vector<std::int64_t> windows;
    for (std::int64_t i = 0; i < count; ++i) windows.push_back(i * task_.windows / count);
    double sum = 0;
    NIBBLE_TRY_STATUS(forward(windows, [&](const Value& y) {
      sum += squared_error(TrainOps::numbers(y));
      ops_.forget();
    }));
    return sum / static_cast<double>(count * (task_.window - skipped()) * task_.width);
  }

  /// The next windows of a random order, which begins anew when it ends; ascending, as they lie in memory or file.
  std::vector<std::int64_t> draw_batch() {
    const auto count = static_cast<std::size_t>(std::min(options_.batch, task_.windows));
    if (next_ + count > order_.size()) {
      for (std::size_t i = 0; i < order_.size(); ++i) std::swap(order_[i], order_[i + random_() % (order_.size() - i)]);
      next_ = 0;
    }
    std::vector<std::int64_t> batch(order_.begin() + static_cast<std::ptrdiff_t>(next_),
                                    order_.begin() + static_cast<std::ptrdiff_t>(next_ + count));
    next_ += count;
    std::sort(batch.begin(), batch.end());
    return batch;
  }

  /// The gradient of half the sum of squares, as only signs are used.
  void set_output_gradient(std::span<const float> y) {
    d_y_.resize(y.size());
    pool_.run(y.size() / static_cast<std::size_t>(task_.width), 64, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t t = begin; t < end; ++t) {
        const std::size_t first = t * static_cast<std::size_t>(task_.width);
        const bool counted = counts(static_cast<std::int64_t>(t));
        for (std::size_t i = first; i < first + static_cast<std::size_t>(task_.width); ++i)
          d_y_[i] = counted ? y[i] - targets_[i] : 0.0f;
      }
    });
  }

  Status iterate(float rate, float reach_rate) {
    ops_.clear_gradients();
    NIBBLE_TRY_STATUS(forward(draw_batch(), [&](const Value& y) {
      set_output_gradient(TrainOps::numbers(y));
      ops_.backward(y, d_y_);
    }));
    for (auto& [id, rounded] : rounded_) {
      rounded.step(ops_.matrix_gradient(id).data(), rate, reach_rate, pool_);
      rounded.values(weights_.matrix(id).values.data(), pool_);
    }
    return {};
  }

  const BlockTask& task_;
  TrainWeights& weights_;
  const AutoRoundOptions& options_;
  ThreadPool& pool_;
  TrainBatch batch_;
  TrainOps ops_;
  std::mt19937_64 random_;
  std::vector<std::int64_t> order_;
  std::size_t next_;
  std::map<LinearId, RoundedMatrix> rounded_;
  std::vector<float> x_;
  std::vector<float> targets_;
  std::vector<float> d_y_;
  std::vector<double> token_errors_;
  TunedBlock out_;
};

}  // namespace

Status check_auto_round_scheme(const QuantScheme& scheme) {
  NIBBLE_TRY_STATUS(check_integer_groups(scheme, "autoround"));
  if (scheme.zero_kind != ZeroKind::kNone || scheme.code.bias == 1 << (scheme.code.bits - 1)) return {};
  return fail(ErrorCode::kUnsupported, "autoround cannot make {}: its codes are not centred on 0; use int4-g32-sym",
              to_string(scheme));
}

std::int64_t windows_at_once(const AutoRoundOptions& options, std::int64_t window) {
  constexpr std::int64_t kTokens = 2048;  // more is no faster, and takes memory
  const std::int64_t windows = options.windows_at_once > 0 ? options.windows_at_once : kTokens / window;
  return std::clamp<std::int64_t>(windows, 1, options.batch);
}

Result<TunedBlock> tune_block(const BlockTask& task, TrainWeights& weights, const LinearSchemes& schemes,
                              const AutoRoundOptions& options, ThreadPool& pool) {
  NIBBLE_CHECK(task.windows > 0 && task.window > 0 && options.batch > 0 && options.judge_windows > 0 &&
               options.judge_every > 0 && options.iterations >= 0);
  return Tuner(task, weights, schemes, options, pool).run();
}

}  // namespace nibble
