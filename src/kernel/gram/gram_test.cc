// Every kernel of Gram tiles against the reference, and the whole against sums in float64.
#include "kernel/gram/gram.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

using testing::Guarded;
using testing::Numbers;

TEST(Gram, KernelsHaveTheBitsOfTheReference) {
  Numbers numbers(1);
  const GramKernel& reference = *gram_kernels().front();
  for (const std::int64_t tokens : {0, 1, 2, 17, 300}) {
    const auto count = static_cast<std::size_t>(tokens * kGramPanel);
    Guarded<float> a(numbers.values(count, -3.0f, 3.0f));
    Guarded<float> b(numbers.values(count, -3.0f, 3.0f));
    std::vector<float> expected(kGramPanel * kGramPanel);
    reference.tile(a.data(), b.data(), tokens, expected.data());
    for (const GramKernel* kernel : gram_kernels()) {
      if (!can_run(kernel->info, detected_cpu_features())) continue;
      Guarded<float> got(expected.size());
      kernel->tile(a.data(), b.data(), tokens, got.data());
      ASSERT_TRUE(testing::same_bits(got.span(), expected)) << kernel->info.name << ", " << tokens;
    }
  }
  if (const std::string names = testing::skipped_kernels(gram_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

TEST(Gram, AddsTheUpperTriangleOnly) {
  Numbers numbers(2);
  ThreadPool pool(2);
  for (const std::int64_t cols : {1, 31, 32, 33, 100}) {
    const std::int64_t tokens = 50;
    const std::int64_t ld = cols + 3;
    const std::vector<float> x = numbers.values(static_cast<std::size_t>(tokens * ld), -2.0f, 2.0f);
    std::vector<double> gram(static_cast<std::size_t>(cols * cols), 0.5);
    add_gram(x.data(), tokens, cols, ld, gram.data(), pool);
    add_gram(x.data(), tokens, cols, ld, gram.data(), pool);
    for (std::int64_t i = 0; i < cols; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) {
        double sum = 0;
        for (std::int64_t t = 0; t < tokens; ++t)
          sum += static_cast<double>(x[static_cast<std::size_t>(t * ld + i)]) * x[static_cast<std::size_t>(t * ld + j)];
        const double expected = j < i ? 0.5 : 0.5 + 2 * sum;
        // 50 fused additions of products of at most 4: each rounds a sum below 200 to 24 bits, twice.
        ASSERT_NEAR(gram[static_cast<std::size_t>(i * cols + j)], expected, 2 * 50 * 200 * 0x1p-24) << i << ", " << j;
      }
    }
  }
}

}  // namespace
}  // namespace nibble::kernel
