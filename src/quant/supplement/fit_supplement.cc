#include "quant/supplement/fit_supplement.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/check.h"
#include "kernel/cholesky/cholesky.h"
#include "kernel/gemm/gemm.h"
#include "quant/gptq/second_order.h"
#include "quant/quadratic_form.h"
#include "quant/supplement/solve_rows.h"
#include "quant/weights_as_floats.h"
#include "tensor/supplement.h"

namespace nibble {
namespace {

constexpr int kIterations = 8;  ///< of the subspace; it begins at random
constexpr float kLargestHalf = 65504.0f;

std::size_t size_of(std::int64_t a, std::int64_t b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

using kernel::GemmArgs;
using kernel::GemmInput;

/// c [m, n] = a b, all row-major; or a b^T.
std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, std::int64_t m, std::int64_t k,
                           std::int64_t n, bool transposed_b, ThreadPool& pool) {
  std::vector<float> c(size_of(m, n));
  GemmArgs args;
  args.a = GemmInput::rows(a.data(), k);
  args.b = transposed_b ? GemmInput::transposed(b.data(), k) : GemmInput::rows(b.data(), n);
  args.m = m;
  args.n = n;
  args.k = k;
  args.c = c.data();
  args.ldc = n;
  kernel::gemm(args, pool);
  return c;
}

/// The second moments, damped, with a mean diagonal near 1; and what is asked of them.
class Moments {
 public:
  /// `unit` as gram_unit() gives it, not 0.
  Moments(const InputGram& gram, double unit) : cols_(gram.cols), h_(size_of(gram.cols, gram.cols)) {
    const double shrinkage = shrinkage_for(gram.cols, gram.tokens);
    for (std::int64_t i = 0; i < cols_; ++i)
      for (std::int64_t j = i; j < cols_; ++j) {
        double value = gram.sums[at(i, j)] * unit;
        if (i == j) value += kSupplementDamping + shrinkage * value;
        h_[at(i, j)] = h_[at(j, i)] = static_cast<float>(value);
      }
  }

  const std::vector<float>& dense() const { return h_; }

  /// L with H = L L^T, the triangle above it 0; empty where there is none.
  std::vector<double> factor(ThreadPool& pool) const {
    std::vector<double> l(h_.begin(), h_.end());
    if (!kernel::cholesky(l.data(), cols_, pool)) return {};
    for (std::int64_t i = 0; i < cols_; ++i)
      std::fill(l.begin() + static_cast<std::ptrdiff_t>(at(i, i)) + 1,
                l.begin() + static_cast<std::ptrdiff_t>(at(i, cols_)), 0.0);
    return l;
  }

  /// D [rows, n] of least |(E - D A)| in H, for E [rows, cols] and A [n, cols]; empty where there is none.
  std::vector<double> least_squares(const std::vector<float>& e, const std::vector<float>& a, std::int64_t rows,
                                    std::int64_t n, ThreadPool& pool) const {
    const std::vector<float> ah = product(a, h_, n, cols_, cols_, false, pool);
    const std::vector<float> eha = product(e, ah, rows, cols_, n, true, pool);
    const std::vector<float> aha = product(ah, a, n, cols_, n, true, pool);
    std::vector<double> gram(aha.begin(), aha.end());
    double trace = 0;
    for (std::int64_t i = 0; i < n; ++i) trace += gram[size_of(i, n) + static_cast<std::size_t>(i)];
    for (std::int64_t i = 0; i < n; ++i)  // vectors that are 0 or depend on others get no part
      gram[size_of(i, n) + static_cast<std::size_t>(i)] += 1e-6 * trace / static_cast<double>(n) + 1e-30;
    if (!kernel::cholesky(gram.data(), n, pool)) return {};
    std::vector<double> d(eha.begin(), eha.end());
    solve_rows(gram, n, d);
    return d;
  }

 private:
  std::size_t at(std::int64_t i, std::int64_t j) const { return size_of(i, cols_) + static_cast<std::size_t>(j); }

  std::int64_t cols_;
  std::vector<float> h_;
};

/// Makes the rows of v [count, length] orthonormal, in order; those that depend on earlier ones become 0.
void orthonormalize(std::vector<float>& v, std::int64_t count, std::int64_t length) {
  const auto dot = [&](const float* a, const float* b) {
    double sum = 0;
    for (std::int64_t i = 0; i < length; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    return sum;
  };
  for (std::int64_t i = 0; i < count; ++i) {
    float* own = v.data() + i * length;
    const double before = std::sqrt(dot(own, own));
    for (int pass = 0; pass < 2; ++pass)
      for (std::int64_t j = 0; j < i; ++j) {
        const float* other = v.data() + j * length;
        const double part = dot(own, other);
        for (std::int64_t c = 0; c < length; ++c)
          own[c] = static_cast<float>(static_cast<double>(own[c]) - part * static_cast<double>(other[c]));
      }
    const double norm = std::sqrt(dot(own, own));
    const double factor = norm > 1e-6 * before && std::isfinite(norm) ? 1.0 / norm : 0.0;
    for (std::int64_t c = 0; c < length; ++c) own[c] = static_cast<float>(static_cast<double>(own[c]) * factor);
  }
}

/// [rank, cols]: rows that span the right singular vectors of `m` [rows, cols] of largest values, nearly.
std::vector<float> leading_directions(const std::vector<float>& m, std::int64_t rows, std::int64_t cols,
                                      std::int64_t rank, ThreadPool& pool) {
  std::mt19937 random(1);
  std::vector<float> v(size_of(rank, cols));
  for (float& value : v) value = static_cast<float>(random()) / 2147483648.0f - 1.0f;
  orthonormalize(v, rank, cols);
  for (int i = 0; i < kIterations; ++i) {
    const std::vector<float> y = product(v, m, rank, cols, rows, true, pool);  // [rank, rows]
    v = product(y, m, rank, rows, cols, false, pool);
    orthonormalize(v, rank, cols);
  }
  return v;
}

void put_half(float value, std::vector<std::byte>& bytes, std::size_t index) {
  const float bounded = std::clamp(value, -kLargestHalf, kLargestHalf);
  encode_elements(ElementType::kF16, &bounded, 1, bytes.data() + 2 * index);
}

/// The right factor for the error `e`, rounded to its type; false where there is none.
bool fit_right(const std::vector<float>& e, const Moments& moments, QuantizedMatrix& m, ThreadPool& pool) {
  const std::int64_t cols = m.cols;
  const std::int64_t rank = m.scheme.supplement.rank;
  const std::vector<double> l = moments.factor(pool);
  if (l.empty()) return false;
  std::vector<float> v;
  {
    const std::vector<float> narrow(l.begin(), l.end());
    const std::vector<float> el = product(e, narrow, m.rows, cols, cols, false, pool);
    v = leading_directions(el, m.rows, cols, rank, pool);
  }
  pool.run(static_cast<std::size_t>(rank), 1, [&](std::size_t begin, std::size_t end, int) {
    std::vector<double> x(static_cast<std::size_t>(cols));
    for (std::size_t row = begin; row < end; ++row) {
      const float* own = v.data() + row * static_cast<std::size_t>(cols);
      std::copy_n(own, cols, x.begin());
      double largest = 0;
      for (std::int64_t i = cols; i-- > 0;) {  // x L = v
        const double* line = l.data() + size_of(i, cols);
        const double value = x[static_cast<std::size_t>(i)] /= line[i];
        for (std::int64_t j = 0; j < i; ++j) x[static_cast<std::size_t>(j)] -= value * line[j];
        largest = std::max(largest, std::abs(value));
      }
      for (std::int64_t i = 0; i < cols; ++i)
        put_half(largest > 0 ? static_cast<float>(x[static_cast<std::size_t>(i)] / largest) : 0.0f, m.supplement.right,
                 row * static_cast<std::size_t>(cols) + static_cast<std::size_t>(i));
    }
  });
  return true;
}

/// A [kept + rank, cols]: a one for each kept column, then the right factor.
std::vector<float> right_side(const QuantizedMatrix& m, bool with_product) {
  const SupplementValues values(m);
  const auto kept = static_cast<std::int64_t>(values.columns.size());
  std::vector<float> a(size_of(kept, m.cols));
  for (std::int64_t i = 0; i < kept; ++i)
    a[size_of(i, m.cols) + static_cast<std::size_t>(values.columns[static_cast<std::size_t>(i)])] = 1.0f;
  if (with_product) a.insert(a.end(), values.right.begin(), values.right.end());
  return a;
}

/// Stores what a row keeps.
void put_kept(const double* row, std::int64_t r, QuantizedMatrix& m) {
  const std::size_t kept = m.supplement.columns.size();
  const std::size_t first = static_cast<std::size_t>(r) * kept;
  if (m.scheme.supplement.kept_element == ElementType::kF16) {
    for (std::size_t i = 0; i < kept; ++i) put_half(static_cast<float>(row[i]), m.supplement.kept, first + i);
    return;
  }
  if (kept == 0) return;
  double largest = 0;
  for (std::size_t i = 0; i < kept; ++i) largest = std::max(largest, std::abs(row[i]));
  put_half(static_cast<float>(largest / 127), m.supplement.kept_scale, static_cast<std::size_t>(r));
  float scale = 0;
  decode_elements(ElementType::kF16, m.supplement.kept_scale.data() + 2 * r, 1, &scale);
  for (std::size_t i = 0; i < kept && scale > 0; ++i)
    m.supplement.kept[first + i] = static_cast<std::byte>(
        static_cast<std::int8_t>(std::clamp(std::nearbyint(row[i] / static_cast<double>(scale)), -127.0, 127.0)));
}

bool all_finite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace

void fit_supplement(std::span<const float> weights, const InputGram& gram, std::span<const std::int32_t> columns,
                    QuantizedMatrix& m, ThreadPool& pool) {
  NIBBLE_CHECK(m.row_count == m.rows && gram.cols == m.cols && weights.size() == size_of(m.rows, m.cols));
  NIBBLE_CHECK(columns.size() == m.supplement.columns.size());
  const double unit = gram_unit(gram);
  if (m.scheme.supplement.empty() || unit == 0) return;
  std::vector<float> e(weights.size());
  weights_as_floats(m, e.data());
  m.supplement.columns.assign(columns.begin(), columns.end());
  for (std::size_t i = 0; i < e.size(); ++i) e[i] = weights[i] - e[i];
  const Moments moments(gram, unit);
  const auto kept = static_cast<std::int64_t>(m.supplement.columns.size());
  bool has_product = false;
  if (m.scheme.supplement.rank > 0) {
    std::vector<float> left_over = e;
    std::vector<double> d;
    if (kept > 0) d = moments.least_squares(e, right_side(m, false), m.rows, kept, pool);
    for (std::int64_t r = 0; r < m.rows && !d.empty(); ++r)
      for (std::int64_t i = 0; i < kept; ++i)
        left_over[size_of(r, m.cols) + static_cast<std::size_t>(m.supplement.columns[static_cast<std::size_t>(i)])] -=
            static_cast<float>(d[size_of(r, kept) + static_cast<std::size_t>(i)]);
    has_product = fit_right(left_over, moments, m, pool);
  }
  const std::int64_t width = kept + (has_product ? m.scheme.supplement.rank : 0);
  const std::vector<double> d = moments.least_squares(e, right_side(m, has_product), m.rows, width, pool);
  if (d.empty() || !all_finite(d)) return;
  for (std::int64_t r = 0; r < m.rows; ++r) {
    const double* row = d.data() + r * width;
    put_kept(row, r, m);
    for (std::int64_t j = 0; j < width - kept; ++j)
      put_half(static_cast<float>(row[kept + j]), m.supplement.left,
               size_of(r, m.scheme.supplement.rank) + static_cast<std::size_t>(j));
  }
}

std::uint64_t supplement_bytes(std::int64_t rows, std::int64_t cols) {
  const auto k = static_cast<std::uint64_t>(cols);
  return 16 * k * k + 12 * static_cast<std::uint64_t>(rows) * k;
}

}  // namespace nibble
