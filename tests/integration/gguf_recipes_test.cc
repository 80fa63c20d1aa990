// Whole models into llama.cpp's mixtures, with and without an importance matrix that the model itself gave.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "api/loaded_model.h"
#include "format/ggml_types.h"
#include "io/gguf.h"
#include "nibble/quantize.h"
#include "quant/ggml/recipe.h"
#include "quant/importance_collector.h"

namespace nibble {
namespace {

class GgufRecipeFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "nibble_recipes_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  static std::string model() { return std::string(NIBBLE_SOURCE_DIR) + "/tests/golden/models/llama"; }

  /// Statistics of the model on a few token ids.
  Imatrix measured(const std::vector<std::int32_t>& ids, LoadedModel* keep = nullptr) const {
    LoadOptions options;
    options.threads = 2;
    options.arithmetic = Arithmetic::kF32;
    Result<LoadedModel> loaded = load_model(model(), options);
    EXPECT_TRUE(loaded.ok());
    ImportanceCollector collector(loaded->files->layout(), *loaded->pool);
    CpuExecutor::Options run = executor_options(options);
    run.wrap_ops = collector.wrapper();
    CpuExecutor executor(loaded->weights, loaded->pool, run);
    const auto sequence = executor.new_sequence();
    const BatchItem item{sequence.get(), ids, BatchItem::Logits::kLast};
    EXPECT_TRUE(executor.forward({&item, 1}, [](std::size_t, std::int64_t, std::int64_t, const float*) {}).ok());
    Imatrix out = collector.result(loaded->files->architecture());
    if (keep != nullptr) *keep = std::move(*loaded);
    return out;
  }

  GgufFile quantized(const std::string& scheme, const std::string& imatrix = "", int threads = 2) const {
    QuantizeOptions options;
    options.scheme = scheme;
    options.imatrix = imatrix;
    options.threads = threads;
    const std::string out = (root_ / (scheme + std::to_string(threads) + ".gguf")).string();
    const auto report = quantize(model(), out, options);
    EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
    auto file = open_gguf(out);
    EXPECT_TRUE(file.ok());
    return *file;
  }

  std::string contents(const std::string& name) const {
    std::ostringstream out;
    out << std::ifstream(root_ / name, std::ios::binary).rdbuf();
    return out.str();
  }

  std::filesystem::path root_;
};

std::string type_of(const GgufFile& file, const char* tensor) {
  const StoredTensor* found = file.tensors.find(tensor);
  return found == nullptr ? "missing" : std::string(find_ggml_type(found->ggml_type)->name);
}

/// The golden model's rows of 32 and 48 divide by no super-block, so the fallbacks are what is seen.
TEST_F(GgufRecipeFiles, FallBackPerTensor) {
  const GgufFile file = quantized("q4_k_m");
  EXPECT_EQ(type_of(file, "blk.0.attn_q.weight"), "q5_0");
  EXPECT_EQ(type_of(file, "output.weight"), "q8_0");
  EXPECT_EQ(type_of(file, "blk.0.ffn_down.weight"), "f16") << "rows of 48";
  EXPECT_EQ(type_of(file, "blk.0.attn_norm.weight"), "f32");
  EXPECT_EQ(*file.metadata->integer("general.file_type"), 15);
  EXPECT_FALSE(*file.metadata->integer("quantize.imatrix.entries_count"));
}

TEST_F(GgufRecipeFiles, EveryRecipeIsMadeOrRefusedByName) {
  for (const GgufRecipe& recipe : gguf_recipes()) {
    QuantizeOptions options;
    options.scheme = recipe.name;
    options.threads = 2;
    const std::string out = (root_ / (std::string(recipe.name) + ".gguf")).string();
    const auto report = quantize(model(), out, options);
    if (report.ok()) {
      LoadOptions load;
      load.threads = 2;
      EXPECT_TRUE(load_model(out, load).ok()) << recipe.name;
    } else {
      EXPECT_NE(report.error().message.find("--"), std::string::npos) << "the way out: " << report.error().message;
      EXPECT_FALSE(std::filesystem::exists(out));
    }
  }
  QuantizeOptions options;
  options.scheme = "iq2_xs";
  const auto refused = quantize(model(), (root_ / "x.gguf").string(), options);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("read but not written"), std::string::npos);
}

TEST_F(GgufRecipeFiles, UseTheImportanceMatrixAndSaySo) {
  Imatrix imatrix = measured({3, 7, 11, 19, 23, 42});
  imatrix.datasets = {"six tokens"};
  imatrix.chunks = 1;
  ASSERT_TRUE(write_imatrix(imatrix, root_ / "m.imatrix").ok());
  const GgufFile file = quantized("q5_k_m", (root_ / "m.imatrix").string());
  EXPECT_EQ(*file.metadata->string("quantize.imatrix.dataset"), "six tokens");
  EXPECT_EQ(*file.metadata->integer("quantize.imatrix.entries_count"), 14);
  EXPECT_EQ(*file.metadata->integer("quantize.imatrix.chunks_count"), 1);
  const std::string with = contents("q5_k_m2.gguf");
  quantized("q5_k_m");
  EXPECT_NE(contents("q5_k_m2.gguf"), with);
  quantized("q5_k_m", (root_ / "m.imatrix").string(), 1);
  EXPECT_EQ(contents("q5_k_m1.gguf"), with) << "threads change nothing";
}

TEST_F(GgufRecipeFiles, RefuseAnotherModelsImportance) {
  Imatrix imatrix;
  imatrix.entries = {{"blk.0.attn_q.weight", 1, std::vector<float>(64, 1.0f), {1}}};
  ASSERT_TRUE(write_imatrix(imatrix, root_ / "m.imatrix").ok());
  QuantizeOptions options;
  options.scheme = "q4_0";
  options.imatrix = (root_ / "m.imatrix").string();
  const auto refused = quantize(model(), (root_ / "x.gguf").string(), options);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("another model"), std::string::npos);
  options.scheme = "int4-g32-sym";
  EXPECT_FALSE(quantize(model(), (root_ / "x.gguf").string(), options).ok()) << "rtn has no use for it";
}

/// The first block's inputs follow from the embedding: RMSNorm of the tokens' rows.
TEST_F(GgufRecipeFiles, StatisticsAreTheSquaresOfTheInputs) {
  const std::vector<std::int32_t> ids = {5, 9, 5, 61};
  LoadedModel loaded;
  const Imatrix imatrix = measured(ids, &loaded);
  EXPECT_EQ(imatrix.entries.size(), 14u) << "seven linears in each of two blocks";
  const ImatrixEntry* entry = imatrix.find("blk.0.attn_k.weight");
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->counts, std::vector<float>{4});
  const auto columns = static_cast<std::size_t>(entry->columns());
  const std::vector<float>& norm = loaded.weights->vector(loaded.files->layout().blocks[0].input_norm);
  std::vector<double> expected(columns);
  for (const std::int32_t id : ids) {
    std::vector<float> row(columns);
    ASSERT_TRUE(loaded.weights->embedding_row(id, row.data()).ok());
    double mean = 0;
    for (const float v : row) mean += static_cast<double>(v) * static_cast<double>(v) / static_cast<double>(columns);
    for (std::size_t c = 0; c < columns; ++c)
      expected[c] += std::pow(static_cast<double>(row[c]) * static_cast<double>(norm[c]), 2) /
                     (mean + static_cast<double>(loaded.files->config().rms_norm_eps));
  }
  for (std::size_t c = 0; c < columns; ++c)
    EXPECT_NEAR(static_cast<double>(entry->sums[c]), expected[c], 1e-5 * expected[c]) << c;
  EXPECT_EQ(imatrix.find("blk.0.attn_v.weight")->sums, entry->sums) << "one input for all three";
}

}  // namespace
}  // namespace nibble
