// Squared gradients by hand, as a prediction of the divergence that small errors cause, and what fitting makes of them.
#include "quant/wnam/squared_gradients.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "quant/bits/backward_walk.h"
#include "quant/calibration/block_evaluation.h"
#include "quant/float_matrix.h"
#include "quant/testing/golden_models.h"
#include "quant/wnam/wnam_by_gradients.h"

namespace nibble {
namespace {

TEST(SquaredGradients, AreSumsOfSquaresOverTokens) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  constexpr std::size_t kTokens = 37;
  constexpr std::size_t kRows = 5;
  constexpr std::size_t kCols = 9;
  SquaredGradients two_threads(kRows, kCols);
  SquaredGradients one_thread(kRows, kCols);
  ThreadPool pool(2);
  ThreadPool alone(1);
  std::vector<double> expected(kRows * kCols);
  for (int part = 0; part < 3; ++part) {
    std::vector<float> x(kTokens * kCols);
    std::vector<float> d_y(kTokens * kRows);
    for (float& v : x) v = normal(random);
    for (float& v : d_y) v = normal(random);
    for (std::size_t t = 0; t < kTokens; ++t)
      for (std::size_t r = 0; r < kRows; ++r)
        for (std::size_t c = 0; c < kCols; ++c)
          expected[r * kCols + c] += std::pow(static_cast<double>(d_y[t * kRows + r] * x[t * kCols + c]), 2);
    two_threads.add(x, d_y, pool);
    one_thread.add(x, d_y, alone);
  }
  EXPECT_EQ(two_threads.sums(), one_thread.sums());
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(static_cast<double>(two_threads.sums()[i]), expected[i], 1e-5 * expected[i]);
}

TEST(SquaredGradients, ImportanceIsPositiveAndKeepsRatios) {
  ThreadPool pool(1);
  SquaredGradients g(3, 2);
  // Row 0: 4 and 0; row 1: 36 and 0; row 2 never has a gradient.
  g.add(std::vector<float>{1, 0}, std::vector<float>{2, 6, 0}, pool);
  const std::vector<float> importance = g.importance();
  // Means of the rows: 2 and 18, of both 10.
  EXPECT_EQ(importance, (std::vector<float>{0.4f, 2e-4f, 3.6f, 1.8e-3f, 1.0f, 1.0f}));
  SquaredGradients broken(2, 2);
  broken.add(std::vector<float>{1, std::numeric_limits<float>::quiet_NaN()}, std::vector<float>{1, 1}, pool);
  EXPECT_EQ(broken.importance(), std::vector<float>(4, 1.0f));
}

/// One linear's weights moved by +-epsilon.
class Moved final : public ModelWeights {
 public:
  Moved(const ModelWeights& original, LinearId id, float epsilon, unsigned seed, ThreadPool& pool)
      : original_(original), id_(id) {
    FloatMatrix weights = finite_weights(original, id, pool).value();
    std::mt19937 random(seed);
    for (float& w : weights.values) w += random() % 2 == 0 ? epsilon : -epsilon;
    QuantizedMatrix out;
    out.allocate(QuantScheme::of_float(ElementType::kF32), weights.rows, weights.cols, 0, weights.rows);
    std::memcpy(out.codes.data(), weights.values.data(), weights.values.size() * sizeof(float));
    matrix_ = make_source(std::move(out));
  }
  const ModelConfig& config() const override { return original_.config(); }
  const ModelLayout& layout() const override { return original_.layout(); }
  std::string path() const override { return original_.path(); }
  Result<MatrixPtr> matrix(LinearId id) const override {
    if (id == id_) return matrix_;
    return original_.matrix(id);
  }
  Result<std::vector<float>> bias(LinearId id) const override { return original_.bias(id); }
  Result<std::vector<float>> vector(VectorId id) const override { return original_.vector(id); }

 private:
  const ModelWeights& original_;
  LinearId id_;
  MatrixPtr matrix_;
};

/// Errors of random signs do not see each other, so half the sum of squared gradients times squared errors is the
/// divergence: both of the last block's down projection, whose outputs reach no other position, and of the first
/// block's gate, whose outputs do.
TEST(SquaredGradients, PredictTheDivergenceOfIndependentErrors) {
  ThreadPool pool(2);
  const ModelFiles::Ptr files = open_golden("llama");
  const CalibrationTokens tokens = random_tokens(*files, 80, 40);
  const auto store = std::make_shared<ActivationStore>(ActivationStore::Options{});
  const std::vector<StoredActivations> hidden = block_inputs(*files, tokens, store, pool).value();
  for (const LinearId id : {files->layout().blocks.back().down_proj, files->layout().blocks.front().gate_proj}) {
    const LinearInfo& info = files->layout().linears[static_cast<std::size_t>(id)];
    SCOPED_TRACE(info.name);
    double sum = 0;
    constexpr int kDraws = 4;
    for (int draw = 0; draw < kDraws; ++draw) {
      const WalkTask task{*files, tokens, hidden, store, static_cast<std::uint64_t>(draw)};
      const auto walk = BackwardWalk::create(task, pool).value();
      ASSERT_TRUE(walk->visit_head({}).ok());
      SquaredGradients g(info.rows, info.cols);
      for (int layer = 1; layer >= info.layer; --layer)
        ASSERT_TRUE(walk->visit_block(layer,
                                      [&](LinearId at, std::size_t, std::span<const float> x,
                                          std::span<const float> d_y) -> Status {
                                        if (at == id) g.add(x, d_y, pool);
                                        return {};
                                      })
                        .ok());
      for (const float value : g.sums()) sum += static_cast<double>(value) / kDraws;
    }
    const FloatMatrix weights = finite_weights(*files, id, pool).value();
    double square = 0;
    for (const float w : weights.values) square += static_cast<double>(w) * static_cast<double>(w);
    const float epsilon = 0.02f * static_cast<float>(std::sqrt(square / static_cast<double>(weights.values.size())));
    double measured = 0;
    constexpr int kMoves = 8;
    for (int move = 0; move < kMoves; ++move) {
      const Moved moved(*files, id, epsilon, static_cast<unsigned>(move), pool);
      const Evaluation found = evaluate_blocks(moved, *files, tokens, {}, {}, pool).value();
      measured += found.comparison->kld_mean / kMoves;
    }
    const double predicted =
        0.5 * static_cast<double>(epsilon * epsilon) * sum / static_cast<double>(tokens.ids.size());
    EXPECT_GT(measured, 1e-7);
    EXPECT_NEAR(predicted / measured, 1.0, 0.2);
  }
}

/// A weight each for two rows that need other entries.
TEST(WnamByGradients, EachRowIsFittedByItsOwnWeights) {
  ThreadPool pool(1);
  const std::vector<float> weights{0, 1, 2, 10, 0, 1, 2, 10};
  const QuantScheme scheme = parse_scheme("codebook1-row").value();
  std::vector<float> importance{1, 1, 1, 1e4f, 1e4f, 1, 1, 1e-4f};
  const QuantizedMatrix matrix = fit_codebooks(weights, 2, 4, importance, scheme, {}, pool);
  std::vector<float> values(8);
  dequantize(matrix, values.data());
  EXPECT_EQ(values[3], 10.0f) << "the weight that counts";
  EXPECT_NEAR(values[4], 0.0f, 1e-3f);
  EXPECT_LT(values[7], 9.0f) << "the weight that does not";
  for (std::size_t i = 0; i < 8; ++i) importance[i] = i % 4 == 3 ? 5.0f : 1.0f;
  const QuantizedMatrix by_weight = fit_codebooks(weights, 2, 4, importance, scheme, {}, pool);
  const QuantizedMatrix by_column = fit_codebooks(weights, 2, 4, std::span(importance).first(4), scheme, {}, pool);
  EXPECT_EQ(by_weight.codes, by_column.codes);
  EXPECT_EQ(by_weight.tables, by_column.tables);
}

TEST(WnamByGradients, FinishesEveryLinearFromTheLastBlockOn) {
  const ModelFiles::Ptr files = open_golden("qwen2");
  const CalibrationTokens tokens = random_tokens(*files, 12, 32);
  const LinearSchemes schemes(parse_scheme("codebook3-row-g16").value());
  std::vector<std::vector<std::uint8_t>> codes;
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    FinishedLinears finished(files->layout(), nullptr);
    ASSERT_TRUE(wnam_matrices_by_gradients(*files, tokens, schemes, {}, 0, {}, finished, pool).ok());
    EXPECT_EQ(finished.all().size(), 14u);
    std::vector<std::uint8_t> all;
    for (const auto& [id, linear] : finished.all()) {
      EXPECT_GT(linear.error, 0);
      EXPECT_LT(linear.error, 0.1);
      QuantizedMatrix matrix;
      ASSERT_TRUE(linear.matrix->decode(0, linear.matrix->rows(), matrix).ok());
      all.insert(all.end(), matrix.codes.begin(), matrix.codes.end());
    }
    codes.push_back(all);
  }
  EXPECT_EQ(codes[0], codes[1]);
}

}  // namespace
}  // namespace nibble
