// Damping, ordering and factoring. H is scaled to a unit diagonal before it is factored: exact, and channels of very
// different sizes do not spoil the small ones.
#include "quant/gptq/second_order.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "kernel/cholesky/cholesky.h"

namespace nibble {
namespace {

/// Sorts the pieces of `size` columns by the diagonal of their first column, the largest first; a short one stays last.
void sort_pieces(std::span<std::int32_t> columns, std::int64_t size, const std::vector<double>& diagonal) {
  std::vector<std::vector<std::int32_t>> pieces;
  const auto step = static_cast<std::size_t>(size);
  std::size_t at = 0;
  for (; at + step <= columns.size(); at += step) {
    const auto piece = columns.subspan(at, step);
    pieces.emplace_back(piece.begin(), piece.end());
  }
  std::stable_sort(pieces.begin(), pieces.end(), [&](const auto& a, const auto& b) {
    return diagonal[static_cast<std::size_t>(a.front())] > diagonal[static_cast<std::size_t>(b.front())];
  });
  at = 0;
  for (const std::vector<std::int32_t>& piece : pieces) {
    std::copy(piece.begin(), piece.end(), columns.begin() + static_cast<std::ptrdiff_t>(at));
    at += step;
  }
}

/// The order of quantizing; `diagonal` by column. Columns within runs, runs within groups, groups.
std::vector<std::int32_t> column_order(const std::vector<double>& diagonal, const SecondOrderOptions& options) {
  const auto cols = static_cast<std::int64_t>(diagonal.size());
  std::vector<std::int32_t> order(diagonal.size());
  std::iota(order.begin(), order.end(), 0);
  if (options.order == ColumnOrder::kAsStored) return order;
  const bool groups = options.order == ColumnOrder::kGroupAware && options.group > 0;
  const std::int64_t group = groups ? options.group : cols;
  const std::int64_t run = groups && options.run > 0 ? options.run : group;
  const auto sort_all = [&](std::int64_t whole, std::int64_t piece) {
    for (std::int64_t at = 0; at < cols; at += whole)
      sort_pieces(
          std::span(order).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(std::min(whole, cols - at))),
          piece, diagonal);
  };
  sort_all(run, 1);
  if (run < group) sort_all(group, run);
  sort_all(cols, group);
  return order;
}

/// The Cholesky factor of H with its columns in the reverse of `order`, scaled to a unit diagonal, `damping` added.
bool factor(const InputGram& gram, const std::vector<double>& diagonal, const std::vector<std::int32_t>& order,
            double damping, std::vector<double>& out, ThreadPool& pool) {
  const std::int64_t n = gram.cols;
  out.resize(static_cast<std::size_t>(n * n));
  pool.run(static_cast<std::size_t>(n), 16, [&](std::size_t begin, std::size_t end, int) {
    for (auto i = static_cast<std::int64_t>(begin); i < static_cast<std::int64_t>(end); ++i) {
      const std::int64_t a = order[static_cast<std::size_t>(n - 1 - i)];
      for (std::int64_t j = 0; j <= i; ++j) {
        const std::int64_t b = order[static_cast<std::size_t>(n - 1 - j)];
        const double sum = gram.sums[static_cast<std::size_t>(std::min(a, b) * n + std::max(a, b))];
        const double scale = std::sqrt((diagonal[static_cast<std::size_t>(a)] + damping) *
                                       (diagonal[static_cast<std::size_t>(b)] + damping));
        out[static_cast<std::size_t>(i * n + j)] = i == j ? 1.0 : sum / scale;
      }
    }
  });
  return kernel::cholesky(out.data(), n, pool);
}

/// U and D of H = U D U^T in float32 from the factor above.
void unit_upper(const std::vector<double>& factor, const std::vector<double>& diagonal, double damping,
                SecondOrder& out) {
  const std::int64_t n = out.cols;
  out.u.assign(static_cast<std::size_t>(n * n), 0.0f);
  out.d.clear();
  for (std::int64_t k = 0; k < n; ++k) {
    const double size_k =
        std::sqrt(diagonal[static_cast<std::size_t>(out.order[static_cast<std::size_t>(k)])] + damping);
    for (std::int64_t j = k; j < n; ++j) {
      const double size_j =
          std::sqrt(diagonal[static_cast<std::size_t>(out.order[static_cast<std::size_t>(j)])] + damping);
      const double above = factor[static_cast<std::size_t>((n - 1 - k) * n + (n - 1 - j))];
      const double pivot = factor[static_cast<std::size_t>((n - 1 - j) * n + (n - 1 - j))];
      out.u[static_cast<std::size_t>(k * n + j)] = static_cast<float>(above / pivot * (size_k / size_j));
    }
    const double pivot = factor[static_cast<std::size_t>((n - 1 - k) * n + (n - 1 - k))] * size_k;
    out.d.push_back(static_cast<float>(pivot * pivot / out.mean_diagonal));
  }
}

void fill_h(const InputGram& gram, const std::vector<double>& diagonal, double damping, SecondOrder& out,
            ThreadPool& pool) {
  const std::int64_t n = out.cols;
  out.h.resize(static_cast<std::size_t>(n * n));
  const double scale = 1.0 / out.mean_diagonal;
  pool.run(static_cast<std::size_t>(n), 16, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::int64_t a = out.order[i];
      for (std::size_t j = 0; j < static_cast<std::size_t>(n); ++j) {
        const std::int64_t b = out.order[j];
        const double sum = a == b ? diagonal[static_cast<std::size_t>(a)] + damping
                                  : gram.sums[static_cast<std::size_t>(std::min(a, b) * n + std::max(a, b))];
        out.h[i * static_cast<std::size_t>(n) + j] = static_cast<float>(sum * scale);
      }
    }
  });
}

}  // namespace

double shrinkage_for(std::int64_t cols, std::int64_t tokens) {
  if (tokens <= 0) return 0.0;
  return std::min(1.0, 10.0 * static_cast<double>(cols) / static_cast<double>(tokens));
}

SecondOrder prepare_second_order(const InputGram& gram, const SecondOrderOptions& options, ThreadPool& pool) {
  SecondOrder out;
  const std::int64_t n = gram.cols;
  out.cols = n;
  InputGram identity;
  std::vector<double> diagonal(static_cast<std::size_t>(n));
  double sum = 0;
  for (std::int64_t j = 0; j < n; ++j)
    sum += diagonal[static_cast<std::size_t>(j)] = gram.sums[static_cast<std::size_t>(j * n + j)];
  const bool usable = std::isfinite(sum) && sum > 0;
  const InputGram* source = &gram;
  if (!usable) {
    out.note = sum == 0 ? "the inputs were all 0: rounded to nearest"
                        : "the inputs held NaN or infinities: rounded to nearest";
    identity = InputGram(n);
    source = &identity;
    out.known = false;
    std::fill(diagonal.begin(), diagonal.end(), 1.0);
    sum = static_cast<double>(n);
  }
  out.mean_diagonal = sum / static_cast<double>(n);
  for (double& d : diagonal) {
    if (d > 0) continue;
    d = out.mean_diagonal;
    ++out.dead;
  }
  out.order = column_order(diagonal, options);
  std::vector<double> lower;
  constexpr int kTries = 6;
  for (double& d : diagonal) d *= 1 + options.shrinkage;
  double damping = options.damping;
  for (int attempt = 0;; ++attempt, damping *= 10) {
    if (factor(*source, diagonal, out.order, damping * out.mean_diagonal, lower, pool)) break;
    if (attempt + 1 < kTries) continue;
    // Only NaN off the diagonal comes here: any matrix with a dominant diagonal has a factor.
    out.note = "the inputs' second moments have no factor: rounded to nearest";
    identity = InputGram(n);
    source = &identity;
    out.known = false;
    damping = options.damping;
    attempt = -1;
  }
  if (out.note.empty() && damping > options.damping) out.note = "damping was raised";
  out.damping = damping;
  unit_upper(lower, diagonal, damping * out.mean_diagonal, out);
  lower = {};
  fill_h(*source, diagonal, damping * out.mean_diagonal, out, pool);
  for (std::int64_t j = 0; j < n; ++j) {
    out.weight.push_back(out.h[static_cast<std::size_t>(j * n + j)]);
    out.curvature.push_back(1.0f / out.weight.back());
  }
  return out;
}

}  // namespace nibble
