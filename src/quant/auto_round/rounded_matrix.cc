#include "quant/auto_round/rounded_matrix.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "quant/rtn/group_grid.h"
#include "quant/stored_scale.h"

namespace nibble {
namespace {

constexpr std::int64_t kGrain = 8;  ///< rows of a task
constexpr int kLanes = 16;          ///< sums run in so many lanes, which compilers make vectors of

/// Where a weight falls: the code, and whether it was inside the grid before clamping.
struct Place {
  float code;
  float inside;  ///< 1 or 0
};

inline Place place(float quotient, float offset, float zero, float top) {
  float q = quotient + offset;
  q = q < -512.0f ? -512.0f : q > 512.0f ? 512.0f : q;
  const float wanted = round_even(q) + zero;
  float code = wanted < 0.0f ? 0.0f : wanted;
  code = code > top ? top : code;
  return {code, code == wanted ? 1.0f : 0.0f};
}

inline float sign(float x) { return (x > 0.0f ? 1.0f : 0.0f) - (x < 0.0f ? 1.0f : 0.0f); }

float sum_of(const float (&lanes)[kLanes]) {
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

}  // namespace

RoundedMatrix::RoundedMatrix(std::vector<float> weights, std::int64_t rows, std::int64_t cols,
                             const QuantScheme& scheme)
    : scheme_(scheme),
      rows_(rows),
      cols_(cols),
      group_(scheme.scale->grouping.kind == Grouping::Kind::kColumns ? std::min(scheme.scale->grouping.size, cols)
                                                                     : cols),
      groups_((cols + group_ - 1) / group_),
      symmetric_(scheme.zero_kind == ZeroKind::kNone),
      top_(static_cast<float>((1 << scheme.code.bits) - 1)),
      weights_(std::move(weights)),
      offsets_(weights_.size()) {
  NIBBLE_CHECK(static_cast<std::int64_t>(weights_.size()) == rows * cols);
  const auto entries = static_cast<std::size_t>(rows * groups_);
  low_.resize(entries);
  high_.resize(entries);
  reach_low_.assign(entries, 1.0f);
  reach_high_.assign(entries, 1.0f);
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t number = 0; number < groups_; ++number) {
      const Group g = group(row, number);
      float low = 0;
      float high = 0;
      for (std::int64_t i = g.first; i < g.first + g.size; ++i) {
        low = std::min(low, weights_[static_cast<std::size_t>(i)]);
        high = std::max(high, weights_[static_cast<std::size_t>(i)]);
      }
      low_[static_cast<std::size_t>(g.entry)] = low;
      high_[static_cast<std::size_t>(g.entry)] = high;
    }
}

RoundedMatrix::Group RoundedMatrix::group(std::int64_t row, std::int64_t number) const {
  const std::int64_t first = number * group_;
  return {row * groups_ + number, row * cols_ + first, std::min(group_, cols_ - first)};
}

RoundedMatrix::Grid RoundedMatrix::grid(std::int64_t entry) const {
  const auto e = static_cast<std::size_t>(entry);
  const float low = low_[e] * reach_low_[e];
  const float high = high_[e] * reach_high_[e];
  Grid out{0.0f, static_cast<float>(scheme_.code.bias), -low >= high};
  if (symmetric_)
    out.scale = (out.low_side ? -low : -high) / ((top_ + 1.0f) / 2.0f);
  else
    out.scale = (high - low) / top_;
  if (out.scale == 0.0f) out.scale = 1.0f;  // every code stands for 0
  out.scale = stored_scale(scheme_.scale->element, out.scale);
  if (!symmetric_) out.zero = std::clamp(std::nearbyint(-low / out.scale), 0.0f, top_);
  return out;
}

template <typename Body>
void RoundedMatrix::for_groups(ThreadPool& pool, Body&& body) const {
  pool.run(static_cast<std::size_t>(rows_), kGrain, [&](std::size_t begin, std::size_t end, int) {
    for (auto row = static_cast<std::int64_t>(begin); row < static_cast<std::int64_t>(end); ++row)
      for (std::int64_t number = 0; number < groups_; ++number) {
        const Group g = group(row, number);
        body(g, grid(g.entry));
      }
  });
}

void RoundedMatrix::values(float* out, ThreadPool& pool) const {
  for_groups(pool, [&](const Group& g, const Grid& on) {
    const float* w = weights_.data() + g.first;
    const float* offset = offsets_.data() + g.first;
    float* value = out + g.first;
    for (std::int64_t i = 0; i < g.size; ++i)
      value[i] = on.scale * (place(w[i] / on.scale, offset[i], on.zero, top_).code - on.zero);
  });
}

QuantizedMatrix RoundedMatrix::quantized(ThreadPool& pool) const {
  QuantizedMatrix out;
  out.allocate(scheme_, rows_, cols_, 0, rows_);
  for_groups(pool, [&](const Group& g, const Grid& on) {
    const float* w = weights_.data() + g.first;
    const float* offset = offsets_.data() + g.first;
    for (std::int64_t i = 0; i < g.size; ++i)
      out.codes[static_cast<std::size_t>(g.first + i)] =
          static_cast<std::uint8_t>(static_cast<std::int32_t>(place(w[i] / on.scale, offset[i], on.zero, top_).code));
    store_entry(scheme_.scale->element, on.scale, out.scale.entries, g.entry);
    if (!symmetric_)
      store_entry(ElementType::kI16, on.zero - static_cast<float>(scheme_.code.bias), out.zero.entries, g.entry);
  });
  return out;
}

void RoundedMatrix::row_gradient(std::int64_t row, const float* d_values, RowGradient& out) const {
  out.offsets.resize(static_cast<std::size_t>(cols_));
  out.reach_high.resize(static_cast<std::size_t>(groups_));
  out.reach_low.resize(static_cast<std::size_t>(groups_));
  for (std::int64_t number = 0; number < groups_; ++number) {
    const Group g = group(row, number);
    const Grid on = grid(g.entry);
    const float scale = on.scale;
    const float zero = on.zero;
    const float* w = weights_.data() + g.first;
    const float* offset = offsets_.data() + g.first;
    const float* d = d_values + number * group_;
    float* d_offset = out.offsets.data() + number * group_;
    float by_scale[kLanes] = {};
    float by_zero[kLanes] = {};
    const auto add = [&](std::int64_t i, int lane) {
      const float quotient = w[i] / scale;
      const auto [code, inside] = place(quotient, offset[i], zero, top_);
      d_offset[i] = d[i] * scale * inside;
      by_scale[lane] += d[i] * ((code - zero) - inside * quotient);
      by_zero[lane] += d[i] * scale * (inside - 1.0f);
    };
    std::int64_t i = 0;
    for (; i + kLanes <= g.size; i += kLanes)
      for (int lane = 0; lane < kLanes; ++lane) add(i + lane, lane);
    for (int lane = 0; i < g.size; ++i, ++lane) add(i, lane);
    const auto e = static_cast<std::size_t>(g.entry);
    const auto n = static_cast<std::size_t>(number);
    float d_scale = sum_of(by_scale);
    if (symmetric_) {
      const float half = (top_ + 1.0f) / 2.0f;
      out.reach_low[n] = on.low_side ? d_scale * (-low_[e] / half) : 0.0f;
      out.reach_high[n] = on.low_side ? 0.0f : d_scale * (-high_[e] / half);
      continue;
    }
    // zero = -low / scale, before it is rounded: it moves with the scale, and with the low end by itself.
    const float d_zero = sum_of(by_zero);
    const float low = low_[e] * reach_low_[e];
    d_scale += d_zero * (low / (scale * scale));
    out.reach_high[n] = d_scale * (high_[e] / top_);
    out.reach_low[n] = d_scale * (-low_[e] / top_) + d_zero * (-low_[e] / scale);
  }
}

void RoundedMatrix::step(const float* d_values, float offset_rate, float reach_rate, ThreadPool& pool) {
  pool.run(static_cast<std::size_t>(rows_), kGrain, [&](std::size_t begin, std::size_t end, int) {
    RowGradient gradient;
    for (auto row = static_cast<std::int64_t>(begin); row < static_cast<std::int64_t>(end); ++row) {
      row_gradient(row, d_values + row * cols_, gradient);
      float* offset = offsets_.data() + row * cols_;
      for (std::int64_t i = 0; i < cols_; ++i) {
        const float moved = offset[i] - offset_rate * sign(gradient.offsets[static_cast<std::size_t>(i)]);
        const float bounded = moved < -0.5f ? -0.5f : moved;
        offset[i] = bounded > 0.5f ? 0.5f : bounded;
      }
      for (std::size_t n = 0; n < static_cast<std::size_t>(groups_); ++n) {
        const std::size_t e = static_cast<std::size_t>(row * groups_) + n;
        reach_high_[e] = std::clamp(reach_high_[e] - reach_rate * sign(gradient.reach_high[n]), 0.0f, 1.0f);
        reach_low_[e] = std::clamp(reach_low_[e] - reach_rate * sign(gradient.reach_low[n]), 0.0f, 1.0f);
      }
    }
  });
}

}  // namespace nibble
