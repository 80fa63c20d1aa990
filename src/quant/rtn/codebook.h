// Optimal one-dimensional k-means: the codebook of least weighted squared error (algorithms.md 6.2).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace nibble {

/// A value and how much its error counts.
struct WeightedValue {
  float value = 0.0f;
  double weight = 1.0;
};

/// The `k` centres, ascending, of least sum of weight * (value - nearest centre)^2. Exact: dynamic programming over the
/// sorted values, O(k n log n). `values` is sorted and its equal values merged in place. With fewer distinct values
/// than k, the last centre repeats.
std::vector<float> optimal_codebook(std::vector<WeightedValue>& values, int k);

/// As above for many values: they are first merged into at most `max_bins` equal-width bins (each bin stands at its own
/// weighted mean), so the result is optimal up to a bin's width.
std::vector<float> binned_codebook(std::span<const WeightedValue> values, int k, std::size_t max_bins = 8192);

/// codes[i] = index of the nearest entry of an ascending table, ties to the lower one.
void nearest_codes(std::span<const float> x, float inverse_scale, std::span<const float> table, std::uint8_t* codes);

}  // namespace nibble
