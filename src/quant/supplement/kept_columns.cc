#include "quant/supplement/kept_columns.h"

#include <algorithm>
#include <numeric>

#include "kernel/cholesky/cholesky.h"
#include "quant/gptq/second_order.h"
#include "quant/quadratic_form.h"
#include "quant/supplement/solve_rows.h"
#include "quant/weights_as_floats.h"

namespace nibble {
namespace {

std::size_t size_of(std::int64_t a, std::int64_t b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

}  // namespace

std::vector<std::int32_t> most_harmed_columns(std::span<const float> weights, const InputGram& gram,
                                              const QuantizedMatrix& matrix) {
  const std::int64_t cols = gram.cols;
  const std::int64_t count = matrix.scheme.supplement.kept_columns(cols);
  if (count == 0) return {};
  std::vector<float> values(weights.size());
  weights_as_floats(matrix, values.data());
  std::vector<double> harm(static_cast<std::size_t>(cols));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double error = static_cast<double>(weights[i]) - static_cast<double>(values[i]);
    harm[i % static_cast<std::size_t>(cols)] += error * error;
  }
  for (std::int64_t c = 0; c < cols; ++c)
    harm[static_cast<std::size_t>(c)] *= gram.sums[size_of(c, cols) + static_cast<std::size_t>(c)];
  std::vector<std::int32_t> columns(static_cast<std::size_t>(cols));
  std::iota(columns.begin(), columns.end(), 0);
  std::stable_sort(columns.begin(), columns.end(), [&](std::int32_t a, std::int32_t b) {
    return harm[static_cast<std::size_t>(a)] > harm[static_cast<std::size_t>(b)];
  });
  columns.resize(static_cast<std::size_t>(count));
  std::sort(columns.begin(), columns.end());
  return columns;
}

InputGram beside_kept(const InputGram& gram, std::span<const std::int32_t> columns, ThreadPool& pool) {
  InputGram out = gram;
  const double unit = gram_unit(gram);
  if (columns.empty() || unit == 0) return out;
  const std::int64_t cols = gram.cols;
  const auto n = static_cast<std::int64_t>(columns.size());
  const auto place = [&](std::int64_t i, std::int64_t j) {
    return size_of(std::min(i, j), cols) + static_cast<std::size_t>(std::max(i, j));
  };
  const double shrinkage = shrinkage_for(cols, gram.tokens);
  std::vector<double> own;     // H_SS
  std::vector<double> across;  // H_S, [cols, n]
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      const double value = gram.sums[place(columns[static_cast<std::size_t>(i)], columns[static_cast<std::size_t>(j)])];
      own.push_back(i == j ? value * (1 + shrinkage) + kSupplementDamping / unit : value);
    }
  for (std::int64_t c = 0; c < cols; ++c)
    for (const std::int32_t column : columns) across.push_back(gram.sums[place(c, column)]);
  if (!kernel::cholesky(own.data(), n, pool)) return out;
  std::vector<double> solved = across;
  solve_rows(own, n, solved);
  pool.run(static_cast<std::size_t>(cols), 16, [&](std::size_t begin, std::size_t end, int) {
    for (auto i = static_cast<std::int64_t>(begin); i < static_cast<std::int64_t>(end); ++i)
      for (std::int64_t j = i; j < cols; ++j) {
        const double* a = across.data() + i * n;
        const double* b = solved.data() + j * n;
        for (std::int64_t k = 0; k < n; ++k) out.sums[place(i, j)] -= a[k] * b[k];
      }
  });
  for (const std::int32_t column : columns)
    for (std::int64_t c = 0; c < cols; ++c) out.sums[place(c, column)] = 0;
  return out;
}

}  // namespace nibble
