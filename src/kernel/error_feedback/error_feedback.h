// Rounding with error feedback: the inner loops of GPTQ in its LDLQ form and of the descent after it (algorithms.md 4).
//
// Sixteen rows of a matrix at a time, one per lane: arrays are [columns][16], and every lane does the same arithmetic
// on its own row. All sums run in the order of columns, fused, so that results are the same bits on every instruction
// set.
#pragma once

#include <cstdint>
#include <span>

#include "kernel/kernel_info.h"

namespace nibble::kernel {

inline constexpr int kFeedbackLanes = 16;

/// The grid of a run of columns: value = scale * level + offset. Levels are code - zero, the code a whole number in
/// [low, high], or a table's.
struct FeedbackGrid {
  float low = 0;
  float high = 15;
  float scale[kFeedbackLanes] = {};
  float zero[kFeedbackLanes] = {};    ///< of integers; need not be whole
  float offset[kFeedbackLanes] = {};  ///< 0 in most schemes
  const float* levels = nullptr;      ///< [count][16], ascending in every lane; null: integers
  const float* middles = nullptr;     ///< [count - 1][16], what lies between two levels: up to it the lower is nearest
  int count = 0;
};

struct FeedbackKernel {
  KernelInfo info;

  /// t[k] += sum over j in [from, to) of e[j] * m[j * ld + k], for k in [first, last).
  void (*accumulate)(const float* m, std::int64_t ld, std::int64_t from, std::int64_t to, const float* e,
                     std::int64_t first, std::int64_t last, float* t);

  /// view[j], j in [from, to): what the weights of a group are once the errors of all columns before it are made up for
  /// as well as the group can, x U = t - w solved for view = w + x. Scales are chosen from it.
  void (*compensate)(const float* u, std::int64_t ld, std::int64_t from, std::int64_t to, const float* w,
                     const float* t, float* view);

  /// For columns j in [from, to), in order: level[j] = the level nearest to t[j], e[j] = w[j] - its value, then
  /// t[k] += e[j] * u[j * ld + k] for k in (j, to).
  void (*quantize)(const float* u, std::int64_t ld, std::int64_t from, std::int64_t to, const FeedbackGrid& grid,
                   const float* w, float* t, float* level, float* e);

  /// What quantize() would leave of tr(E H E^T) in columns [from, to) if the view were the weights and no error came
  /// from before: error = sum of d[j] (t[j] - value)^2, H = U D U^T. scratch: [to - from][16].
  void (*trial)(const float* u, std::int64_t ld, const float* d, std::int64_t from, std::int64_t to,
                const FeedbackGrid& grid, const float* view, float* scratch, float* error);

  /// One sweep of coordinate descent on tr(E H E^T) over columns [from, to), with g = E H over all `cols` columns kept
  /// up to date: each level becomes the best one given all others. h is [cols, ld]; curvature[j] = 1 / h[j, j].
  /// Returns how many levels changed.
  std::int64_t (*descend)(const float* h, std::int64_t ld, std::int64_t cols, const float* curvature, std::int64_t from,
                          std::int64_t to, const FeedbackGrid& grid, float* level, float* e, float* g);

  /// form = sum of a[i] h[i, j] b[j] over i and j in [from, to).
  void (*bilinear)(const float* h, std::int64_t ld, std::int64_t from, std::int64_t to, const float* a, const float* b,
                   float* form);

  /// Sets grid.scale (all else is given; no offset): of `count` trial scales max|t| / (reach[i] * the largest
  /// magnitude of a level), reaches of either sign, the one whose levels, with their least-squares scale, leave the
  /// least sum of weight[j] (t[j] - value)^2. 1 where all t are 0.
  void (*search_scale)(const float* t, const float* weight, std::int64_t from, std::int64_t to, const float* reach,
                       int count, FeedbackGrid& grid);

  /// Sets grid.scale and grid.zero, a whole number in [low, high]: ranges [min(0, t), max(0, t)] divided by each
  /// reach[i], with zero points around the range's own. 1 and `low` where all t are 0.
  void (*search_zero)(const float* t, const float* weight, std::int64_t from, std::int64_t to, const float* reach,
                      int count, FeedbackGrid& grid);

  /// Sets grid.scale and grid.offset for integers whose zero is 0: ranges [min t, max t] divided by each reach[i] about
  /// their middle, each with its least-squares scale and offset. With `not_above` no offset is above 0. 0 and the
  /// weighted mean of t where one value serves for all.
  void (*search_offset)(const float* t, const float* weight, std::int64_t from, std::int64_t to, const float* reach,
                        int count, bool not_above, FeedbackGrid& grid);
};

/// All kernels in this build, slowest first.
std::span<const FeedbackKernel* const> feedback_kernels();

/// The kernel for this machine.
const FeedbackKernel& feedback_kernel();

}  // namespace nibble::kernel
