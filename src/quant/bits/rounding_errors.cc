#include "quant/bits/rounding_errors.h"

#include <numeric>
#include <span>
#include <utility>

#include "quant/plain_rounding.h"
#include "quant/rtn/finite_rows.h"
#include "quant/weights_as_floats.h"

namespace nibble {

Result<RoundingErrors> RoundingErrors::create(MatrixPtr original, const std::vector<QuantScheme>& schemes,
                                              ThreadPool& pool) {
  RoundingErrors out;
  out.original_ = std::move(original);
  out.row_step_ = out.original_->row_step();
  for (const QuantScheme& scheme : schemes) {
    NIBBLE_TRY(MatrixPtr rounded, round_plainly(out.original_, scheme, pool));
    out.row_step_ = std::lcm(out.row_step_, rounded->row_step());
    out.rounded_.push_back(std::move(rounded));
  }
  return out;
}

Status RoundingErrors::weights(std::int64_t begin, std::int64_t count, std::vector<float>& out,
                               ThreadPool& pool) const {
  out.resize(static_cast<std::size_t>(count * cols()));
  NIBBLE_TRY_STATUS(rows_as_floats(*original_, begin, count, out.data(), pool));
  make_rows_finite(out.data(), count, cols());
  return {};
}

Status RoundingErrors::errors(std::size_t scheme, std::int64_t begin, std::int64_t count,
                              const std::vector<float>& weights, std::vector<float>& out, ThreadPool& pool) const {
  out.resize(weights.size());
  NIBBLE_TRY_STATUS(rows_as_floats(*rounded_[scheme], begin, count, out.data(), pool));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] -= weights[i];
  return {};
}

}  // namespace nibble
