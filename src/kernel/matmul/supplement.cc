#include "kernel/matmul/supplement.h"

#include <algorithm>
#include <vector>

namespace nibble::kernel {
namespace {

/// Tokens whose inputs to the supplement are held at once.
constexpr std::int64_t kTokensAtOnce = 64;
/// Partial sums of a dot product, one per lane.
constexpr std::int64_t kLanes = 16;

float dot(const float* a, const float* b, std::int64_t count) {
  float sums[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  for (; i < count; ++i) sums[i % kLanes] += a[i] * b[i];
  float sum = 0;
  for (const float part : sums) sum += part;
  return sum;
}

void take_away(QuantizedMatrix& m) {
  m.scheme.supplement = {};
  m.supplement = {};
}

}  // namespace

SupplementValues begin_supplement(QuantizedMatrix& part) {
  if (part.scheme.supplement.empty()) return {};
  SupplementValues out(part);
  out.kept.assign(static_cast<std::size_t>(part.rows) * out.columns.size(), 0.0f);
  out.left.assign(static_cast<std::size_t>(part.rows * out.rank), 0.0f);
  take_away(part);
  return out;
}

void take_supplement(QuantizedMatrix& tile, SupplementValues& supplement) {
  if (tile.scheme.supplement.empty()) return;
  const SupplementValues rows(tile);
  std::copy(rows.kept.begin(), rows.kept.end(),
            supplement.kept.begin() + tile.row_begin * static_cast<std::int64_t>(supplement.columns.size()));
  std::copy(rows.left.begin(), rows.left.end(), supplement.left.begin() + tile.row_begin * supplement.rank);
  take_away(tile);
}

void add_supplement(const SupplementValues& supplement, const InputView& x, float* y, std::int64_t ld_y,
                    ThreadPool& pool) {
  if (supplement.empty()) return;
  const auto kept = static_cast<std::int64_t>(supplement.columns.size());
  const std::int64_t width = kept + supplement.rank;
  const std::int64_t rows = kept > 0 ? static_cast<std::int64_t>(supplement.kept.size()) / kept
                                     : static_cast<std::int64_t>(supplement.left.size()) / supplement.rank;
  std::vector<float> inputs(static_cast<std::size_t>(std::min(kTokensAtOnce, x.tokens) * width));
  for (std::int64_t first = 0; first < x.tokens; first += kTokensAtOnce) {
    const std::int64_t tokens = std::min(kTokensAtOnce, x.tokens - first);
    pool.run(static_cast<std::size_t>(tokens * width), 16, [&](std::size_t begin, std::size_t end, int) {
      for (auto n = static_cast<std::int64_t>(begin); n < static_cast<std::int64_t>(end); ++n) {
        const float* token = x.x + (first + n / width) * x.ld;
        const std::int64_t i = n % width;
        inputs[static_cast<std::size_t>(n)] =
            i < kept ? token[supplement.columns[static_cast<std::size_t>(i)]]
                     : dot(supplement.right.data() + (i - kept) * supplement.cols, token, supplement.cols);
      }
    });
    pool.run(static_cast<std::size_t>(rows), 64, [&](std::size_t begin, std::size_t end, int) {
      for (auto r = static_cast<std::int64_t>(begin); r < static_cast<std::int64_t>(end); ++r)
        for (std::int64_t t = 0; t < tokens; ++t) {
          const float* input = inputs.data() + t * width;
          const float sum = dot(supplement.kept.data() + r * kept, input, kept) +
                            dot(supplement.left.data() + r * supplement.rank, input + kept, supplement.rank);
          y[(first + t) * ld_y + r] += sum;
        }
    });
  }
}

}  // namespace nibble::kernel
