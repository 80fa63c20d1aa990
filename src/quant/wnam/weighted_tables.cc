#include "quant/wnam/weighted_tables.h"

#include <algorithm>
#include <cmath>

namespace nibble {

void append_normalized(const GroupFit& fit, std::span<const float> w, std::span<const float> importance,
                       std::vector<WeightedValue>& out) {
  const double square = static_cast<double>(fit.scale) * static_cast<double>(fit.scale);
  for (std::size_t i = 0; i < w.size(); ++i)
    out.push_back({(w[i] - fit.offset) / fit.scale, static_cast<double>(importance[i]) * square});
}

void TableMeans::add(const GroupFit& fit, std::span<const float> w, std::span<const float> importance,
                     std::span<const std::uint8_t> codes) {
  const auto scale = static_cast<double>(fit.scale);
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double weight = static_cast<double>(importance[i]) * scale;
    product_[codes[i]] += weight * static_cast<double>(w[i] - fit.offset);
    square_[codes[i]] += weight * scale;
  }
}

void TableMeans::add(const TableMeans& other) {
  for (std::size_t k = 0; k < product_.size(); ++k) {
    product_[k] += other.product_[k];
    square_[k] += other.square_[k];
  }
}

std::vector<float> TableMeans::table(std::span<const float> before, ElementType element) const {
  std::vector<float> out(before.begin(), before.end());
  for (std::size_t k = 0; k < out.size(); ++k)
    if (square_[k] > 0) out[k] = round_to_element(element, static_cast<float>(product_[k] / square_[k]));
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<float> fresh_table(std::vector<WeightedValue>& values, int entries, ElementType element) {
  constexpr std::size_t kExactLimit = 1 << 13;  ///< more are put into as many bins first
  std::vector<float> table =
      values.size() <= kExactLimit ? optimal_codebook(values, entries) : binned_codebook(values, entries, kExactLimit);
  for (float& value : table) value = round_to_element(element, value);
  return table;
}

}  // namespace nibble
