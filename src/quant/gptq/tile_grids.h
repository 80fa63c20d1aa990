// The grids of sixteen rows of a matrix: chosen run by run from the weights as error feedback has made them, changed by
// the refinements, and stored. What a scheme can be is composed here from its levels and its planes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "quant/gptq/gptq.h"
#include "quant/gptq/level_tables.h"
#include "quant/gptq/tile_plane.h"

namespace nibble {

class TileGrids {
 public:
  /// `out` has what is chosen beforehand (fixed planes, outer scales that reach beyond rows, codebooks of the tensor).
  TileGrids(const SecondOrder& h, const GptqOptions& options, QuantizedMatrix& out);

  /// The rows that come next; `w` [cols][16] are their weights.
  void begin(std::int64_t first_row, std::int64_t lanes, const float* w);

  const std::vector<ColumnRun>& runs() const { return runs_; }
  /// How many runs are gridded together: their outer scales are chosen at once.
  std::int64_t runs_per_unit() const { return runs_per_unit_; }
  const kernel::FeedbackGrid& grid(std::int64_t run) const { return grids_[static_cast<std::size_t>(run)]; }

  /// Chooses the outer scales of runs [first, last) from a view of all their columns.
  void choose_outer(std::int64_t first, std::int64_t last, const float* view);
  /// Chooses the grid of a run from its view.
  void choose(std::int64_t run, const float* view);

  /// The grid of a run with its scale and offset changed by these, as far as the planes can hold that.
  kernel::FeedbackGrid changed(std::int64_t run, const Lanes& scale, const Lanes& offset) const;
  void set(std::int64_t run, const kernel::FeedbackGrid& grid) { grids_[static_cast<std::size_t>(run)] = grid; }
  /// Whether changed() can move anything.
  bool scale_moves() const { return scale_ != nullptr && !scale_->is_fixed(); }
  bool offset_moves() const { return second_ != nullptr && !whole_zero_ && !second_->is_fixed(); }

  /// Writes grids and levels [cols][16] into the matrix.
  void store(const float* level);

 private:
  std::int64_t column(std::int64_t position) const { return h_.order[static_cast<std::size_t>(position)]; }
  void search(std::int64_t run, const float* view, kernel::FeedbackGrid& grid) const;
  void search_range(std::int64_t run, const float* view, kernel::FeedbackGrid& grid) const;
  void set_second(std::int64_t lane, std::int64_t column, float offset, int number, kernel::FeedbackGrid& grid) const;
  kernel::FeedbackGrid candidate(std::int64_t run, const kernel::FeedbackGrid& wanted, int scale, int second) const;

  const kernel::FeedbackKernel& kernel_ = kernel::feedback_kernel();
  const SecondOrder& h_;
  const GptqOptions& options_;
  QuantizedMatrix& out_;
  LevelTables levels_;
  std::unique_ptr<TilePlane> scale_;   ///< null: 1
  std::unique_ptr<TilePlane> second_;  ///< zero points or offsets; null: none
  bool whole_zero_ = false;            ///< the second plane holds integers
  bool real_zero_ = false;
  std::int64_t first_row_ = 0;
  std::int64_t lanes_ = 0;
  std::int64_t runs_per_unit_ = 1;
  std::vector<ColumnRun> runs_;
  std::vector<kernel::FeedbackGrid> grids_;
  std::vector<float> scratch_;
};

}  // namespace nibble
