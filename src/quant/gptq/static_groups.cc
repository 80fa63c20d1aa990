#include "quant/gptq/static_groups.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernel/error_feedback/error_feedback.h"

namespace nibble {
namespace {

constexpr std::int64_t kL = kernel::kFeedbackLanes;
constexpr std::int64_t kBlock = 64;  ///< columns whose errors go on to all later ones at once

std::vector<float> plane_values(const PlaneFormat& format, const PlaneData& data) {
  std::vector<float> out(static_cast<std::size_t>(plane_entries_held(format, data)));
  decode_plane(format, data, out);
  return out;
}

/// Sixteen rows, column by column.
class StaticTile {
 public:
  StaticTile(const SecondOrder& h, std::span<const float> weights, QuantizedMatrix& matrix)
      : h_(h),
        weights_(weights),
        matrix_(matrix),
        group_(matrix.scheme.scale->grouping.size),
        groups_((h.cols + group_ - 1) / group_),
        scales_(plane_values(*matrix.scheme.scale, matrix.scale)) {
    if (matrix.scheme.zero_kind != ZeroKind::kNone) zeros_ = plane_values(matrix.scheme.zero, matrix.zero);
    for (std::vector<float>* array : {&w_, &t_, &level_, &e_}) array->resize(static_cast<std::size_t>(h.cols * kL));
    grids_.resize(static_cast<std::size_t>(groups_));
  }

  void quantize(std::int64_t first_row) {
    const std::int64_t lanes = std::min(kL, matrix_.rows - first_row);
    gather(first_row, lanes);
    const std::int64_t n = h_.cols;
    for (std::int64_t begin = 0; begin < n; begin += kBlock) {
      const std::int64_t end = std::min(n, begin + kBlock);
      for (std::int64_t p = begin; p < end; ++p) {
        kernel_.quantize(h_.u.data(), n, p, p + 1, grid_of(p), w_.data(), t_.data(), level_.data(), e_.data());
        kernel_.accumulate(h_.u.data(), n, p, p + 1, e_.data(), p + 1, end, t_.data());
      }
      kernel_.accumulate(h_.u.data(), n, begin, end, e_.data(), end, n, t_.data());
    }
    for (std::int64_t p = 0; p < n; ++p)
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        const float code = std::nearbyint(level_[at(p, lane)] + grid_of(p).zero[lane]);
        matrix_.codes[static_cast<std::size_t>((first_row + lane) * n + column(p))] =
            static_cast<std::uint8_t>(static_cast<int>(code) + matrix_.scheme.code.bias);
      }
  }

 private:
  static std::size_t at(std::int64_t p, std::int64_t lane) { return static_cast<std::size_t>(p * kL + lane); }
  std::int64_t column(std::int64_t p) const { return h_.order[static_cast<std::size_t>(p)]; }
  const kernel::FeedbackGrid& grid_of(std::int64_t p) const {
    return grids_[static_cast<std::size_t>(column(p) / group_)];
  }

  void gather(std::int64_t first_row, std::int64_t lanes) {
    const CodeFormat& code = matrix_.scheme.code;
    for (std::int64_t g = 0; g < groups_; ++g) {
      kernel::FeedbackGrid& grid = grids_[static_cast<std::size_t>(g)];
      grid = {};
      grid.low = static_cast<float>(-code.bias);
      grid.high = grid.low + static_cast<float>((1 << code.bits) - 1);
      for (std::int64_t lane = 0; lane < kL; ++lane) {
        const auto entry = static_cast<std::size_t>((first_row + std::min(lane, lanes - 1)) * groups_ + g);
        grid.scale[lane] = scales_[entry];
        grid.zero[lane] = zeros_.empty() ? 0.0f : zeros_[entry];
      }
    }
    std::fill(w_.begin(), w_.end(), 0.0f);
    for (std::int64_t p = 0; p < h_.cols; ++p)
      for (std::int64_t lane = 0; lane < lanes; ++lane)
        w_[at(p, lane)] = weights_[static_cast<std::size_t>((first_row + lane) * h_.cols + column(p))];
    t_ = w_;
  }

  const kernel::FeedbackKernel& kernel_ = kernel::feedback_kernel();
  const SecondOrder& h_;
  std::span<const float> weights_;
  QuantizedMatrix& matrix_;
  std::int64_t group_;
  std::int64_t groups_;
  std::vector<float> scales_;
  std::vector<float> zeros_;  ///< empty: none
  std::vector<kernel::FeedbackGrid> grids_;
  std::vector<float> w_;  ///< [cols, 16] like all that follow: the weights
  std::vector<float> t_;  ///< the weights with the errors of earlier columns
  std::vector<float> level_;
  std::vector<float> e_;
};

}  // namespace

QuantizedMatrix quantize_static_groups(std::span<const float> weights, std::int64_t rows, const SecondOrder& stored,
                                       const SecondOrder& by_size, const QuantScheme& scheme,
                                       const GptqOptions& options, ThreadPool& pool) {
  GptqOptions no_feedback = options;
  no_feedback.feedback = false;
  no_feedback.sweeps = 0;
  std::vector<float> copy(weights.begin(), weights.end());
  GptqReport report;
  QuantizedMatrix matrix = quantize_gptq(copy, rows, stored, scheme, no_feedback, pool, report);
  pool.run(static_cast<std::size_t>((rows + kL - 1) / kL), 1, [&](std::size_t begin, std::size_t end, int) {
    StaticTile tile(by_size, weights, matrix);
    for (std::size_t n = begin; n < end; ++n) tile.quantize(static_cast<std::int64_t>(n) * kL);
  });
  return matrix;
}

}  // namespace nibble
