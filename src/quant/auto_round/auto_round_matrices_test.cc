// AutoRound over whole models: what the streams of activations are, threads, interruption, and the mode without tuning.
#include "quant/auto_round/auto_round_matrices.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "model/decoder.h"
#include "quant/testing/golden_models.h"
#include "quant/weights_as_floats.h"
#include "train/train_ops.h"

namespace nibble {
namespace {

constexpr std::int64_t kWindows = 9;
constexpr std::int64_t kWindow = 12;

AutoRoundOptions quick() {
  AutoRoundOptions options;
  options.iterations = 20;
  options.batch = 4;
  options.judge_windows = kWindows;
  return options;
}

/// Outputs of the last block, the linears in `replaced` as given there.
std::vector<float> last_outputs(const ModelFiles& files, const CalibrationTokens& tokens,
                                const std::map<LinearId, FinishedLinear>& replaced) {
  ThreadPool pool(1);
  TrainWeights weights = TrainWeights::load(files, kWindow).value();
  const ModelLayout& layout = files.layout();
  for (std::size_t i = 0; i < layout.linears.size(); ++i) {
    const auto id = static_cast<LinearId>(i);
    const auto found = replaced.find(id);
    const MatrixPtr matrix = found == replaced.end() ? files.matrix(id).value() : found->second.matrix;
    weights.matrix(id) = {matrix->rows(), matrix->cols(), weights_as_floats(*matrix, pool).value()};
  }
  const TrainBatch batch{kWindows, kWindow, tokens.ids, {}};
  TrainOps ops(weights, batch, {}, pool);
  Value x = decoder_embed(ops, files.config(), layout);
  for (int layer = 0; layer < static_cast<int>(files.config().num_hidden_layers); ++layer)
    x = decoder_block(ops, files.config(), layout, layer, x);
  return {TrainOps::numbers(x).begin(), TrainOps::numbers(x).end()};
}

std::map<LinearId, std::vector<std::uint8_t>> codes_of(const FinishedLinears& finished) {
  std::map<LinearId, std::vector<std::uint8_t>> out;
  for (const auto& [id, linear] : finished.all()) {
    QuantizedMatrix matrix;
    EXPECT_TRUE(linear.matrix->decode(0, linear.matrix->rows(), matrix).ok());
    out[id] = matrix.codes;
    out[id].insert(out[id].end(), reinterpret_cast<const std::uint8_t*>(matrix.scale.entries.data()),
                   reinterpret_cast<const std::uint8_t*>(matrix.scale.entries.data() + matrix.scale.entries.size()));
  }
  return out;
}

/// The loss of the last block is the difference between the whole original and the whole quantized model there: so
/// targets came from the original's stream and inputs from the quantized one's.
TEST(AutoRoundMatrices, BothStreamsGoThroughTheModel) {
  for (const char* name : {"llama", "gemma3"}) {
    SCOPED_TRACE(name);
    const ModelFiles::Ptr files = open_golden(name);
    const CalibrationTokens tokens = random_tokens(*files, kWindows, kWindow);
    ThreadPool pool(1);
    FinishedLinears finished(files->layout(), nullptr);
    const auto blocks =
        auto_round_matrices(*files, tokens, parse_scheme("int3-g16-asym").value(), quick(), {}, finished, pool);
    ASSERT_TRUE(blocks.ok());
    ASSERT_EQ(static_cast<std::int64_t>(blocks->size()), files->config().num_hidden_layers);
    EXPECT_EQ(static_cast<std::int64_t>(finished.all().size()), 7 * files->config().num_hidden_layers);
    for (const AutoRoundBlock& block : *blocks) EXPECT_LT(block.loss_after, block.loss_before) << block.layer;
    for (const auto& [id, linear] : finished.all()) {
      EXPECT_GT(linear.error, 0.0);
      EXPECT_LT(linear.error, 0.5);
      EXPECT_GT(linear.rtn_error, 0.0);
    }
    const std::vector<float> original = last_outputs(*files, tokens, {});
    const std::vector<float> quantized = last_outputs(*files, tokens, finished.all());
    double sum = 0;
    const std::int64_t width = files->config().hidden_size;
    for (std::size_t i = 0; i < original.size(); ++i) {
      const double difference = static_cast<double>(original[i]) - static_cast<double>(quantized[i]);
      if (static_cast<std::int64_t>(i) / width % kWindow != 0) sum += difference * difference;
    }
    const double loss = sum / static_cast<double>(kWindows * (kWindow - 1) * width);
    EXPECT_NEAR(blocks->back().loss_after, loss, 1e-3 * loss);
  }
}

TEST(AutoRoundMatrices, ThreadsChangeNothing) {
  const ModelFiles::Ptr files = open_golden("qwen2");
  const CalibrationTokens tokens = random_tokens(*files, kWindows, kWindow);
  AutoRoundOptions options = quick();
  options.iterations = 5;
  std::map<LinearId, std::vector<std::uint8_t>> first;
  for (const int threads : {1, 2}) {
    ThreadPool pool(threads);
    FinishedLinears finished(files->layout(), nullptr);
    const QuantScheme scheme = parse_scheme("int4-g16-sym").value();
    ASSERT_TRUE(auto_round_matrices(*files, tokens, scheme, options, {}, finished, pool).ok());
    if (first.empty()) first = codes_of(finished);
    EXPECT_EQ(codes_of(finished), first);
  }
}

class Interrupted : public ::testing::Test {
 protected:
  Interrupted() : folder_(std::filesystem::temp_directory_path() / ("nibble_autoround" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~Interrupted() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(Interrupted, GoesOnToTheSameBytes) {
  const ModelFiles::Ptr files = open_golden("llama");
  const CalibrationTokens tokens = random_tokens(*files, kWindows, kWindow);
  const QuantScheme scheme = parse_scheme("int3-g16-sym").value();
  ThreadPool pool(1);
  FinishedLinears whole(files->layout(), nullptr);
  ASSERT_TRUE(auto_round_matrices(*files, tokens, scheme, quick(), {}, whole, pool).ok());
  StreamOptions stops;
  stops.progress = [](std::string_view, std::uint64_t done, std::uint64_t, std::string_view) { return done < 27; };
  {
    FinishedLinears begun(files->layout(), Journal::open(folder_ / "out", Json::object(), false).value());
    const auto stopped = auto_round_matrices(*files, tokens, scheme, quick(), stops, begun, pool);
    ASSERT_FALSE(stopped.ok());
    EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
    EXPECT_EQ(begun.all().size(), 7u) << "the first block is done, the second is not";
  }
  const Journal::Ptr journal = Journal::open(folder_ / "out", Json::object(), true).value();
  FinishedLinears resumed(files->layout(), journal);
  ASSERT_TRUE(auto_round_matrices(*files, tokens, scheme, quick(), {}, resumed, pool).ok());
  EXPECT_EQ(codes_of(resumed), codes_of(whole));
  journal->remove();
}

TEST(AutoRoundMatrices, WithoutIterationsScalesAreSearched) {
  const ModelFiles::Ptr files = open_golden("qwen3");
  const CalibrationTokens tokens = random_tokens(*files, kWindows, kWindow);
  ThreadPool pool(2);
  AutoRoundOptions options;
  options.iterations = 0;
  FinishedLinears finished(files->layout(), nullptr);
  const QuantScheme scheme = parse_scheme("int3-g16-sym").value();
  const auto blocks = auto_round_matrices(*files, tokens, scheme, options, {}, finished, pool);
  ASSERT_TRUE(blocks.ok());
  EXPECT_TRUE(blocks->empty());
  EXPECT_EQ(static_cast<std::int64_t>(finished.all().size()), 7 * files->config().num_hidden_layers);
  double error = 0;
  double rtn_error = 0;
  for (const auto& [id, linear] : finished.all()) {
    error += linear.error.value();
    rtn_error += linear.rtn_error.value();
  }
  EXPECT_LT(error, 0.9 * rtn_error);
}

TEST(AutoRoundMatrices, RefusesWhatItCannotMake) {
  const ModelFiles::Ptr files = open_golden("llama");
  ThreadPool pool(1);
  FinishedLinears finished(files->layout(), nullptr);
  const auto refused = auto_round_matrices(*files, random_tokens(*files, kWindows, kWindow),
                                           parse_scheme("nf4-g64").value(), quick(), {}, finished, pool);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace nibble
