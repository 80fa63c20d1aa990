// What the journal holds is not in memory, and errors that nobody knows are none.
#include "quant/calibration/finished_linears.h"

#include <gtest/gtest.h>

#include "io/container_test_support.h"
#include "quant/gptq/gptq_matrices.h"
#include "quant/testing/golden_models.h"

namespace nibble {
namespace {

class FinishedLinearsTest : public FolderTest {
 protected:
  QuantizedMatrix matrix_of(LinearId id) const {
    QuantizedMatrix out;
    const MatrixPtr source = files_->matrix(id).value();
    EXPECT_TRUE(source->decode(0, source->rows(), out).ok());
    return out;
  }
  bool can_decode(const MatrixSource& matrix) const {
    QuantizedMatrix out;
    return matrix.decode(0, matrix.rows(), out).ok();
  }

  ModelFiles::Ptr files_ = open_golden("llama");
  LinearId id_ = files_->layout().blocks[0].down_proj;
};

/// The entry is gone from the disk: what can still be decoded is in memory.
TEST_F(FinishedLinearsTest, TheJournalHoldsTheMatrices) {
  const std::filesystem::path out = root_ / "out";
  const std::string name = files_->layout().linears[static_cast<std::size_t>(id_)].name;
  const std::filesystem::path entry = Journal::folder_of(out) / name;
  for (const bool resumed : {false, true}) {
    SCOPED_TRACE(resumed);
    FinishedLinears finished(files_->layout(), Journal::open(out, Json::object(), resumed).value());
    MatrixPtr in_use;
    if (resumed) {
      const auto recorded = finished.recorded(std::span(&id_, 1));
      ASSERT_TRUE(recorded.has_value());
      in_use = recorded->front();
    } else {
      in_use = finished.finish(id_, matrix_of(id_), {}).value();
    }
    const MatrixPtr kept = finished.all().at(id_).matrix;
    EXPECT_TRUE(can_decode(*kept));
    kept->release(0, kept->rows());
    const std::string bytes = contents("out.nibble-journal/" + name);
    std::filesystem::remove(entry);
    EXPECT_TRUE(can_decode(*in_use));
    EXPECT_FALSE(can_decode(*kept));
    put("out.nibble-journal/" + name, bytes);
  }
  Journal::open(out, Json::object(), true).value()->remove();
}

TEST_F(FinishedLinearsTest, NeverDecodedIsNotInMemory) {
  const std::filesystem::path out = root_ / "out";
  const Journal::Ptr journal = Journal::open(out, Json::object(), false).value();
  FinishedLinears finished(files_->layout(), journal);
  ASSERT_TRUE(finished.finish(id_, matrix_of(id_), {}).ok());
  std::filesystem::remove(Journal::folder_of(out) / files_->layout().linears[static_cast<std::size_t>(id_)].name);
  EXPECT_FALSE(can_decode(*finished.all().at(id_).matrix));
  journal->remove();
}

TEST_F(FinishedLinearsTest, UnknownErrorsAreNone) {
  const std::filesystem::path out = root_ / "out";
  ThreadPool pool(2);
  CalibrationTokens tokens = random_tokens(*files_, 4, 32);
  for (const bool resumed : {false, true}) {
    SCOPED_TRACE(resumed);
    FinishedLinears finished(files_->layout(), Journal::open(out, Json::object(), resumed).value());
    ASSERT_TRUE(gptq_matrices(*files_, tokens, parse_scheme("q4_1").value(), {}, {}, finished, pool).ok());
    for (const auto& [id, linear] : finished.all()) {
      EXPECT_GT(linear.error.value_or(0), 0.0);
      EXPECT_FALSE(linear.rtn_error.has_value()) << "rtn cannot make it";
    }
  }
  Journal::open(out, Json::object(), true).value()->remove();
  FinishedLinear linear;
  const FloatMatrix weights = finite_weights(*files_, id_, pool).value();
  measure_errors(weights, matrix_of(id_), QuadraticForm(InputGram(weights.cols), 0, weights.cols, 0), linear, pool);
  EXPECT_FALSE(linear.error.has_value() || linear.rtn_error.has_value()) << "nothing is known of the inputs";
}

}  // namespace
}  // namespace nibble
