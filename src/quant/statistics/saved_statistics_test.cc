// Statistics of a small model, written and read again, and files that say what no inputs give.
#include "quant/statistics/saved_statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "io/container_test_support.h"
#include "io/safetensors.h"
#include "quant/calibration/block_stream.h"
#include "quant/gptq/gptq_matrices.h"
#include "quant/input_groups.h"
#include "quant/statistics/statistics_layout.h"
#include "quant/statistics/statistics_writer.h"
#include "quant/testing/golden_models.h"

namespace nibble {
namespace {

constexpr const char* kPrint = "this one";

class SavedStatisticsTest : public FolderTest {
 protected:
  std::filesystem::path path() const { return root_ / "stats.safetensors"; }
  const ModelLayout& layout() const { return files_->layout(); }
  const std::string& first_name() const {
    return layout().linears[static_cast<std::size_t>(layout().blocks[0].q_proj)].name;
  }

  /// Writes what the original sees, and keeps it.
  void write() {
    const auto writer = StatisticsWriter::create(path(), layout(), kPrint, {{"format", "test"}}).value();
    const QuantizeLinears keep = [&](std::span<const LinearId> linears,
                                     const InputGram& gram) -> Result<std::vector<MatrixPtr>> {
      EXPECT_TRUE(writer->write(linears, gram).ok());
      seen_.emplace(linears.front(), gram);
      std::vector<MatrixPtr> out;
      for (const LinearId id : linears) out.push_back(files_->matrix(id).value());
      return out;
    };
    ASSERT_TRUE(stream_blocks(*files_, random_tokens(*files_, 9, 32), keep, {}, pool_).ok());
    EXPECT_FALSE(std::filesystem::exists(path())) << "not before it is whole";
    ASSERT_TRUE(writer->finish().ok());
  }

  /// The file again, its tensors as `change` leaves them; a tensor without bytes is left out.
  void rewrite(const std::function<void(SafetensorsPlan&, std::vector<std::byte>&)>& change) {
    TensorSet tensors;
    ASSERT_TRUE(open_safetensors(path(), tensors).ok());
    std::vector<SafetensorsPlan> plan;
    std::vector<std::vector<std::byte>> bytes;
    for (const StoredTensor& tensor : tensors.all()) {
      SafetensorsPlan entry{tensor.name, tensor.shape, tensor.element};
      std::vector<std::byte> data(tensor.bytes.begin(), tensor.bytes.end());
      change(entry, data);
      if (data.empty()) continue;
      plan.push_back(entry);
      bytes.push_back(data);
    }
    std::filesystem::create_directory(root_ / "again");
    const auto writer = SafetensorsWriter::create(root_ / "again", plan, {}, 0).value();
    for (std::size_t i = 0; i < plan.size(); ++i) ASSERT_TRUE(writer->write(i, 0, bytes[i]).ok());
    ASSERT_TRUE(writer->finish().ok());
    std::filesystem::rename(root_ / "again/model.safetensors", root_ / "changed.safetensors");
  }
  /// Changes one number of the first group's part.
  void spoil(const std::string& part, std::size_t index, float value) {
    rewrite([&](SafetensorsPlan& plan, std::vector<std::byte>& data) {
      if (plan.name == first_name() + part) std::memcpy(data.data() + index * sizeof(float), &value, sizeof(value));
    });
  }
  /// What opening the changed file, or else reading its first group, says.
  std::string complaint() const {
    const auto opened = SavedStatistics::open(root_ / "changed.safetensors", layout(), kPrint);
    if (!opened.ok()) return opened.error().message;
    const auto gram = (*opened)->gram(input_groups(layout().blocks[0])[0]);
    return gram.ok() ? "" : gram.error().message;
  }
  void expect_complaint(const std::string& part, const std::string& why) const {
    const std::string message = complaint();
    for (const std::string& what :
         {(root_ / "changed.safetensors").string(), part, why, std::string("nibble statistics")})
      EXPECT_NE(message.find(what), std::string::npos) << what << " in: " << message;
  }

  ModelFiles::Ptr files_ = open_golden("llama");
  ThreadPool pool_{2};
  std::map<LinearId, InputGram> seen_;
};

TEST_F(SavedStatisticsTest, AreReadAsTheyWereSeen) {
  write();
  EXPECT_EQ(names(), std::vector<std::string>{"stats.safetensors"});
  const auto saved = SavedStatistics::open(path(), layout(), kPrint).value();
  std::size_t groups = 0;
  for (const BlockLayout& block : layout().blocks)
    for (const std::vector<LinearId>& group : input_groups(block)) {
      ++groups;
      const InputGram& seen = seen_.at(group.front());
      const InputGram gram = saved->gram(group).value();
      EXPECT_EQ(gram.tokens, 9 * 32);
      ASSERT_EQ(gram.cols, seen.cols);
      const auto near = [](double got, double expected) {
        EXPECT_NEAR(got, expected, 1e-7 * std::fabs(expected) + 1e-30);  // float32's rounding
      };
      for (std::int64_t r = 0; r < gram.cols; ++r) {
        near(gram.plain_sums[static_cast<std::size_t>(r)], seen.plain_sums[static_cast<std::size_t>(r)]);
        near(gram.abs_sums[static_cast<std::size_t>(r)], seen.abs_sums[static_cast<std::size_t>(r)]);
        for (std::int64_t c = r; c < gram.cols; ++c)
          near(gram.sums[static_cast<std::size_t>(r * gram.cols + c)],
               seen.sums[static_cast<std::size_t>(r * gram.cols + c)]);
      }
    }
  EXPECT_EQ(groups, 8u);
  EXPECT_EQ(seen_.size(), 8u);
}

/// E[x] is not 0, so that a sum of magnitudes or of nothing is noticed.
TEST_F(SavedStatisticsTest, MeansAreThoseOfTheInputs) {
  write();
  double plain = 0;
  double magnitudes = 0;
  for (const auto& [id, gram] : seen_)
    for (std::size_t c = 0; c < gram.plain_sums.size(); ++c) {
      EXPECT_LE(std::fabs(gram.plain_sums[c]), gram.abs_sums[c] * (1 + 1e-6));
      // Cauchy-Schwarz: the square of a mean is at most the mean square.
      const double square = gram.sums[c * gram.plain_sums.size() + c];
      EXPECT_LE(gram.plain_sums[c] * gram.plain_sums[c], square * static_cast<double>(gram.tokens) * (1 + 1e-5));
      plain += std::fabs(gram.plain_sums[c]);
      magnitudes += gram.abs_sums[c];
    }
  EXPECT_GT(plain, 0);
  EXPECT_LT(plain, 0.9 * magnitudes);
}

TEST_F(SavedStatisticsTest, FilesThatLie) {
  write();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  spoil(".second_moments", 5, nan);
  expect_complaint(".second_moments", "nan at [0, 5]");
  spoil(".second_moments", 0, std::numeric_limits<float>::infinity());
  expect_complaint(".second_moments", "inf at [0, 0]");
  spoil(".second_moments", 0, -1.0f);
  expect_complaint(".second_moments", "the square -1 at [0, 0]");
  spoil(".second_moments", 5, 1e3f);
  expect_complaint(".second_moments", "not symmetric at [5, 0]");
  spoil(".mean", 3, nan);
  expect_complaint(".mean", "nan at [3]");
  spoil(".mean_magnitude", 3, -1.0f);
  expect_complaint(".mean_magnitude", "-1 at [3]");
  spoil(".tokens", 0, 0.0f);  // the same bits as the integer
  expect_complaint(".tokens", "is 0");
}

TEST_F(SavedStatisticsTest, FilesOfAnotherShape) {
  write();
  rewrite([&](SafetensorsPlan& plan, std::vector<std::byte>& data) {
    if (plan.name == first_name() + ".mean") data.clear();
  });
  expect_complaint(".mean", "no tensor");
  rewrite([&](SafetensorsPlan& plan, std::vector<std::byte>& data) {
    if (plan.name != first_name() + ".mean") return;
    plan.shape[0] -= 1;
    data.resize(data.size() - sizeof(float));
  });
  expect_complaint(".mean", "expected F32 [");
  rewrite([&](SafetensorsPlan& plan, std::vector<std::byte>&) {
    if (plan.name == first_name() + ".mean") plan.element = ElementType::kU32;
  });
  expect_complaint(".mean", "is U32 [");
  rewrite([&](SafetensorsPlan& plan, std::vector<std::byte>& data) {
    if (plan.name == statistics::kFingerprint) data[0] = std::byte{'T'};
  });
  expect_complaint(statistics::kFingerprint, "another model");
  put("changed.safetensors", contents("stats.safetensors").substr(0, 2000));
  EXPECT_NE(complaint().find("changed.safetensors"), std::string::npos);
  put("changed.safetensors", "");
  EXPECT_NE(complaint().find("changed.safetensors"), std::string::npos);
}

TEST_F(SavedStatisticsTest, AnotherModelsFile) {
  write();
  const auto other = SavedStatistics::open(path(), open_golden("gemma3")->layout(), kPrint);
  ASSERT_FALSE(other.ok());
  EXPECT_NE(other.error().message.find("for this model"), std::string::npos) << other.error().message;
}

TEST_F(SavedStatisticsTest, InputsOfNoUseAreNotWritten) {
  const auto writer = StatisticsWriter::create(path(), layout(), kPrint, {}).value();
  const std::vector<LinearId> group = input_groups(layout().blocks[1])[3];
  InputGram gram(layout().linears[static_cast<std::size_t>(group.front())].cols);
  gram.tokens = 4;
  gram.sums[1] = HUGE_VAL;
  const Status refused = writer->write(group, gram);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("down_proj"), std::string::npos) << refused.error().message;
  EXPECT_FALSE(writer->finish().ok()) << "groups are missing";
  EXPECT_FALSE(std::filesystem::exists(path()));
}

/// Each linear is quantized as if the original had been run for it alone.
TEST_F(SavedStatisticsTest, GptqComesNearTheRunThatKeepsOriginals) {
  write();
  const auto saved = SavedStatistics::open(path(), layout(), kPrint).value();
  const LinearSchemes schemes(parse_scheme("int3-g16-sym").value());
  StreamOptions from_file;
  from_file.saved = [&](std::span<const LinearId> linears) { return saved->gram(linears); };
  FinishedLinears finished(layout(), nullptr);
  ASSERT_TRUE(gptq_matrices(*files_, {}, schemes, {}, from_file, finished, pool_).ok());
  EXPECT_EQ(finished.all().size(), 14u);
  FinishedLinears sequential(layout(), nullptr);
  ASSERT_TRUE(gptq_matrices(*files_, random_tokens(*files_, 9, 32), schemes, {}, {}, sequential, pool_).ok());
  for (const auto& [id, linear] : finished.all()) {
    EXPECT_LT(linear.error, linear.rtn_error);
    EXPECT_GT(linear.error, 0);
  }
  // q, k and v of the first block see the same inputs either way.
  const LinearId q = layout().blocks[0].q_proj;
  EXPECT_NEAR(finished.all().at(q).error.value(), sequential.all().at(q).error.value(),
              1e-3 * sequential.all().at(q).error.value());
}

TEST(WithColumnsDivided, IsTheGramOfDividedInputs) {
  ThreadPool pool(1);
  const std::vector<float> x{1, 2, -3, 4, 0.5f, 6, -7, 8, 9};
  const std::vector<float> factors{2, 0.25f, 4};
  std::vector<float> divided = x;
  for (std::size_t i = 0; i < divided.size(); ++i) divided[i] /= factors[i % 3];
  InputGram gram(3);
  gram.add(x, pool);
  InputGram expected(3);
  expected.add(divided, pool);
  const InputGram got = with_columns_divided(gram, factors);
  EXPECT_EQ(got.tokens, 3);
  for (std::size_t i = 0; i < 9; ++i) {
    if (i / 3 <= i % 3) {
      EXPECT_DOUBLE_EQ(got.sums[i], expected.sums[i]);
    }
  }
  EXPECT_EQ(got.plain_sums, expected.plain_sums);
  EXPECT_EQ(got.abs_sums, expected.abs_sums);
  EXPECT_EQ(with_columns_divided(gram, {}).sums, gram.sums);
}

}  // namespace
}  // namespace nibble
