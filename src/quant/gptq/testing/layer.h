// For tests: a linear with inputs that make error feedback worth while.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "kernel/gram/gram.h"
#include "quant/gptq/gptq.h"

namespace nibble::testing {

/// Rows of weights and the Gram matrix of inputs whose channels are correlated and of different sizes.
struct Layer {
  Layer(std::int64_t row_count, std::int64_t col_count, unsigned seed)
      : rows(row_count), cols(col_count), gram(col_count) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (std::int64_t i = 0; i < rows * cols; ++i) weights.push_back(0.05f * normal(random));
    const std::int64_t tokens = 6 * cols;
    std::vector<float> x(static_cast<std::size_t>(tokens * cols));
    for (std::int64_t t = 0; t < tokens; ++t) {
      const float common = normal(random);
      for (std::int64_t c = 0; c < cols; ++c)
        x[static_cast<std::size_t>(t * cols + c)] =
            (common + normal(random)) * (0.2f + static_cast<float>(c % 7) * (c % 13 == 0 ? 3.0f : 0.3f));
    }
    kernel::add_gram(x.data(), tokens, cols, cols, gram.sums.data(), pool);
    gram.tokens = tokens;
  }

  double h(std::int64_t i, std::int64_t j) const {
    return gram.sums[static_cast<std::size_t>(std::min(i, j) * cols + std::max(i, j))];
  }
  /// tr(E H E^T) / tr(W H W^T), undamped, in float64.
  double error(const QuantizedMatrix& quantized) const {
    std::vector<float> values(weights.size());
    dequantize(quantized, values.data());
    double above = 0;
    double below = 0;
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t i = 0; i < cols; ++i)
        for (std::int64_t j = 0; j < cols; ++j) {
          const auto a = static_cast<std::size_t>(r * cols + i);
          const auto b = static_cast<std::size_t>(r * cols + j);
          above += static_cast<double>(weights[a] - values[a]) * h(i, j) * static_cast<double>(weights[b] - values[b]);
          below += static_cast<double>(weights[a]) * h(i, j) * static_cast<double>(weights[b]);
        }
    return above / below;
  }
  QuantizedMatrix quantize(const std::string& scheme_name, const GptqOptions& options,
                           ColumnOrder order = ColumnOrder::kGroupAware) {
    return quantize(parse_scheme(scheme_name).value(), options, order);
  }
  QuantizedMatrix quantize(const QuantScheme& scheme, const GptqOptions& options,
                           ColumnOrder order = ColumnOrder::kGroupAware) {
    const SecondOrder prepared = prepare_second_order(gram, second_order_options(0.01, order, scheme, cols), pool);
    std::vector<float> copy = weights;
    return quantize_gptq(copy, rows, prepared, scheme, options, pool, report);
  }

  std::int64_t rows;
  std::int64_t cols;
  std::vector<float> weights;
  InputGram gram;
  ThreadPool pool{2};
  GptqReport report;
};

}  // namespace nibble::testing
