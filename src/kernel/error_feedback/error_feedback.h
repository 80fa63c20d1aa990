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

/// The integer grid of a group of columns: value = scale * (code - zero), code a whole number in [low, high].
struct FeedbackGrid {
  float low = 0;
  float high = 15;
  float scale[kFeedbackLanes] = {};
  float zero[kFeedbackLanes] = {};
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

  /// For columns j in [from, to), in order: code[j] = the code nearest to t[j], e[j] = w[j] - its value, then
  /// t[k] += e[j] * u[j * ld + k] for k in (j, to).
  void (*quantize)(const float* u, std::int64_t ld, std::int64_t from, std::int64_t to, const FeedbackGrid& grid,
                   const float* w, float* t, float* code, float* e);

  /// One sweep of coordinate descent on tr(E H E^T) over columns [from, to), with g = E H over all `cols` columns kept
  /// up to date: each code becomes the best one given all others. h is [cols, ld]; curvature[j] = 1 / h[j, j].
  /// Returns how many codes changed.
  std::int64_t (*descend)(const float* h, std::int64_t ld, std::int64_t cols, const float* curvature, std::int64_t from,
                          std::int64_t to, const FeedbackGrid& grid, float* code, float* e, float* g);

  /// What the best change of a group's scale with its codes kept is made of: slope = sum of g[j] c[j] and bend = sum of
  /// c[i] h[i, j] c[j] over the group's columns, where c = code - zero. The change is slope / bend.
  void (*scale_terms)(const float* h, std::int64_t ld, std::int64_t from, std::int64_t to, const FeedbackGrid& grid,
                      const float* code, const float* g, float* slope, float* bend);

  /// Sets grid.scale (grid.zero, the code of 0, is given and whole): of `count` trial scales of either sign,
  /// +-max|t| / (reach[i] * the half of high - low that is larger), the one whose codes, with their least-squares
  /// scale, leave the least sum of weight[j] (t[j] - value)^2. 1 where all t are 0.
  void (*search_symmetric)(const float* t, const float* weight, std::int64_t from, std::int64_t to, const float* reach,
                           int count, FeedbackGrid& grid);

  /// Sets grid.scale and grid.zero: ranges [min(0, t), max(0, t)] divided by each reach[i], with zero points around
  /// the range's own. 1 and `low` where all t are 0.
  void (*search_asymmetric)(const float* t, const float* weight, std::int64_t from, std::int64_t to, const float* reach,
                            int count, FeedbackGrid& grid);
};

/// All kernels in this build, slowest first.
std::span<const FeedbackKernel* const> feedback_kernels();

/// The kernel for this machine.
const FeedbackKernel& feedback_kernel();

}  // namespace nibble::kernel
