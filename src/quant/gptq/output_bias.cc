#include "quant/gptq/output_bias.h"

#include "base/check.h"
#include "quant/quadratic_form.h"

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

std::vector<float> mean_inputs(const InputGram& gram) {
  std::vector<float> out;
  if (gram_unit(gram) == 0) return out;
  for (const double sum : gram.plain_sums) out.push_back(static_cast<float>(sum / static_cast<double>(gram.tokens)));
  return out;
}

Result<std::vector<float>> corrected_bias(const ModelWeights& weights, LinearId id, std::span<const float> targets,
                                          const QuantizedMatrix& matrix, std::span<const float> mean_input) {
  std::vector<float> bias;
  if (mean_input.empty() || !weights.layout().linears[static_cast<std::size_t>(id)].bias) return bias;
  NIBBLE_TRY(bias, weights.bias(id));
  const std::vector<float> correction = output_bias(targets, matrix, mean_input);
  NIBBLE_CHECK(bias.size() == correction.size());
  for (std::size_t r = 0; r < bias.size(); ++r) bias[r] += correction[r];
  return bias;
}

}  // namespace nibble
