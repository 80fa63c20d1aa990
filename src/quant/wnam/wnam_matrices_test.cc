// WNAM of golden models, and importance from statistics that are of no use.
#include "quant/wnam/wnam_matrices.h"

#include <gtest/gtest.h>

#include <limits>

#include "quant/fold/fold_test_support.h"
#include "quant/rtn/rtn.h"

namespace nibble {
namespace {

TEST(Wnam, ImportanceOfColumns) {
  InputGram gram(4);
  EXPECT_EQ(column_importance(gram), std::vector<float>(4, 1.0f)) << "no inputs";
  gram.sums = {2, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(column_importance(gram), (std::vector<float>{1.0f, 3.0f, 0.001f, 0.001f}));
  gram.sums[5] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(column_importance(gram), std::vector<float>(4, 1.0f));
}

TEST(Wnam, QuantizesEveryBlockLinear) {
  const ModelFiles::Ptr files = open_golden("gemma3");
  const CalibrationTokens tokens = random_tokens(*files, 10, 32);
  ThreadPool pool(2);
  const QuantScheme scheme = parse_scheme("codebook3-row-g16").value();
  FinishedLinears wnam(files->layout(), nullptr);
  const Status done = wnam_matrices(*files, tokens, scheme, {}, {}, wnam, pool);
  ASSERT_TRUE(done.ok()) << done.error().message;
  std::size_t linears = 0;
  for (const LinearInfo& info : files->layout().linears) linears += info.role == LinearInfo::Role::kBlock ? 1 : 0;
  EXPECT_EQ(wnam.all().size(), linears);
  for (const auto& [id, linear] : wnam.all()) {
    EXPECT_GT(linear.error, 0);
    EXPECT_LT(linear.error, 0.05);
    EXPECT_EQ(linear.matrix->scheme(), scheme);
  }
  EXPECT_FALSE(wnam_matrices(*files, tokens, parse_scheme("int4-g32-sym").value(), {}, {}, wnam, pool).ok());
}

}  // namespace
}  // namespace nibble
