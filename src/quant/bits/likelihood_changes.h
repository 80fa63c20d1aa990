// To first order, by how much rounding errors change the log-likelihood of drawn tokens, position by position.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"

namespace nibble {

class LikelihoodChanges {
 public:
  static constexpr std::int64_t kTokensAtOnce = 512;  ///< whose changed outputs are held at once

  explicit LikelihoodChanges(std::int64_t tokens) : changes_(static_cast<std::size_t>(tokens)) {}

  void add(std::int64_t token, double change) { changes_[static_cast<std::size_t>(token)] += change; }
  /// Adds d_y[t] . errors x[t] for every token t: x [tokens, cols], errors [rows, cols], d_y [tokens, rows].
  void add_linear(const std::vector<float>& x, const std::vector<float>& d_y, const std::vector<float>& errors,
                  std::int64_t cols, ThreadPool& pool);

  /// Half the mean square.
  double growth() const;

 private:
  std::vector<double> changes_;
};

}  // namespace nibble
