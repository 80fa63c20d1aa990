// The codebooks, scales and codes of a block of a matrix whose weights share them: a run of a row with its own
// codebook, or a whole matrix with one or a bank. Scales and codebooks are fitted in turn.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "quant/wnam/codebooks.h"
#include "quant/wnam/group_fit.h"
#include "quant/wnam/weighted_tables.h"

namespace nibble {

/// Rows of weights, `stride` apart, and what their errors count.
struct WeightBlock {
  const float* weights = nullptr;
  std::int64_t stride = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  const float* importance = nullptr;
  std::int64_t importance_stride = 0;  ///< from row to row; 0: all rows have the same [cols]
};

class BlockFit {
 public:
  /// `group` columns share a scale, `pick` columns (a multiple of it, or all) a table; `tables` to pick from. Without
  /// `pool` all is done by the caller's thread. What is referred to must outlive it.
  BlockFit(const WeightBlock& block, const QuantScheme& scheme, std::int64_t group, std::int64_t pick, int tables,
           const CodebookOptions& options, ThreadPool* pool);

  void run();

  double loss() const { return loss_; }
  const std::vector<std::vector<float>>& tables() const { return tables_; }
  const GroupFit& group_fit(std::int64_t row, std::int64_t g) const {
    return fits_[static_cast<std::size_t>(row * groups_ + g)];
  }
  std::uint8_t selected(std::int64_t row, std::int64_t p) const {
    return selected_[static_cast<std::size_t>(row * picks_ + p)];
  }
  /// The codes of a row, [cols].
  void encode_row(GroupFitter& fitter, std::int64_t row, std::uint8_t* codes) const;

 private:
  struct Piece {
    std::int64_t from;
    std::span<const float> w;
    std::span<const float> importance;
  };
  Piece piece(std::int64_t row, std::int64_t g) const;
  std::int64_t groups_per_pick() const { return (pick_ + group_ - 1) / group_; }
  /// Calls body(chunk, first row, last row) for chunks of rows that the shape decides.
  void for_chunks(const std::function<void(std::size_t, std::int64_t, std::int64_t)>& body) const;
  std::size_t chunks() const;

  void begin_scales();
  void begin_tables();
  /// Scales (and tables, of several) anew for the tables at hand; gives the loss.
  double fit_scales(bool first);
  void fit_row(GroupFitter& fitter, std::int64_t row, bool first, double& loss);
  std::vector<std::vector<float>> next_tables() const;

  WeightBlock block_;
  const QuantScheme& scheme_;
  std::int64_t group_;
  std::int64_t pick_;
  const CodebookOptions& options_;
  ThreadPool* pool_;
  std::int64_t groups_;  ///< per row, like picks_
  std::int64_t picks_;
  std::vector<std::vector<float>> tables_;
  std::vector<GroupFit> fits_;
  std::vector<std::uint8_t> selected_;
  double loss_ = 0;
};

}  // namespace nibble
