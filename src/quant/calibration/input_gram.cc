#include "quant/calibration/input_gram.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "kernel/gemm/gemm.h"
#include "kernel/gram/gram.h"

namespace nibble {

void InputGram::add(std::span<const float> x, ThreadPool& pool) {
  constexpr std::size_t kColumnsAtOnce = 64;
  constexpr std::int64_t kTokensAtOnce = 64;  ///< added in float32, then in float64
  const std::int64_t rows = static_cast<std::int64_t>(x.size()) / cols;
  kernel::add_gram(x.data(), rows, cols, cols, sums.data(), pool);
  pool.run(static_cast<std::size_t>(cols), kColumnsAtOnce, [&](std::size_t begin, std::size_t end, int) {
    float plain[kColumnsAtOnce];
    float magnitudes[kColumnsAtOnce];
    const std::size_t count = end - begin;
    for (std::int64_t first = 0; first < rows; first += kTokensAtOnce) {
      std::fill_n(plain, count, 0.0f);
      std::fill_n(magnitudes, count, 0.0f);
      for (std::int64_t t = first; t < std::min(rows, first + kTokensAtOnce); ++t) {
        const float* token = x.data() + t * cols + static_cast<std::int64_t>(begin);
        for (std::size_t c = 0; c < count; ++c) {
          plain[c] += token[c];
          magnitudes[c] += std::fabs(token[c]);
        }
      }
      for (std::size_t c = 0; c < count; ++c) {
        plain_sums[begin + c] += static_cast<double>(plain[c]);
        abs_sums[begin + c] += static_cast<double>(magnitudes[c]);
      }
    }
  });
  tokens += rows;
}

void InputGram::add_drift(std::span<const float> original, std::span<const float> x, ThreadPool& pool) {
  NIBBLE_CHECK(original.size() == x.size());
  const auto numbers = static_cast<std::size_t>(cols) * static_cast<std::size_t>(cols);
  drift.resize(numbers);
  std::vector<float> difference(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) difference[i] = original[i] - x[i];
  std::vector<float> product(numbers);
  const std::int64_t rows = static_cast<std::int64_t>(x.size()) / cols;
  kernel::gemm({kernel::GemmInput::transposed(difference.data(), cols), kernel::GemmInput::rows(x.data(), cols), cols,
                cols, rows, product.data(), cols},
               pool);
  for (std::size_t i = 0; i < numbers; ++i) drift[i] += static_cast<double>(product[i]);
}

}  // namespace nibble
