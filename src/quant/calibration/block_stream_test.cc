// The driver against the engine: what its linears see, and that quantized blocks feed the next ones.
#include "quant/calibration/block_stream.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "kernel/gram/gram.h"
#include "quant/recording_ops.h"
#include "quant/rtn/rtn.h"
#include "quant/testing/golden_models.h"

namespace nibble {
namespace {

const char* const kModels[] = {"llama", "llama-tied", "qwen2", "qwen3", "gemma3", "mistral-window"};

/// What the engine's linears see, each window by itself: [tokens, cols] each.
std::map<LinearId, std::vector<float>> inputs_in_engine(const CpuModel::Ptr& model,
                                                        const std::shared_ptr<ThreadPool>& pool,
                                                        const CalibrationTokens& tokens) {
  std::map<LinearId, std::vector<float>> inputs;
  CpuExecutor::Options options;
  options.compute = kernel::Compute::kF32;
  options.wrap_ops = recording_ops([&](std::span<const LinearId> linears, std::span<const float> x, std::int64_t) {
    for (const LinearId id : linears) inputs[id].insert(inputs[id].end(), x.begin(), x.end());
  });
  CpuExecutor executor(model, pool, options);
  for (std::size_t at = 0; at < tokens.ids.size(); at += static_cast<std::size_t>(tokens.window)) {
    const auto sequence = executor.new_sequence();
    const BatchItem item{sequence.get(), std::span(tokens.ids).subspan(at, static_cast<std::size_t>(tokens.window)),
                         BatchItem::Logits::kNone};
    EXPECT_TRUE(executor.forward({&item, 1}, [](std::size_t, std::int64_t, std::int64_t, const float*) {}).ok());
  }
  return inputs;
}

/// The sums over these.
std::map<LinearId, InputGram> seen_by_engine(const CpuModel::Ptr& model, const std::shared_ptr<ThreadPool>& pool,
                                             const CalibrationTokens& tokens) {
  std::map<LinearId, InputGram> grams;
  for (const auto& [id, x] : inputs_in_engine(model, pool, tokens)) {
    const std::int64_t width = model->layout().linears[static_cast<std::size_t>(id)].cols;
    InputGram& gram = grams.try_emplace(id, width).first->second;
    gram.tokens = static_cast<std::int64_t>(x.size()) / width;
    kernel::add_gram(x.data(), gram.tokens, width, width, gram.sums.data(), *pool);
    for (std::size_t i = 0; i < x.size(); ++i)
      gram.abs_sums[i % static_cast<std::size_t>(width)] += static_cast<double>(std::fabs(x[i]));
  }
  return grams;
}

void expect_near(const InputGram& got, const InputGram& expected, const std::string& what) {
  ASSERT_EQ(got.cols, expected.cols) << what;
  EXPECT_EQ(got.tokens, expected.tokens) << what;
  for (std::size_t i = 0; i < got.abs_sums.size(); ++i)
    ASSERT_NEAR(got.abs_sums[i], expected.abs_sums[i], 1e-4 * expected.abs_sums[i] + 1e-12) << what << " at " << i;
  for (std::int64_t i = 0; i < got.cols; ++i)
    for (std::int64_t j = i; j < got.cols; ++j) {
      const auto at = static_cast<std::size_t>(i * got.cols + j);
      const auto diagonal = [&](std::int64_t d) { return expected.sums[static_cast<std::size_t>(d * got.cols + d)]; };
      // Sums of the same numbers in other portions.
      ASSERT_NEAR(got.sums[at], expected.sums[at], 1e-4 * std::sqrt(diagonal(i) * diagonal(j)) + 1e-12)
          << what << " at " << i << ", " << j;
    }
}

/// Rounds every linear to nearest, and keeps what it is given.
QuantizeLinears rounds(const ModelFiles& files, const QuantScheme& scheme, ThreadPool& pool,
                       std::map<LinearId, InputGram>& got) {
  return [&](std::span<const LinearId> linears, const InputGram& gram) -> Result<std::vector<MatrixPtr>> {
    std::vector<MatrixPtr> out;
    for (const LinearId id : linears) {
      got.emplace(id, gram);
      out.push_back(quantize_rtn(files.matrix(id).value(), scheme, {}, pool).value());
    }
    return out;
  };
}

/// The same model for the engine.
CpuModelOptions rounded_blocks(const QuantScheme& scheme, ThreadPool& pool) {
  CpuModelOptions options;
  options.matrix_hook = [&](const LinearInfo& linear, MatrixPtr stored) -> Result<MatrixPtr> {
    if (linear.role != LinearInfo::Role::kBlock) return stored;
    return quantize_rtn(std::move(stored), scheme, {}, pool);
  };
  return options;
}

TEST(BlockStream, LinearsSeeWhatTheySeeInTheEngine) {
  for (const char* name : kModels) {
    SCOPED_TRACE(name);
    const ModelFiles::Ptr files = open_golden(name);
    const auto pool = std::make_shared<ThreadPool>(2);
    const CpuModel::Ptr model = CpuModel::load(files, {}, *pool).value();
    // More windows than fit into a slice.
    const CalibrationTokens tokens = random_tokens(*files, 150, 20);
    const std::map<LinearId, InputGram> expected = seen_by_engine(model, pool, tokens);
    std::map<LinearId, InputGram> got;
    const QuantizeLinears as_they_are = [&](std::span<const LinearId> linears,
                                            const InputGram& gram) -> Result<std::vector<MatrixPtr>> {
      std::vector<MatrixPtr> out;
      for (const LinearId id : linears) {
        EXPECT_TRUE(got.emplace(id, gram).second);
        out.push_back(files->matrix(id).value());
      }
      return out;
    };
    ASSERT_TRUE(stream_blocks(*files, tokens, as_they_are, {}, *pool).ok());
    std::size_t block_linears = 0;
    for (std::size_t i = 0; i < files->layout().linears.size(); ++i) {
      if (files->layout().linears[i].role != LinearInfo::Role::kBlock) continue;
      ++block_linears;
      const auto id = static_cast<LinearId>(i);
      expect_near(got.at(id), expected.at(id), files->layout().linears[i].name);
    }
    EXPECT_EQ(got.size(), block_linears);
  }
}

/// Each linear's inputs are those that the quantized linears before it give.
TEST(BlockStream, QuantizedLinearsFeedTheNext) {
  const ModelFiles::Ptr files = open_golden("llama");
  const auto pool = std::make_shared<ThreadPool>(2);
  const QuantScheme scheme = parse_scheme("int4-g16-sym").value();
  const CpuModelOptions options = rounded_blocks(scheme, *pool);
  const CpuModel::Ptr quantized = CpuModel::load(files, options, *pool).value();
  const CalibrationTokens tokens = random_tokens(*files, 9, 32);
  const std::map<LinearId, InputGram> expected = seen_by_engine(quantized, pool, tokens);
  std::map<LinearId, InputGram> got;
  const QuantizeLinears to_nearest = rounds(*files, scheme, *pool, got);
  ASSERT_TRUE(stream_blocks(*files, tokens, to_nearest, {}, *pool).ok());
  for (const auto& [id, gram] : got) expect_near(gram, expected.at(id), std::to_string(id));
}

/// (x_original - x) x^T of the same tokens.
TEST(BlockStream, TheOriginalGoesAlong) {
  for (const char* name : kModels) {
    SCOPED_TRACE(name);
    const ModelFiles::Ptr files = open_golden(name);
    const auto pool = std::make_shared<ThreadPool>(2);
    const QuantScheme scheme = parse_scheme("int3-g16-sym").value();
    const CpuModelOptions options = rounded_blocks(scheme, *pool);
    const CalibrationTokens tokens = random_tokens(*files, 150, 20);
    const auto original = inputs_in_engine(CpuModel::load(files, {}, *pool).value(), pool, tokens);
    const auto quantized = inputs_in_engine(CpuModel::load(files, options, *pool).value(), pool, tokens);
    std::map<LinearId, InputGram> got;
    const QuantizeLinears to_nearest = rounds(*files, scheme, *pool, got);
    StreamOptions with_original;
    with_original.drift = true;
    ASSERT_TRUE(stream_blocks(*files, tokens, to_nearest, with_original, *pool).ok());
    double largest = 0;
    for (const auto& [id, gram] : got) {
      const std::vector<float>& x = quantized.at(id);
      const std::vector<float>& y = original.at(id);
      const auto cols = static_cast<std::size_t>(gram.cols);
      ASSERT_EQ(gram.drift.size(), cols * cols);
      std::vector<double> expected(cols * cols);
      double energy = 0;
      for (std::size_t t = 0; t < x.size(); t += cols)
        for (std::size_t i = 0; i < cols; ++i) {
          const double difference = static_cast<double>(y[t + i]) - static_cast<double>(x[t + i]);
          energy += static_cast<double>(x[t + i]) * static_cast<double>(x[t + i]) / static_cast<double>(cols);
          for (std::size_t j = 0; j < cols; ++j) expected[i * cols + j] += difference * static_cast<double>(x[t + j]);
        }
      for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(gram.drift[i], expected[i], 1e-4 * energy) << id << " at " << i;
        largest = std::max(largest, std::abs(expected[i]) / energy);
      }
    }
    EXPECT_GT(largest, 1e-2);
  }
}

/// A bias that is replaced reaches what follows: attention averages v, so its outputs move by as much as v's bias.
TEST(BlockStream, ReplacedBiasesFeedTheNext) {
  const ModelFiles::Ptr files = open_golden("qwen2");
  ThreadPool pool(2);
  const CalibrationTokens tokens = random_tokens(*files, 9, 32);
  const BlockLayout& block = files->layout().blocks[0];
  std::vector<std::map<LinearId, InputGram>> seen(2);
  std::vector<float> bias = files->bias(block.v_proj).value();
  for (float& value : bias) value += 0.5f;
  for (const bool replaced : {false, true}) {
    const QuantizeLinears as_they_are = [&](std::span<const LinearId> linears,
                                            const InputGram& gram) -> Result<std::vector<MatrixPtr>> {
      std::vector<MatrixPtr> out;
      for (const LinearId id : linears) {
        seen[replaced ? 1 : 0].emplace(id, gram);
        out.push_back(files->matrix(id).value());
      }
      return out;
    };
    StreamOptions options;
    if (replaced) options.bias = [&](LinearId id) { return id == block.v_proj ? &bias : nullptr; };
    ASSERT_TRUE(stream_blocks(*files, tokens, as_they_are, options, pool).ok());
  }
  const InputGram& before = seen[0].at(block.o_proj);
  const InputGram& after = seen[1].at(block.o_proj);
  for (std::size_t c = 0; c < before.plain_sums.size(); ++c)
    EXPECT_NEAR(after.plain_sums[c] - before.plain_sums[c], 0.5 * static_cast<double>(before.tokens), 1e-2);
}

TEST(BlockStream, PassesOnErrorsAndStops) {
  const ModelFiles::Ptr files = open_golden("llama");
  ThreadPool pool(1);
  const CalibrationTokens tokens = random_tokens(*files, 2, 16);
  int calls = 0;
  const QuantizeLinears fails = [&](std::span<const LinearId>, const InputGram&) -> Result<std::vector<MatrixPtr>> {
    if (++calls == 3) return fail(ErrorCode::kUnsupported, "no");
    return fail(ErrorCode::kCorrupt, "{} is the first", calls);
  };
  const Status failed = stream_blocks(*files, tokens, fails, {}, pool);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().message, "1 is the first");
  EXPECT_EQ(calls, 1) << "nothing is quantized after an error";
  const QuantizeLinears as_they_are = [&](std::span<const LinearId> linears,
                                          const InputGram&) -> Result<std::vector<MatrixPtr>> {
    std::vector<MatrixPtr> out;
    for (const LinearId id : linears) out.push_back(files->matrix(id).value());
    return out;
  };
  StreamOptions stop;
  stop.progress = [](std::string_view, std::uint64_t, std::uint64_t, std::string_view) { return false; };
  const Status stopped = stream_blocks(*files, tokens, as_they_are, stop, pool);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace nibble
