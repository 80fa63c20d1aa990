#include "api/model_fingerprint.h"

#include <algorithm>
#include <span>
#include <vector>

#include "hub/digest.h"
#include "quant/weights_as_floats.h"

namespace nibble {

Result<std::string> model_fingerprint(const ModelWeights& weights) {
  Sha256 digest;
  const auto add = [&](const std::vector<float>& numbers) { digest.update(std::as_bytes(std::span(numbers))); };
  const ModelLayout& layout = weights.layout();
  for (std::size_t i = 0; i < layout.vectors.size(); ++i) {
    NIBBLE_TRY(const std::vector<float> vector, weights.vector(static_cast<VectorId>(i)));
    add(vector);
  }
  for (std::size_t i = 0; i < layout.linears.size(); ++i) {
    if (layout.linears[i].role != LinearInfo::Role::kBlock) continue;
    const auto id = static_cast<LinearId>(i);
    NIBBLE_TRY(const std::vector<float> bias, weights.bias(id));
    add(bias);
    NIBBLE_TRY(const MatrixPtr matrix, weights.matrix(id));
    QuantizedMatrix rows;
    const std::int64_t count = std::min(matrix->row_step(), matrix->rows());
    NIBBLE_TRY_STATUS(matrix->decode(0, count, rows));
    std::vector<float> values(static_cast<std::size_t>(count * matrix->cols()));
    weights_as_floats(rows, values.data());
    values.resize(static_cast<std::size_t>(matrix->cols()));
    add(values);
    matrix->release(0, matrix->rows());
  }
  NIBBLE_TRY_STATUS(weights.check_intact());
  return digest.hex();
}

}  // namespace nibble
