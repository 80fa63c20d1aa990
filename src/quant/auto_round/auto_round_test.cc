// The tuner on blocks of the golden models: it starts from round-to-nearest, never ends above it, does better where it
// may tune, and depends on nothing but its seed.
#include "quant/auto_round/auto_round.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "model/decoder.h"
#include "model/model_files.h"
#include "quant/rtn/rtn.h"
#include "quant/weights_as_floats.h"
#include "train/train_ops.h"

namespace nibble {
namespace {

constexpr std::int64_t kWindows = 12;
constexpr std::int64_t kWindow = 10;

/// The first block of a model, on random inputs.
class FirstBlock {
 public:
  explicit FirstBlock(const std::string& model)
      : files_(ModelFiles::open(std::filesystem::path(NIBBLE_SOURCE_DIR) / "tests/golden/models" / model).value()) {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    x_.resize(static_cast<std::size_t>(kWindows * kWindow * width()));
    for (float& v : x_) v = normal(random);
    TrainWeights weights = originals();
    y_ = outputs(weights);
  }

  std::int64_t width() const { return files_->config().hidden_size; }
  std::vector<LinearId> linears() const {
    const BlockLayout& block = files_->layout().blocks[0];
    return {block.q_proj, block.k_proj, block.v_proj, block.o_proj, block.gate_proj, block.up_proj, block.down_proj};
  }
  TrainWeights originals() const {
    ThreadPool pool(1);
    TrainWeights out = TrainWeights::load(*files_, kWindow).value();
    for (const LinearId id : linears()) {
      const LinearInfo& info = files_->layout().linears[static_cast<std::size_t>(id)];
      out.matrix(id) = {info.rows, info.cols, weights_as_floats(*files_->matrix(id).value(), pool).value()};
    }
    return out;
  }
  Value run(Ops& ops, const Value& x) const { return decoder_block(ops, files_->config(), files_->layout(), 0, x); }

  std::vector<float> outputs(const TrainWeights& weights) const {
    ThreadPool pool(1);
    const TrainBatch batch{kWindows, kWindow, {}, {}};
    TrainOps ops(weights, batch, {}, pool);
    const Value y = run(ops, ops.given(x_, width()));
    return {TrainOps::numbers(y).begin(), TrainOps::numbers(y).end()};
  }

  /// With these matrices quantized: the mean squared difference from the original's outputs, first tokens left out.
  double loss_of(const std::map<LinearId, QuantizedMatrix>& matrices) const {
    TrainWeights weights = originals();
    for (const auto& [id, matrix] : matrices) dequantize(matrix, weights.matrix(id).values.data());
    const std::vector<float> y = outputs(weights);
    double sum = 0;
    for (std::int64_t i = 0; i < kWindows * kWindow * width(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double difference = static_cast<double>(y[at]) - static_cast<double>(y_[at]);
      if (i / width() % kWindow != 0) sum += difference * difference;
    }
    return sum / static_cast<double>(kWindows * (kWindow - 1) * width());
  }

  std::map<LinearId, QuantizedMatrix> to_nearest(const QuantScheme& scheme) const {
    std::map<LinearId, QuantizedMatrix> out;
    TrainWeights weights = originals();
    for (const LinearId id : linears()) {
      DenseMatrix& matrix = weights.matrix(id);
      quantize_rtn_rows(matrix.values.data(), matrix.rows, matrix.cols, 0, matrix.rows, scheme, {}, out[id]);
    }
    return out;
  }

  BlockTask task() const {
    BlockTask task;
    task.run = [this](Ops& ops, const Value& x) { return run(ops, x); };
    task.linears = linears();
    task.windows = kWindows;
    task.window = kWindow;
    task.width = width();
    const std::int64_t size = kWindow * width();
    task.inputs = [this, size](std::int64_t number, float* out) -> Status {
      std::copy_n(x_.begin() + number * size, size, out);
      return {};
    };
    task.targets = [this, size](std::int64_t number, float* out) -> Status {
      std::copy_n(y_.begin() + number * size, size, out);
      return {};
    };
    return task;
  }

 private:
  ModelFiles::Ptr files_;
  std::vector<float> x_;
  std::vector<float> y_;
};

AutoRoundOptions quick() {
  AutoRoundOptions options;
  options.iterations = 40;
  options.batch = 5;
  options.judge_windows = kWindows;
  return options;
}

TunedBlock tune(const FirstBlock& block, const QuantScheme& scheme, const AutoRoundOptions& options, int threads = 1) {
  ThreadPool pool(threads);
  TrainWeights weights = block.originals();
  return tune_block(block.task(), weights, scheme, options, pool).value();
}

TEST(AutoRound, BeginsAtRoundToNearestAndEndsBelow) {
  for (const char* model : {"llama", "qwen3", "gemma3"}) {
    const FirstBlock block(model);
    for (const char* name : {"int2-g16-asym", "int3-g16-sym", "int4-channel-asym"}) {
      SCOPED_TRACE(std::string(model) + " " + name);
      const QuantScheme scheme = parse_scheme(name).value();
      const TunedBlock tuned = tune(block, scheme, quick());
      EXPECT_NEAR(tuned.loss_before, block.loss_of(block.to_nearest(scheme)), 1e-5 * tuned.loss_before);
      EXPECT_NEAR(tuned.loss_after, block.loss_of(tuned.matrices), 1e-5 * tuned.loss_after);
      EXPECT_LT(tuned.loss_after, 0.75 * tuned.loss_before);
      EXPECT_GT(tuned.best_iteration, 0);
      for (const auto& [id, matrix] : tuned.matrices) EXPECT_TRUE(matrix.validate().ok());
    }
  }
}

/// Steps that can only do harm: the best iterate is the first.
TEST(AutoRound, NeverEndsAboveRoundToNearest) {
  const FirstBlock block("llama");
  const QuantScheme scheme = parse_scheme("int8-g16-sym").value();
  AutoRoundOptions options = quick();
  options.rate = 50.0f;
  options.reach_rate = 50.0f;
  const TunedBlock tuned = tune(block, scheme, options);
  EXPECT_EQ(tuned.best_iteration, 0);
  EXPECT_EQ(tuned.loss_after, tuned.loss_before);
  const auto expected = block.to_nearest(scheme);
  for (const auto& [id, matrix] : tuned.matrices) EXPECT_EQ(matrix.codes, expected.at(id).codes);
}

TEST(AutoRound, DependsOnItsSeedAlone) {
  const FirstBlock block("mistral-window");
  const QuantScheme scheme = parse_scheme("int3-g16-asym").value();
  const auto codes = [&](int threads, std::uint64_t seed) {
    AutoRoundOptions options = quick();
    options.seed = seed;
    options.iterations = 10;
    std::vector<std::uint8_t> out;
    for (const auto& [id, matrix] : tune(block, scheme, options, threads).matrices)
      out.insert(out.end(), matrix.codes.begin(), matrix.codes.end());
    return out;
  };
  const std::vector<std::uint8_t> first = codes(1, 0);
  EXPECT_EQ(codes(2, 0), first);
  EXPECT_EQ(codes(3, 0), first);
  EXPECT_NE(codes(1, 1), first);
}

TEST(AutoRound, TargetsThatAreNotNumbersLeaveRoundToNearest) {
  const FirstBlock block("llama");
  const QuantScheme scheme = parse_scheme("int4-g16-sym").value();
  BlockTask task = block.task();
  task.targets = [&](std::int64_t, float* out) -> Status {
    std::fill_n(out, kWindow * block.width(), std::numeric_limits<float>::quiet_NaN());
    return {};
  };
  ThreadPool pool(1);
  TrainWeights weights = block.originals();
  const TunedBlock tuned = tune_block(task, weights, scheme, quick(), pool).value();
  const auto expected = block.to_nearest(scheme);
  for (const auto& [id, matrix] : tuned.matrices) EXPECT_EQ(matrix.codes, expected.at(id).codes);
}

TEST(AutoRound, StopsWhenAskedAndPassesOnErrors) {
  const FirstBlock block("llama");
  const QuantScheme scheme = parse_scheme("int4-g16-sym").value();
  ThreadPool pool(1);
  BlockTask task = block.task();
  int done = 0;
  task.progress = [&](int iterations) {
    done = iterations;
    return iterations < 3;
  };
  TrainWeights weights = block.originals();
  const auto stopped = tune_block(task, weights, scheme, quick(), pool);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(done, 3);
  task.inputs = [](std::int64_t, float*) -> Status { return fail(ErrorCode::kIo, "no disk"); };
  weights = block.originals();
  const auto failed = tune_block(task, weights, scheme, quick(), pool);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().message, "no disk");
}

TEST(AutoRound, NamesWhatItCannotMake) {
  for (const char* name : {"nf4-g64", "int1-g32", "ternary-g32", "int4-block32x32", "fp8-e4m3-channel", "q4_k"}) {
    const Result<QuantScheme> scheme = parse_scheme(name);
    if (!scheme.ok()) continue;
    const Status status = check_auto_round_scheme(*scheme);
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_NE(status.error().message.find("autoround cannot make"), std::string::npos) << name;
  }
  for (const char* name : {"int2-g16-asym", "int4-g128-sym", "int8-channel-sym"})
    EXPECT_TRUE(check_auto_round_scheme(parse_scheme(name).value()).ok()) << name;
}

}  // namespace
}  // namespace nibble
