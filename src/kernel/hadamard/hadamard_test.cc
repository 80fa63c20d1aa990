// The transform against its definition, its inverse and the products that it keeps.
#include "kernel/hadamard/hadamard.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

using testing::Guarded;
using testing::Numbers;

TEST(Hadamard, IsTheDefinition) {
  ThreadPool pool(2);
  for (const std::int64_t n : {1, 2, 16, 64, 96, 80, 5, 256}) {
    const std::int64_t block = hadamard_block(n);
    Numbers numbers(static_cast<std::uint64_t>(n));
    const std::int64_t ld = 2 * n + 3;
    Guarded<float> x(numbers.values(static_cast<std::size_t>(2 * ld + 2 * n), -1.0f, 1.0f));
    const std::vector<float> before(x.span().begin(), x.span().end());
    hadamard(x.data(), 3, 2, n, ld, pool);
    for (std::int64_t r = 0; r < 3; ++r)
      for (std::int64_t i = 0; i < 2 * n; ++i) {
        double sum = 0;
        for (std::int64_t j = 0; j < block; ++j) {
          const bool minus = std::popcount(static_cast<std::uint64_t>(i % block & j)) % 2 == 1;
          const auto term = static_cast<double>(before[static_cast<std::size_t>(r * ld + i / block * block + j)]);
          sum += minus ? -term : term;
        }
        EXPECT_NEAR(x.data()[r * ld + i], sum / std::sqrt(static_cast<double>(block)), 2e-6) << n << " " << i;
      }
    for (std::int64_t i = 2 * n; i < ld; ++i)
      EXPECT_EQ(x.data()[i], before[static_cast<std::size_t>(i)]) << "between rows";
    hadamard(x.data(), 3, 2, n, ld, pool);
    for (std::size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(x.data()[i], before[i], 2e-6) << "twice is nothing";
  }
}

TEST(Hadamard, KeepsProducts) {
  ThreadPool pool(1);
  Numbers numbers(7);
  std::vector<float> a = numbers.values(96, -1.0f, 1.0f);
  std::vector<float> b = numbers.values(96, -1.0f, 1.0f);
  const auto dot = [&] {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    return sum;
  };
  const double before = dot();
  hadamard(a.data(), 1, 1, 96, 96, pool);
  hadamard(b.data(), 1, 1, 96, 96, pool);
  EXPECT_NEAR(dot(), before, 1e-5);
}

}  // namespace
}  // namespace nibble::kernel
