#include "quant/awq/scale_search.h"

#include <algorithm>

#include "base/check.h"
#include "quant/awq/lane_rounding.h"
#include "quant/integer_groups.h"

namespace nibble {
namespace {

constexpr std::int64_t kL = kernel::kFeedbackLanes;

/// The loss of one tile for one set of scales.
class TileLoss {
 public:
  TileLoss(const QuadraticForm& h, const QuantScheme& scheme)
      : h_(h), scheme_(scheme), group_(group_columns(scheme, h.cols())) {
    const auto size = static_cast<std::size_t>(h.cols() * kL);
    scaled_.resize(size);
    level_.resize(size);
    error_.resize(size);
  }

  double operator()(const LaneTile& tile, std::span<const float> scales) {
    for_columns(scales, [&](std::size_t at, float scale) { scaled_[at] = tile.values[at] * scale; });
    for (std::int64_t from = 0; from < h_.cols(); from += group_) {
      const std::int64_t to = std::min(h_.cols(), from + group_);
      round_lanes(lane_grid(scheme_, lane_range(scaled_.data(), from, to)), from, to, scaled_, level_, error_);
    }
    for_columns(scales, [&](std::size_t at, float scale) { error_[at] /= scale; });
    double lanes[kL];
    h_.evaluate(error_.data(), lanes);
    double sum = 0;
    for (const double lane : lanes) sum += lane;
    return sum;
  }

 private:
  static void for_columns(std::span<const float> scales, const auto& body) {
    for (std::size_t c = 0; c < scales.size(); ++c)
      for (std::size_t lane = 0; lane < kL; ++lane) body(c * kL + lane, scales[c]);
  }

  const QuadraticForm& h_;
  const QuantScheme& scheme_;
  std::int64_t group_;
  std::vector<float> scaled_;
  std::vector<float> level_;
  std::vector<float> error_;
};

struct TileOf {
  const FloatMatrix* matrix;
  std::int64_t tile;
};

}  // namespace

std::vector<double> rounding_losses(std::span<const FloatMatrix> matrices, const QuadraticForm& h,
                                    const QuantScheme& scheme, std::span<const std::vector<float>> scales,
                                    ThreadPool& pool) {
  std::vector<TileOf> tiles;
  for (const FloatMatrix& matrix : matrices) {
    NIBBLE_CHECK(matrix.cols == h.cols());
    for (std::int64_t n = 0; n < LaneTile::count(matrix.rows); ++n) tiles.push_back({&matrix, n});
  }
  std::vector<double> by_tile(tiles.size() * scales.size());
  pool.run(tiles.size(), 1, [&](std::size_t begin, std::size_t end, int) {
    TileLoss loss(h, scheme);
    LaneTile tile;
    for (std::size_t n = begin; n < end; ++n) {
      tile.gather(tiles[n].matrix->values, tiles[n].matrix->rows, h.cols(), tiles[n].tile);
      for (std::size_t i = 0; i < scales.size(); ++i) by_tile[n * scales.size() + i] = loss(tile, scales[i]);
    }
  });
  std::vector<double> out(scales.size());
  for (std::size_t n = 0; n < by_tile.size(); ++n) out[n % scales.size()] += by_tile[n];
  return out;
}

}  // namespace nibble
