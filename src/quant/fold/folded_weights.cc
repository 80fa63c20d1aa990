#include "quant/fold/folded_weights.h"

#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/half.h"
#include "quant/matrix_view.h"
#include "quant/weights_as_floats.h"

namespace nibble {
namespace {

/// A matrix with factors on its columns and divisors on its rows.
class ScaledMatrix final : public MatrixView {
 public:
  ScaledMatrix(MatrixPtr source, std::vector<float> columns, std::vector<float> rows)
      : MatrixView(std::move(source), QuantScheme::of_float(ElementType::kF32)),
        columns_(std::move(columns)),
        rows_(std::move(rows)) {}

  Status decode(std::int64_t begin, std::int64_t count, QuantizedMatrix& out) const override {
    thread_local QuantizedMatrix stored;
    thread_local std::vector<float> values;
    NIBBLE_TRY_STATUS(source_->decode(begin, count, stored));
    const auto width = static_cast<std::size_t>(cols());
    values.resize(static_cast<std::size_t>(count) * width);
    weights_as_floats(stored, values.data());
    for (std::size_t r = 0; r < static_cast<std::size_t>(count); ++r) {
      float* row = values.data() + r * width;
      for (std::size_t c = 0; c < columns_.size(); ++c) row[c] *= columns_[c];
      if (rows_.empty()) continue;
      const float divisor = rows_[static_cast<std::size_t>(begin) + r];
      for (std::size_t c = 0; c < width; ++c) row[c] /= divisor;
    }
    out.allocate(scheme_, rows(), cols(), begin, count);
    std::memcpy(out.codes.data(), values.data(), values.size() * sizeof(float));
    return {};
  }

 private:
  std::vector<float> columns_;
  std::vector<float> rows_;
};

/// `value` is stored less `shift` (1 in Gemma's norms), so what it becomes is rounded there.
float stored_quotient(float value, float scale, float shift) {
  return bf16_to_f32(f32_to_bf16((value + shift) / scale - shift));
}

/// The scale that dividing `value` and rounding comes to.
float settled_scale(float value, float scale, float shift) {
  const float reached = (value + shift) / (stored_quotient(value, scale, shift) + shift);
  return reached >= scale / 2 && reached <= scale * 2 ? reached : 1.0f;  // NaN: 1 too
}

void multiply(std::vector<float>& factors, std::int64_t size, std::span<const float> scales, const auto& channel_of) {
  factors.resize(static_cast<std::size_t>(size), 1.0f);
  for (std::int64_t i = 0; i < size; ++i)
    factors[static_cast<std::size_t>(i)] *= scales[static_cast<std::size_t>(channel_of(i))];
}

}  // namespace

Result<std::vector<float>> FoldedWeights::settled(const FoldPoint& point, std::vector<float> scales) const {
  NIBBLE_CHECK(static_cast<std::int64_t>(scales.size()) == point.channels);
  const bool norm = point.norm != kNoWeight;
  const float shift = norm && config().norm_plus_one ? 1.0f : 0.0f;
  NIBBLE_TRY(const std::vector<float> values, norm ? vector(point.norm) : bias(point.previous));
  for (std::size_t i = 0; i < values.size(); ++i)
    if (norm || values[i] != 0) scales[i] = settled_scale(values[i], scales[i], shift);  // a bias of 0 stays 0
  return scales;
}

Status FoldedWeights::fold(const FoldPoint& point, std::span<const float> scales) {
  NIBBLE_TRY(const std::vector<float> exact, settled(point, {scales.begin(), scales.end()}));
  const bool norm = point.norm != kNoWeight;
  const float shift = norm && config().norm_plus_one ? 1.0f : 0.0f;
  NIBBLE_TRY(std::vector<float> values, norm ? vector(point.norm) : bias(point.previous));
  for (std::size_t i = 0; i < values.size(); ++i)
    if (exact[i] != 1.0f) values[i] = stored_quotient(values[i], exact[i], shift);
  if (norm) {
    changes_.vectors[point.norm] = std::move(values);
  } else {
    if (!values.empty()) changes_.biases[point.previous] = std::move(values);
    const std::int64_t rows = layout().linears[static_cast<std::size_t>(point.previous)].rows;
    multiply(rows_[point.previous], rows, exact, [](std::int64_t row) { return row; });
  }
  for (const LinearId id : point.linears) {
    const std::int64_t cols = layout().linears[static_cast<std::size_t>(id)].cols;
    multiply(columns_[id], cols, exact, [&](std::int64_t column) { return point.channel(column); });
  }
  return {};
}

Result<MatrixPtr> FoldedWeights::matrix(LinearId id) const {
  NIBBLE_TRY(MatrixPtr original, weights_.matrix(id));
  const std::span<const float> columns = column_factors(id);
  const std::span<const float> rows = row_divisors(id);
  if (columns.empty() && rows.empty()) return original;
  return MatrixPtr(std::make_shared<ScaledMatrix>(std::move(original), std::vector(columns.begin(), columns.end()),
                                                  std::vector(rows.begin(), rows.end())));
}

}  // namespace nibble
