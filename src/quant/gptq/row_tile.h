// Sixteen rows at a time: gathered into lanes, quantized column by column, refined, and scattered into the matrix.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "quant/gptq/tile_grids.h"

namespace nibble {

/// Rows [first_row, first_row + 16) of the matrix, or the fewer that are left: the other lanes hold zeros.
class RowTile {
 public:
  RowTile(const SecondOrder& h, const GptqOptions& options, QuantizedMatrix& out);

  void gather(std::span<const float> weights, std::int64_t rows, std::int64_t first_row);
  /// The pass: run by run, each grid chosen when its turn comes.
  void quantize();
  /// Descent over all codes, with grids in between.
  void refine();
  /// Adds tr(E H E^T) and tr(W H W^T) of the rows.
  void measure(double& error, double& norm);
  void store() { grids_.store(level_.data()); }

 private:
  void quantize_run(ColumnRun run, const kernel::FeedbackGrid& grid);
  void view_of(ColumnRun columns);
  void update_gradient();
  double error() const;
  std::int64_t sweep();
  void refit(std::int64_t run);
  void offer(std::int64_t first, std::int64_t last, std::span<const kernel::FeedbackGrid> grids);

  const kernel::FeedbackKernel& kernel_ = kernel::feedback_kernel();
  const SecondOrder& h_;
  const GptqOptions& options_;
  std::int64_t cols_;
  TileGrids grids_;
  std::vector<float> w_;      ///< [cols, 16] like all that follow: the weights
  std::vector<float> t_;      ///< the weights with the errors of earlier columns
  std::vector<float> view_;   ///< the columns at hand as their grid is to see them
  std::vector<float> level_;  ///< what the codes stand for, before scale and offset
  std::vector<float> e_;      ///< weight less its value
  std::vector<float> g_;      ///< e H
  std::vector<float> zeros_;  ///< [cols] in place of a row of U: no feedback
};

}  // namespace nibble
