// Optimal 1-D k-means by dynamic programming with divide and conquer: the best left boundary grows with the right end.
#include "quant/rtn/codebook.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nibble {
namespace {

/// Prefix sums of weight, weight * value and weight * value^2, so that a cluster's cost is O(1).
class ClusterCosts {
 public:
  explicit ClusterCosts(std::span<const WeightedValue> values)
      : w_(values.size() + 1), wx_(values.size() + 1), wxx_(values.size() + 1) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double x = static_cast<double>(values[i].value);
      w_[i + 1] = w_[i] + values[i].weight;
      wx_[i + 1] = wx_[i] + values[i].weight * x;
      wxx_[i + 1] = wxx_[i] + values[i].weight * x * x;
    }
  }
  /// Cost of one centre for values [begin, end).
  double cost(std::size_t begin, std::size_t end) const {
    const double w = w_[end] - w_[begin];
    if (w <= 0) return 0;
    const double wx = wx_[end] - wx_[begin];
    return std::max(0.0, (wxx_[end] - wxx_[begin]) - wx * wx / w);
  }
  float mean(std::size_t begin, std::size_t end) const {
    const double w = w_[end] - w_[begin];
    return w > 0 ? static_cast<float>((wx_[end] - wx_[begin]) / w) : 0.0f;
  }

 private:
  std::vector<double> w_;
  std::vector<double> wx_;
  std::vector<double> wxx_;
};

/// One layer of the program: best[j] = min over i <= j of previous[i] + cost(i, j), with split[j] the best i.
struct Layer {
  const ClusterCosts& costs;
  const std::vector<double>& previous;
  std::vector<double>& best;
  std::vector<std::uint32_t>& split;

  void solve(std::size_t low, std::size_t high, std::size_t split_low, std::size_t split_high) {
    if (low > high) return;
    const std::size_t middle = low + (high - low) / 2;
    double found = std::numeric_limits<double>::infinity();
    std::size_t at = split_low;
    for (std::size_t i = split_low; i <= std::min(split_high, middle); ++i) {
      const double candidate = previous[i] + costs.cost(i, middle);
      if (candidate < found) {
        found = candidate;
        at = i;
      }
    }
    best[middle] = found;
    split[middle] = static_cast<std::uint32_t>(at);
    if (middle > low) solve(low, middle - 1, split_low, at);
    solve(middle + 1, high, at, split_high);
  }
};

void sort_and_merge(std::vector<WeightedValue>& values) {
  std::sort(values.begin(), values.end(),
            [](const WeightedValue& a, const WeightedValue& b) { return a.value < b.value; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (kept > 0 && values[kept - 1].value == values[i].value) {
      values[kept - 1].weight += values[i].weight;
    } else {
      values[kept++] = values[i];
    }
  }
  values.resize(kept);
}

}  // namespace

std::vector<float> optimal_codebook(std::vector<WeightedValue>& values, int k) {
  sort_and_merge(values);
  const std::size_t n = values.size();
  const auto clusters = static_cast<std::size_t>(k);
  std::vector<float> centres;
  if (n <= clusters) {
    for (const WeightedValue& v : values) centres.push_back(v.value);
    centres.resize(clusters, centres.empty() ? 0.0f : centres.back());
    return centres;
  }
  const ClusterCosts costs(values);
  std::vector<double> previous(n + 1);
  for (std::size_t j = 0; j <= n; ++j) previous[j] = costs.cost(0, j);
  std::vector<std::vector<std::uint32_t>> splits(clusters, std::vector<std::uint32_t>(n + 1, 0));
  std::vector<double> best(n + 1);
  for (std::size_t c = 1; c < clusters; ++c) {
    Layer{costs, previous, best, splits[c]}.solve(0, n, 0, n);
    std::swap(previous, best);
  }
  centres.resize(clusters);
  std::size_t end = n;
  for (std::size_t c = clusters; c-- > 0;) {
    const std::size_t begin = c == 0 ? 0 : splits[c][end];
    centres[c] = begin < end ? costs.mean(begin, end) : (c + 1 < clusters ? centres[c + 1] : values.back().value);
    end = begin;
  }
  return centres;
}

std::vector<float> binned_codebook(std::span<const WeightedValue> values, int k, std::size_t max_bins) {
  float low = std::numeric_limits<float>::infinity();
  float high = -low;
  for (const WeightedValue& v : values) {
    low = std::min(low, v.value);
    high = std::max(high, v.value);
  }
  if (!(high > low)) return std::vector<float>(static_cast<std::size_t>(k), values.empty() ? 0.0f : low);
  std::vector<double> sums(max_bins, 0.0);
  std::vector<double> weights(max_bins, 0.0);
  const double to_bin = static_cast<double>(max_bins) / (static_cast<double>(high) - static_cast<double>(low));
  for (const WeightedValue& v : values) {
    const double above = static_cast<double>(v.value) - static_cast<double>(low);
    const auto bin = std::min(max_bins - 1, static_cast<std::size_t>(above * to_bin));
    sums[bin] += v.weight * static_cast<double>(v.value);
    weights[bin] += v.weight;
  }
  std::vector<WeightedValue> bins;
  for (std::size_t b = 0; b < max_bins; ++b)
    if (weights[b] > 0) bins.push_back({static_cast<float>(sums[b] / weights[b]), weights[b]});
  return optimal_codebook(bins, k);
}

std::vector<float> binned_codebook(std::span<const float> values, int k, std::size_t max_bins) {
  std::vector<WeightedValue> weighted;
  weighted.reserve(values.size());
  for (const float v : values) weighted.push_back({v, 1.0});
  return binned_codebook(weighted, k, max_bins);
}

void nearest_codes(std::span<const float> x, float inverse_scale, std::span<const float> table, std::uint8_t* codes) {
  std::vector<float> middles;
  for (std::size_t i = 0; i + 1 < table.size(); ++i) middles.push_back(0.5f * (table[i] + table[i + 1]));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float v = x[i] * inverse_scale;
    unsigned code = 0;
    for (const float middle : middles) code += v > middle ? 1u : 0u;
    codes[i] = static_cast<std::uint8_t>(code);
  }
}

}  // namespace nibble
