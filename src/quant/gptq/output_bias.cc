#include "quant/gptq/output_bias.h"

#include "base/check.h"

namespace nibble {

std::vector<float> output_bias(std::span<const float> weights, const QuantizedMatrix& matrix,
                               std::span<const float> mean_input) {
  NIBBLE_CHECK(matrix.row_count == matrix.rows && static_cast<std::int64_t>(mean_input.size()) == matrix.cols &&
               static_cast<std::int64_t>(weights.size()) == matrix.rows * matrix.cols);
  std::vector<float> values(weights.size());
  dequantize(matrix, values.data());
  std::vector<float> bias;
  for (std::size_t row = 0; row < weights.size(); row += mean_input.size()) {
    double sum = 0;
    for (std::size_t c = 0; c < mean_input.size(); ++c)
      sum += (static_cast<double>(weights[row + c]) - static_cast<double>(values[row + c])) *
             static_cast<double>(mean_input[c]);
    bias.push_back(static_cast<float>(sum));
  }
  return bias;
}

}  // namespace nibble
