#include "quant/hqq/hqq.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <span>
#include <vector>

#include "quant/integer_groups.h"
#include "quant/matrix_view.h"
#include "quant/rtn/finite_rows.h"
#include "quant/rtn/group_grid.h"
#include "quant/stored_scale.h"

namespace nibble {
namespace {

/// value = scale * (code - zero), zero counted from code 0.
struct HqqGrid {
  float scale = 1.0f;
  float zero = 0.0f;
};

/// The grids of groups of one scheme.
class HqqGroups {
 public:
  HqqGroups(const QuantScheme& scheme, const HqqOptions& options)
      : scheme_(scheme), options_(options), top_(static_cast<float>((1 << scheme.code.bits) - 1)) {}

  HqqGrid choose(std::span<const float> w) const {
    const auto [least, largest] = std::minmax_element(w.begin(), w.end());
    float low = *least;
    float high = *largest;
    if (scheme_.zero_kind == ZeroKind::kInteger) {  // it is one of the codes, so 0 lies in the range
      low = std::min(low, 0.0f);
      high = std::max(high, 0.0f);
    }
    return settle(w, iterate(w, from_range(low, high, options_.rounded_start && scheme_.code.bits == 4)));
  }

  void encode(std::span<const float> w, const HqqGrid& grid, std::uint8_t* codes) const {
    for (std::size_t i = 0; i < w.size(); ++i) codes[i] = static_cast<std::uint8_t>(code_of(w[i], grid));
  }

 private:
  float code_of(float w, const HqqGrid& grid) const {
    const float x = w / grid.scale + grid.zero;
    return round_even(x < 0 ? 0 : x < top_ ? x : top_);
  }
  float error_of(float w, const HqqGrid& grid) const { return w - grid.scale * (code_of(w, grid) - grid.zero); }

  HqqGrid from_range(float low, float high, bool whole) const {
    HqqGrid grid;
    const float range = high - low;
    grid.scale = stored_scale(scheme_.scale->element, range > 0 ? range / top_ : 1.0f);
    grid.zero = -low / grid.scale;
    if (whole) grid.zero = std::nearbyint(grid.zero);
    return grid;
  }

  /// The zero point after all iterations. (hqq ends them for all groups of a matrix at once, where the mean |error| of
  /// the whole rises. Ended group by group they end too early, as a group's error also rises by chance.)
  HqqGrid iterate(std::span<const float> w, HqqGrid grid) const {
    double beta = options_.beta;
    for (int i = 0; i < options_.iterations; ++i, beta *= options_.kappa) {
      // Errors beyond this keep a part of themselves; smaller ones are taken as 0.
      const auto threshold = static_cast<float>(std::pow(beta, -1.0 / (2.0 - options_.p)));
      float zeros = 0;
      for (const float x : w) {
        const float code = code_of(x, grid);
        const float error = x - grid.scale * (code - grid.zero);
        const float kept = std::fabs(error) > threshold ? shrunk(error, beta) : 0.0f;
        zeros += code - (x - kept) / grid.scale;
      }
      grid.zero = zeros / static_cast<float>(w.size());
    }
    return grid;
  }

  float shrunk(float error, double beta) const {
    const double size = std::fabs(static_cast<double>(error));
    return std::copysign(static_cast<float>(size - std::pow(size, options_.p - 1) / beta), error);
  }

  /// The zero point as it is stored; of the two integers beside it the better one.
  HqqGrid settle(std::span<const float> w, HqqGrid grid) const {
    if (scheme_.zero_kind == ZeroKind::kReal) {
      const auto bias = static_cast<float>(scheme_.code.bias);
      grid.zero = round_to_element(scheme_.zero.element, grid.zero - bias) + bias;
      return grid;
    }
    const HqqGrid below{grid.scale, std::clamp(std::floor(grid.zero), 0.0f, top_)};
    const HqqGrid above{grid.scale, std::clamp(std::ceil(grid.zero), 0.0f, top_)};
    return magnitudes(w, below) <= magnitudes(w, above) ? below : above;
  }

  double magnitudes(std::span<const float> w, const HqqGrid& grid) const {
    double sum = 0;
    for (const float x : w) sum += static_cast<double>(std::fabs(error_of(x, grid)));
    return sum;
  }

  const QuantScheme& scheme_;
  const HqqOptions& options_;
  float top_;
};

/// Quantizes on demand.
class HqqSource final : public MatrixView {
 public:
  HqqSource(MatrixPtr source, QuantScheme scheme, const HqqOptions& options)
      : MatrixView(std::move(source), std::move(scheme)), options_(options) {}

  Status decode(std::int64_t begin, std::int64_t count, QuantizedMatrix& out) const override {
    thread_local QuantizedMatrix stored;
    thread_local std::vector<float> weights;
    weights.resize(static_cast<std::size_t>(count * cols()));
    NIBBLE_TRY_STATUS(decode_floats(*source_, begin, count, stored, weights.data()));
    const std::int64_t replaced =
        quantize_hqq_rows(weights.data(), rows(), cols(), begin, count, scheme_, options_, out);
    if (replaced > 0 && !warned_.exchange(true)) warn_of_non_finite(replaced);
    return {};
  }

 private:
  HqqOptions options_;
  mutable std::atomic<bool> warned_{false};
};

}  // namespace

Status check_hqq_scheme(const QuantScheme& scheme) {
  NIBBLE_TRY_STATUS(check_integer_groups(scheme, "hqq", true));
  if (scheme.zero_kind == ZeroKind::kNone)
    return fail(ErrorCode::kUnsupported,
                "hqq cannot make {}: it moves zero points, and there are none; use a scheme such as int4-g64-asym",
                to_string(scheme));
  return {};
}

QuantScheme with_real_zeros(const QuantScheme& scheme) {
  QuantScheme out = scheme;
  out.zero_kind = ZeroKind::kReal;
  out.zero = *scheme.scale;
  return out;
}

std::int64_t quantize_hqq_rows(float* weights, std::int64_t rows, std::int64_t cols, std::int64_t row_begin,
                               std::int64_t row_count, const QuantScheme& scheme, const HqqOptions& options,
                               QuantizedMatrix& out) {
  out.allocate(scheme, rows, cols, row_begin, row_count);
  const HqqGroups groups(scheme, options);
  const ElementType zero_type = scheme.zero_kind == ZeroKind::kReal ? scheme.zero.element : ElementType::kI16;
  const std::int64_t group = group_columns(scheme, cols);
  std::int64_t replaced = 0;
  std::int64_t entry = 0;
  for (std::int64_t r = 0; r < row_count; ++r) {
    const std::span<float> row(weights + r * cols, static_cast<std::size_t>(cols));
    replaced += make_finite(row);
    for (std::int64_t from = 0; from < cols; from += group, ++entry) {
      const std::span<const float> w =
          row.subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(std::min(group, cols - from)));
      const HqqGrid grid = groups.choose(w);
      store_entry(scheme.scale->element, grid.scale, out.scale.entries, entry);
      store_entry(zero_type, grid.zero - static_cast<float>(scheme.code.bias), out.zero.entries, entry);
      groups.encode(w, grid, out.codes.data() + r * cols + from);
    }
  }
  return replaced;
}

Result<MatrixPtr> quantize_hqq(MatrixPtr source, const QuantScheme& scheme, const HqqOptions& options) {
  NIBBLE_TRY_STATUS(check_hqq_scheme(scheme));
  return MatrixPtr(std::make_shared<HqqSource>(std::move(source), scheme, options));
}

}  // namespace nibble
