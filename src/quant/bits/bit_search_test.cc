// Predicted growths beside measured divergences, and what a search makes of a model with a sensitive block.
#include "quant/bits/bit_search.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "quant/bits/allocation.h"
#include "quant/bits/bit_candidates.h"
#include "quant/bits/sensitivity.h"
#include "quant/bits/substitution.h"
#include "quant/calibration/model_stream.h"
#include "quant/testing/golden_models.h"

namespace nibble {
namespace {

/// One linear's weights times a factor: logits far from uniform, or a block that matters more than others.
class Amplified final : public ModelWeights {
 public:
  Amplified(ModelWeights::Ptr original, std::map<LinearId, float> factors)
      : original_(std::move(original)), factors_(std::move(factors)) {}
  const ModelConfig& config() const override { return original_->config(); }
  const ModelLayout& layout() const override { return original_->layout(); }
  std::string path() const override { return original_->path(); }
  Result<MatrixPtr> matrix(LinearId id) const override {
    NIBBLE_TRY(MatrixPtr matrix, original_->matrix(id));
    const auto found = factors_.find(id);
    if (found == factors_.end()) return matrix;
    QuantizedMatrix all;
    NIBBLE_TRY_STATUS(matrix->decode(0, matrix->rows(), all));
    std::vector<float> values(static_cast<std::size_t>(matrix->rows() * matrix->cols()));
    dequantize(all, values.data());
    for (float& value : values) value *= found->second;
    QuantizedMatrix out;
    out.allocate(QuantScheme::of_float(ElementType::kF32), matrix->rows(), matrix->cols(), 0, matrix->rows());
    std::memcpy(out.codes.data(), values.data(), values.size() * sizeof(float));
    return make_source(std::move(out));
  }
  Result<std::vector<float>> bias(LinearId id) const override { return original_->bias(id); }
  Result<std::vector<float>> vector(VectorId id) const override { return original_->vector(id); }

 private:
  ModelWeights::Ptr original_;
  std::map<LinearId, float> factors_;
};

std::vector<StoredActivations> activations_of(const ModelWeights& weights, const CalibrationTokens& tokens,
                                              const std::shared_ptr<ActivationStore>& store, ThreadPool& pool) {
  const auto stream = ModelStream::create(weights, tokens, store, pool).value();
  EXPECT_TRUE(stream->embed().ok());
  std::vector<StoredActivations> out;
  for (int layer = 0; layer < static_cast<int>(weights.config().num_hidden_layers); ++layer) {
    out.push_back(stream->take_hidden());
    EXPECT_TRUE(stream->run(layer, out.back()).ok());
  }
  out.push_back(stream->take_hidden());
  return out;
}

/// Where a position's output reaches no other position, the growth is the divergence to second order: in the last
/// block after attention, and in the head. (Averaged over draws; the head's has no chance in it.)
TEST(Sensitivity, IsTheDivergenceOfSmallErrors) {
  for (const char* name : {"llama-tied", "qwen2", "gemma3"}) {
    SCOPED_TRACE(name);
    ThreadPool pool(2);
    const ModelFiles::Ptr files = open_golden(name);
    const LinearId head = files->layout().head;
    const Amplified model(files, {{head, 3.0f}});
    const CalibrationTokens tokens = random_tokens(model, 60, 40);
    const auto store = std::make_shared<ActivationStore>(ActivationStore::Options{});
    const std::vector<StoredActivations> hidden = activations_of(model, tokens, store, pool);
    const std::vector<BitUnit> units = bit_units(model.layout());
    const std::vector<std::vector<QuantScheme>> choices(
        units.size(), {parse_scheme("int5-g16-sym").value(), parse_scheme("int8-g16-sym").value()});
    constexpr int kDraws = 12;
    std::vector<std::vector<double>> growth(units.size(), std::vector<double>(2, 0.0));
    for (int draw = 0; draw < kDraws; ++draw) {
      const auto one = rounding_sensitivity(
          {model, tokens, units, choices, hidden, store, static_cast<std::uint64_t>(draw), {}}, pool);
      ASSERT_TRUE(one.ok()) << one.error().message;
      for (std::size_t u = 0; u < units.size(); ++u)
        for (std::size_t c = 0; c < 2; ++c) growth[u][c] += (*one)[u][c] / kDraws;
    }
    const auto meter = SubstitutionMeter::create(model, tokens, hidden, store, pool).value();
    const int last = static_cast<int>(model.config().num_hidden_layers) - 1;
    for (std::size_t u = 0; u < units.size(); ++u) {
      EXPECT_GT(growth[u][0], 10 * growth[u][1]) << "three bits more";
      std::map<LinearId, QuantScheme> rounded;
      for (const LinearId id : units[u].linears) rounded.emplace(id, choices[u][0]);
      const double measured = meter->measure(rounded).value();
      EXPECT_GT(measured, 0);
      const BitUnit::Kind kind = units[u].kind;
      const bool alone =
          (units[u].layer == last && kind != BitUnit::Kind::kQueryKeyValue) || kind == BitUnit::Kind::kHead;
      if (alone) {
        EXPECT_NEAR(growth[u][0] / measured, 1.0, kind == BitUnit::Kind::kHead ? 0.08 : 0.15)
            << kind_name(kind) << " of " << units[u].layer;
      } else {
        EXPECT_GT(growth[u][0] / measured, 0.2) << kind_name(kind) << " of " << units[u].layer;
        EXPECT_LT(growth[u][0] / measured, 5.0) << kind_name(kind) << " of " << units[u].layer;
      }
    }
  }
}

TEST(Sensitivity, ThreadsAndMemoryChangeNothing) {
  const ModelFiles::Ptr files = open_golden("llama");
  const CalibrationTokens tokens = random_tokens(*files, 60, 40);
  const std::vector<BitUnit> units = bit_units(files->layout());
  const std::vector<std::vector<QuantScheme>> choices(units.size(), {parse_scheme("int3-g16-sym").value()});
  std::vector<std::vector<std::vector<double>>> made;
  for (const auto& [threads, memory] : {std::pair(1, std::uint64_t{1} << 40), std::pair(2, std::uint64_t{1} << 40),
                                        std::pair(3, std::uint64_t{1} << 16)}) {
    ThreadPool pool(threads);
    ActivationStore::Options options;
    options.memory = memory;
    options.folder = ::testing::TempDir();
    const auto store = std::make_shared<ActivationStore>(options);
    const std::vector<StoredActivations> hidden = activations_of(*files, tokens, store, pool);
    made.push_back(rounding_sensitivity({*files, tokens, units, choices, hidden, store, 7, {}}, pool).value());
    if (memory < std::uint64_t{1} << 20) {
      EXPECT_GT(store->file_bytes(), 0u);
    }
  }
  EXPECT_EQ(made[0], made[1]);
  EXPECT_EQ(made[0], made[2]);
}

TEST(Sensitivity, NumbersThatAreNotFiniteAreAnError) {
  ThreadPool pool(1);
  const ModelFiles::Ptr files = open_golden("llama");
  const Amplified model(files, {{files->layout().blocks[1].down_proj, 1e38f}});
  const CalibrationTokens tokens = random_tokens(model, 4, 40);
  const auto store = std::make_shared<ActivationStore>(ActivationStore::Options{});
  const std::vector<StoredActivations> hidden = activations_of(model, tokens, store, pool);
  const std::vector<BitUnit> units = bit_units(model.layout());
  const std::vector<std::vector<QuantScheme>> choices(units.size(), {parse_scheme("int3-g16-sym").value()});
  const auto found = rounding_sensitivity({model, tokens, units, choices, hidden, store, 0, {}}, pool);
  ASSERT_FALSE(found.ok());
  EXPECT_NE(found.error().message.find("--scheme"), std::string::npos) << found.error().message;
}

/// A block whose MLP writes a sixteenth as much into the residual stream leaves its bits to the other.
TEST(BitSearch, GivesBitsToTheBlockThatMatters) {
  const ModelFiles::Ptr files = open_golden("llama");
  for (const int planted : {0, 1}) {
    ThreadPool pool(2);
    const BlockLayout& quiet = files->layout().blocks[static_cast<std::size_t>(1 - planted)];
    const Amplified model(files, {{quiet.down_proj, 1.0f / 16.0f}, {files->layout().head, 3.0f}});
    std::vector<QuantScheme> candidates;
    for (const char* name : {"int2-g16-sym", "int3-g16-sym", "int4-g16-sym", "int6-g16-sym"})
      candidates.push_back(parse_scheme(name).value());
    const std::vector<BitUnit> units = bit_units(model.layout());
    const CalibrationTokens tokens = bit_search_tokens(random_tokens(model, 60, 40));
    BitSearchTask task{model, tokens, units, {}, 4.0, 0, {}, nullptr};
    task.choices = unit_choices(model.layout(), units, candidates, *find_family("nibble"), false).value();
    const auto weighed = weigh_choices(task, pool);
    ASSERT_TRUE(weighed.ok()) << weighed.error().message;
    EXPECT_GT(weighed->substitutions.size(), 8u);
    EXPECT_LE(weighed->substitutions.size(), 20u);
    std::vector<std::vector<SizedChoice>> sized;
    std::int64_t weights = 0;
    for (const LinearInfo& info : model.layout().linears) weights += info.rows * info.cols;
    for (const UnitChoices& choices : weighed->choices) {
      sized.emplace_back();
      for (const UnitChoice& choice : choices) sized.back().push_back({choice.size, choice.growth});
    }
    const std::vector<std::size_t> chosen = allocate_sizes(sized, 9 * weights / 2);
    double bits[2] = {0, 0};
    for (std::size_t u = 0; u < units.size(); ++u)
      if (units[u].kind == BitUnit::Kind::kDown || units[u].kind == BitUnit::Kind::kGateUp)
        bits[units[u].layer] += weighed->choices[u][chosen[u]].bits;
    EXPECT_GT(bits[planted], bits[1 - planted] + 0.9) << "block " << planted;
  }
}

TEST(BitCandidates, SuitFamilyAndMethod) {
  const SchemeCheck any = [](const QuantScheme&) { return Status(); };
  const auto names = [](const Result<std::vector<QuantScheme>>& schemes) {
    std::string out;
    for (const QuantScheme& scheme : schemes.value()) out += to_string(scheme) + " ";
    return out;
  };
  EXPECT_NE(names(bit_candidates({}, *find_family("gguf"), any)).find("q4_k"), std::string::npos);
  EXPECT_NE(names(bit_candidates({}, *find_family("nibble"), any)).find("int3-g32-sym"), std::string::npos);
  EXPECT_EQ(names(bit_candidates({}, *find_family("auto-round"), any)).find("int5"), std::string::npos)
      << "it has 2, 3, 4 and 8 bits";
  EXPECT_EQ(names(bit_candidates({"int2-g32", "int4-g32", "int4-g32-sym"}, *find_family("nibble"), any)),
            "int2-g32-sym int4-g32-sym ");
  const auto error = [&](const std::vector<std::string>& stated, const char* family) {
    const auto schemes = bit_candidates(stated, *find_family(family), any);
    return schemes.ok() ? std::string("none") : schemes.error().message;
  };
  EXPECT_NE(error({}, "awq").find("one scheme for all"), std::string::npos);
  EXPECT_NE(error({"int4-g32"}, "nibble").find("two schemes"), std::string::npos);
  EXPECT_NE(error({"q4_0", "int3-g32"}, "gguf").find("candidate int3-g32"), std::string::npos);
  EXPECT_NE(error({"int4-g32", "int9-g32"}, "nibble").find("int9"), std::string::npos);
}

/// Types of 256 columns are left to matrices that have them.
TEST(BitCandidates, SuitShapes) {
  ModelLayout layout;
  layout.linears = {{"wide", 8, 512}, {"narrow", 8, 96}, {"odd", 8, 40}};
  const std::vector<QuantScheme> candidates{parse_scheme("q4_k").value(), parse_scheme("q8_0").value()};
  const std::vector<BitUnit> units{{BitUnit::Kind::kDown, 0, {0}}, {BitUnit::Kind::kGateUp, 0, {1}}};
  const auto choices = unit_choices(layout, units, candidates, *find_family("gguf"), true).value();
  ASSERT_EQ(choices[0].size(), 2u);
  EXPECT_EQ(choices[0][0].size, 8 * 2 * 144);
  EXPECT_DOUBLE_EQ(choices[0][0].bits, 4.5);
  ASSERT_EQ(choices[1].size(), 1u);
  EXPECT_EQ(choices[1][0].size, 832) << "8 rows of 3 blocks of 34 bytes, and what aligns the next tensor";
  const auto none = unit_choices(layout, {{BitUnit::Kind::kDown, 0, {2}}}, candidates, *find_family("gguf"), true);
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.error().message.find("odd"), std::string::npos) << none.error().message;
}

}  // namespace
}  // namespace nibble
