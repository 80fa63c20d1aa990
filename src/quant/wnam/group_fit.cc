#include "quant/wnam/group_fit.h"

#include <algorithm>
#include <cmath>

#include "quant/rtn/codebook.h"
#include "quant/stored_scale.h"

namespace nibble {
namespace {

constexpr int kTrials = 9;  ///< of a sign
constexpr float kNearby[] = {1.0f, 0.96f, 1.04f, 0.92f, 1.08f};

/// 1.05 down to 0.65 of the scale at which nothing is clipped; of tables of one or two bits to 0.25.
float trial(int i, std::size_t entries) { return 1.05f - (entries > 4 ? 0.05f : 0.1f) * static_cast<float>(i); }

}  // namespace

GroupFit GroupFitter::stored(GroupFit fit) const {
  fit.scale = stored_scale(scheme_.scale->element, fit.scale);
  fit.offset = scheme_.offset ? round_to_element(scheme_.offset->element, fit.offset) : 0.0f;
  return fit;
}

void GroupFitter::encode(const GroupFit& fit, std::span<const float> w, std::span<const float> table,
                         std::uint8_t* codes) {
  shifted_.assign(w.begin(), w.end());
  for (float& x : shifted_) x = (x - fit.offset) / fit.scale;
  nearest_codes(shifted_, 1.0f, table, codes);
}

/// For the codes that are there: d and m of least sum of importance (w - d c - m)^2; m stays 0 without offsets.
GroupFit GroupFitter::least_squares(std::span<const float> w, std::span<const float> importance,
                                    std::span<const float> table) {
  double s = 0;
  double sc = 0;
  double scc = 0;
  double sw = 0;
  double swc = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const auto h = static_cast<double>(importance[i]);
    const auto c = static_cast<double>(table[codes_[i]]);
    const auto x = static_cast<double>(w[i]);
    s += h;
    sc += h * c;
    scc += h * c * c;
    sw += h * x;
    swc += h * x * c;
  }
  GroupFit out{0.0f, 0.0f, 0.0};
  const double determinant = s * scc - sc * sc;
  if (scheme_.offset && determinant > 1e-9 * s * scc) {
    out.scale = static_cast<float>((s * swc - sw * sc) / determinant);
    out.offset = static_cast<float>((scc * sw - sc * swc) / determinant);
  } else if (scc > 0) {
    out.scale = static_cast<float>(swc / scc);
  }
  return out;
}

void GroupFitter::attempt(float scale, float offset, std::span<const float> w, std::span<const float> importance,
                          std::span<const float> table, GroupFit& best) {
  GroupFit fit{scale, offset, 0.0};
  for (int round = 0; round < 2; ++round) {
    fit = stored(fit);
    encode(fit, w, table, codes_.data());
    const GroupFit next = least_squares(w, importance, table);
    if (!std::isfinite(next.scale) || !std::isfinite(next.offset)) break;
    fit = next;  // a scale of 0, of a group of zeros, is stored as the smallest there is
  }
  fit = with_loss(stored(fit), w, importance, table);
  if (fit.loss < best.loss) best = fit;
}

GroupFit GroupFitter::with_loss(GroupFit fit, std::span<const float> w, std::span<const float> importance,
                                std::span<const float> table) {
  encode(fit, w, table, codes_.data());
  fit.loss = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const auto value = static_cast<double>(fit.scale * table[codes_[i]] + fit.offset);
    const double error = static_cast<double>(w[i]) - value;
    fit.loss += static_cast<double>(importance[i]) * error * error;
  }
  return fit;
}

GroupFit GroupFitter::unscaled(std::span<const float> w, std::span<const float> importance,
                               std::span<const float> table) {
  codes_.resize(w.size());
  return with_loss(GroupFit{}, w, importance, table);
}

GroupFit GroupFitter::from_scratch(const GroupFit& start, std::span<const float> w, std::span<const float> importance,
                                   std::span<const float> table) {
  codes_.resize(w.size());
  const auto [least, largest] = std::minmax_element(w.begin(), w.end());
  const float low = table.front();
  const float high = table.back();
  GroupFit best{start.scale, start.offset, HUGE_VAL};
  attempt(start.scale, start.offset, w, importance, table, best);
  for (const bool negative : {false, true}) {
    // The scale at which the table reaches both extremes of the group.
    const float up = negative ? low : high;
    const float down = negative ? high : low;
    float scale = 0.0f;
    if (up != 0) scale = std::max(scale, *largest / up * (negative ? -1.0f : 1.0f));
    if (down != 0) scale = std::max(scale, *least / down * (negative ? -1.0f : 1.0f));
    if (negative) scale = -scale;
    for (int i = 0; i < kTrials && scale != 0.0f; ++i)
      attempt(scale * trial(i, table.size()), 0.0f, w, importance, table, best);
    if (!scheme_.offset || high == low || *largest == *least) continue;
    const float whole = (*largest - *least) / (up - down);
    for (int i = 0; i < kTrials; ++i) {
      const float middle = 0.5f * (*largest + *least);
      const float part = whole * trial(i, table.size());
      attempt(part, middle - part * 0.5f * (high + low), w, importance, table, best);
    }
  }
  return best;
}

GroupFit GroupFitter::around(const GroupFit& fit, std::span<const float> w, std::span<const float> importance,
                             std::span<const float> table) {
  codes_.resize(w.size());
  GroupFit best{fit.scale, fit.offset, HUGE_VAL};
  for (const float factor : kNearby) attempt(fit.scale * factor, fit.offset, w, importance, table, best);
  return best;
}

}  // namespace nibble
