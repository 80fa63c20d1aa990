// The tunable grid: it starts as round-to-nearest, its gradients are those of the grid without rounding, and no step
// moves a code by more than one.
#include "quant/auto_round/rounded_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "quant/rtn/rtn.h"

namespace nibble {
namespace {

const char* const kSchemes[] = {"int2-g16-sym", "int3-g32-asym",    "int4-g32-sym",      "int4-g24-asym",
                                "int8-g64-sym", "int3-channel-sym", "int5-channel-asym", "int6-g32-asym"};

std::vector<float> normal_numbers(std::int64_t count, unsigned seed, float spread = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& v : out) v = normal(random);
  return out;
}

constexpr std::int64_t kRows = 9;
constexpr std::int64_t kCols = 72;

/// With a group of zeros, one of positive numbers only, and one of negative numbers only.
std::vector<float> test_weights(unsigned seed) {
  std::vector<float> w = normal_numbers(kRows * kCols, seed, 0.05f);
  std::fill(w.begin(), w.begin() + 32, 0.0f);
  for (std::size_t i = 72; i < 144; ++i) w[i] = std::fabs(w[i]);
  for (std::size_t i = 144; i < 216; ++i) w[i] = -std::fabs(w[i]);
  return w;
}

TEST(RoundedMatrix, BeginsAsRoundToNearest) {
  ThreadPool pool(2);
  for (const char* name : kSchemes) {
    SCOPED_TRACE(name);
    const QuantScheme scheme = parse_scheme(name).value();
    std::vector<float> w = test_weights(1);
    const RoundedMatrix rounded(w, kRows, kCols, scheme);
    QuantizedMatrix expected;
    quantize_rtn_rows(w.data(), kRows, kCols, 0, kRows, scheme, {}, expected);
    const QuantizedMatrix got = rounded.quantized(pool);
    EXPECT_EQ(got.codes, expected.codes);
    EXPECT_EQ(got.scale, expected.scale);
    EXPECT_EQ(got.zero, expected.zero);
    std::vector<float> values(w.size());
    std::vector<float> decoded(w.size());
    rounded.values(values.data(), pool);
    dequantize(got, decoded.data());
    EXPECT_EQ(values, decoded);
  }
}

/// The grid in double with what rounding adds held fixed, as the straight-through estimator sees it.
class SmoothRow {
 public:
  SmoothRow(const QuantScheme& scheme, std::vector<double> weights, std::int64_t group)
      : symmetric_(scheme.zero_kind == ZeroKind::kNone),
        top_((1 << scheme.code.bits) - 1),
        bias_(scheme.code.bias),
        group_(static_cast<std::size_t>(group)),
        weights_(std::move(weights)) {}

  /// sum of d times the values. `hold`: round, and remember what that added; else add it.
  double loss(const std::vector<double>& offsets, const std::vector<double>& high, const std::vector<double>& low,
              const std::vector<float>& d, bool hold) {
    rest_.resize(weights_.size());
    edge_.resize(weights_.size());
    zero_rest_.resize(high.size());
    double sum = 0;
    for (std::size_t n = 0; n < high.size(); ++n) {
      const std::size_t first = n * group_;
      const std::size_t last = std::min(first + group_, weights_.size());
      double least = 0;
      double most = 0;
      for (std::size_t i = first; i < last; ++i) {
        least = std::min(least, weights_[i]);
        most = std::max(most, weights_[i]);
      }
      least *= low[n];
      most *= high[n];
      const double scale = symmetric_ ? (-least >= most ? -least : -most) / ((top_ + 1) / 2) : (most - least) / top_;
      double zero = symmetric_ ? bias_ : -least / scale;
      if (hold) zero_rest_[n] = std::nearbyint(zero) - zero;
      zero += zero_rest_[n];
      for (std::size_t i = first; i < last; ++i) {
        const double place = weights_[i] / scale + offsets[i];
        if (hold) rest_[i] = std::nearbyint(place) - place;
        // Whether a code is clamped is held too: at the edges the grid has kinks.
        const double wanted = place + rest_[i] + zero;
        if (hold) edge_[i] = wanted < -0.5 ? 0.0 : wanted > top_ + 0.5 ? top_ : -1.0;
        const double code = edge_[i] >= 0 ? edge_[i] : wanted;
        sum += static_cast<double>(d[i]) * scale * (code - zero);
      }
    }
    return sum;
  }

 private:
  bool symmetric_;
  double top_;
  double bias_;
  std::size_t group_;
  std::vector<double> weights_;
  std::vector<double> rest_;
  std::vector<double> edge_;  ///< the code that a weight is clamped to, -1: none
  std::vector<double> zero_rest_;
};

TEST(RoundedMatrix, GradientsAreThoseWithoutRounding) {
  ThreadPool pool(1);
  for (const char* name : {"int3-g24-sym", "int3-g24-asym", "int2-g16-sym", "int4-g32-asym"}) {
    SCOPED_TRACE(name);
    QuantScheme scheme = parse_scheme(name).value();
    scheme.scale->element = ElementType::kF32;  // a stored scale's rounding has no derivative
    const std::int64_t group = scheme.scale->grouping.size;
    const std::vector<float> w = normal_numbers(kCols, 4, 0.3f);
    RoundedMatrix rounded(w, 1, kCols, scheme);
    // One step away from where all offsets are 0 and nothing is clamped.
    const std::vector<float> first_d = normal_numbers(kCols, 30);
    RoundedMatrix::RowGradient first;
    rounded.row_gradient(0, first_d.data(), first);
    rounded.step(first_d.data(), 0.3f, 0.2f, pool);
    const auto moved = [](const std::vector<float>& gradient, double from, float rate) {
      std::vector<double> out;
      for (const float g : gradient)
        out.push_back(std::min(1.0, from - static_cast<double>(rate) * static_cast<double>((g > 0) - (g < 0))));
      return out;
    };
    std::vector<double> offsets = moved(first.offsets, 0.0, 0.3f);
    std::vector<double> high = moved(first.reach_high, 1.0, 0.2f);
    std::vector<double> low = moved(first.reach_low, 1.0, 0.2f);
    const std::vector<float> d = normal_numbers(kCols, 99);
    RoundedMatrix::RowGradient got;
    rounded.row_gradient(0, d.data(), got);
    SmoothRow smooth(scheme, {w.begin(), w.end()}, group);
    smooth.loss(offsets, high, low, d, true);
    const auto slope = [&](std::vector<double>& x, std::size_t i) {
      const double kept = x[i];
      x[i] = kept + 1e-6;
      const double above = smooth.loss(offsets, high, low, d, false);
      x[i] = kept - 1e-6;
      const double below = smooth.loss(offsets, high, low, d, false);
      x[i] = kept;
      return (above - below) / 2e-6;
    };
    int clamped = 0;
    for (std::size_t n = 0; n < high.size(); ++n) {
      EXPECT_NEAR(got.reach_high[n], slope(high, n), 1e-4) << n;
      EXPECT_NEAR(got.reach_low[n], slope(low, n), 1e-4) << n;
    }
    for (std::size_t c = 0; c < offsets.size(); ++c) {
      EXPECT_NEAR(got.offsets[c], slope(offsets, c), 1e-4) << c;
      clamped += got.offsets[c] == 0 ? 1 : 0;
    }
    EXPECT_GT(clamped, 0);
    EXPECT_LT(clamped, kCols / 2);
  }
}

/// Whatever the gradients say, and for longer than a tuner would follow them.
TEST(RoundedMatrix, NoCodeMovesByMoreThanOne) {
  ThreadPool pool(2);
  for (const char* name : kSchemes) {
    SCOPED_TRACE(name);
    const QuantScheme scheme = parse_scheme(name).value();
    const std::vector<float> w = test_weights(6);
    RoundedMatrix rounded(w, kRows, kCols, scheme);
    const std::vector<float> d = normal_numbers(kRows * kCols, 7);
    for (int i = 0; i < 50; ++i) rounded.step(d.data(), 0.03f, 0.004f, pool);
    const QuantizedMatrix got = rounded.quantized(pool);
    std::vector<float> scales(static_cast<std::size_t>(plane_entries_held(*scheme.scale, got.scale)));
    decode_plane(*scheme.scale, got.scale, scales);
    std::vector<float> zeros(scales.size());
    if (scheme.zero_kind == ZeroKind::kInteger) decode_plane(scheme.zero, got.zero, zeros);
    int moved = 0;
    for (std::int64_t r = 0; r < kRows; ++r)
      for (std::int64_t c = 0; c < kCols; ++c) {
        const auto i = static_cast<std::size_t>(r * kCols + c);
        const auto e = static_cast<std::size_t>(scheme.scale->grouping.entry(r, c, kRows, kCols, nullptr));
        const float zero = zeros[e] + static_cast<float>(scheme.code.bias);
        const float nearest =
            std::clamp(std::nearbyint(w[i] / scales[e]) + zero, 0.0f, static_cast<float>((1 << scheme.code.bits) - 1));
        const float away = std::fabs(static_cast<float>(got.codes[i]) - nearest);
        EXPECT_LE(away, 1.0f) << r << ", " << c;
        moved += away > 0 ? 1 : 0;
      }
    EXPECT_GT(moved, kRows * kCols / 4) << "offsets near 1/2 turn about half of all codes";
  }
}

TEST(RoundedMatrix, ThreadsChangeNothing) {
  const QuantScheme scheme = parse_scheme("int3-g32-asym").value();
  std::vector<std::uint8_t> first;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    RoundedMatrix rounded(test_weights(8), kRows, kCols, scheme);
    for (unsigned i = 0; i < 5; ++i) rounded.step(normal_numbers(kRows * kCols, i).data(), 0.1f, 0.02f, pool);
    const QuantizedMatrix got = rounded.quantized(pool);
    if (first.empty()) first = got.codes;
    EXPECT_EQ(got.codes, first);
  }
}

}  // namespace
}  // namespace nibble
