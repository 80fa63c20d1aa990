// What fitting beside the codes has in common: how H is damped, and small systems solved by its factor.
#pragma once

#include <cstdint>
#include <vector>

namespace nibble {

/// Added to the diagonal of H, as a part of its mean.
constexpr double kSupplementDamping = 0.01;

/// Solves x L L^T = b for rows x of `b` [rows, n], in place; L lower, row-major.
inline void solve_rows(const std::vector<double>& l, std::int64_t n, std::vector<double>& b) {
  const std::int64_t rows = n == 0 ? 0 : static_cast<std::int64_t>(b.size()) / n;
  for (std::int64_t r = 0; r < rows; ++r) {
    double* x = b.data() + r * n;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < i; ++j) x[i] -= l[static_cast<std::size_t>(i * n + j)] * x[j];
      x[i] /= l[static_cast<std::size_t>(i * n + i)];
    }
    for (std::int64_t i = n; i-- > 0;) {
      for (std::int64_t j = i + 1; j < n; ++j) x[i] -= l[static_cast<std::size_t>(j * n + i)] * x[j];
      x[i] /= l[static_cast<std::size_t>(i * n + i)];
    }
  }
}

}  // namespace nibble
