#include "quant/gptq/row_codebooks.h"

#include <algorithm>
#include <cmath>

#include "quant/gptq/tile_plane.h"
#include "quant/rtn/codebook.h"

namespace nibble {
namespace {

constexpr std::int64_t kL = kernel::kFeedbackLanes;
constexpr std::size_t kRowBins = 256;

std::vector<float> fitted(std::span<const WeightedValue> values, int entries, std::size_t bins, ElementType element) {
  std::vector<float> table = binned_codebook(values, entries, bins);
  for (float& value : table) value = round_to_element(element, value);
  return table;
}

/// The scales of the runs by the tables at hand.
void search_scales(const SecondOrder& h, const std::vector<ColumnRun>& runs, const float* w, const LevelTables& tables,
                   std::vector<Lanes>& scales) {
  static constexpr float kReaches[] = {0.9f,   -0.9f, 1.0f,   -1.0f, 1.08f,  -1.08f, 1.16f,
                                       -1.16f, 1.25f, -1.25f, 1.35f, -1.35f, 1.5f,   -1.5f};
  for (std::size_t n = 0; n < runs.size(); ++n) {
    kernel::FeedbackGrid grid;
    tables.attach(h.order[static_cast<std::size_t>(runs[n].from)], grid);
    kernel::feedback_kernel().search_scale(w, h.weight.data(), runs[n].from, runs[n].to, kReaches, std::size(kReaches),
                                           grid);
    std::copy(std::begin(grid.scale), std::end(grid.scale), scales[n].begin());
  }
}

std::vector<Lanes> largest_magnitudes(const std::vector<ColumnRun>& runs, const float* w) {
  std::vector<Lanes> out(runs.size(), Lanes{});
  for (std::size_t n = 0; n < runs.size(); ++n) {
    for (std::int64_t p = runs[n].from; p < runs[n].to; ++p)
      for (std::size_t lane = 0; lane < kL; ++lane)
        out[n][lane] = std::max(out[n][lane], std::fabs(w[p * kL + static_cast<std::int64_t>(lane)]));
    for (float& scale : out[n]) scale = scale > 0 ? scale : 1.0f;
  }
  return out;
}

}  // namespace

void fit_row_codebooks(const SecondOrder& h, const std::vector<ColumnRun>& runs, bool has_scale, const float* w,
                       int rounds, LevelTables& tables) {
  std::vector<Lanes> scales = largest_magnitudes(runs, w);
  if (!has_scale) {
    for (Lanes& lanes : scales) lanes.fill(1.0f);
    rounds = 1;
  }
  std::vector<std::vector<WeightedValue>> values(static_cast<std::size_t>(tables.count()));
  for (int round = 0; round < rounds; ++round) {
    if (round > 0) search_scales(h, runs, w, tables, scales);
    for (std::size_t lane = 0; lane < kL; ++lane) {
      for (std::vector<WeightedValue>& of_table : values) of_table.clear();
      for (std::size_t n = 0; n < runs.size(); ++n)
        for (std::int64_t p = runs[n].from; p < runs[n].to; ++p) {
          const float scale = scales[n][lane];
          const auto at = static_cast<std::size_t>(p);
          values[static_cast<std::size_t>(h.order[at] / tables.columns())].push_back(
              {w[p * kL + static_cast<std::int64_t>(lane)] / scale,
               static_cast<double>(h.weight[at]) * static_cast<double>(scale) * static_cast<double>(scale)});
        }
      for (std::int64_t t = 0; t < tables.count(); ++t)
        tables.set(t, static_cast<std::int64_t>(lane),
                   fitted(values[static_cast<std::size_t>(t)], tables.entries(), kRowBins, tables.element()));
    }
  }
}

std::vector<float> fit_tensor_codebook(std::span<const float> weights, const SecondOrder& h, std::int64_t run,
                                       const QuantScheme& scheme) {
  constexpr std::size_t kBins = 4096;
  std::vector<float> weight_of(static_cast<std::size_t>(h.cols));
  for (std::size_t p = 0; p < weight_of.size(); ++p) weight_of[static_cast<std::size_t>(h.order[p])] = h.weight[p];
  std::vector<WeightedValue> values;
  values.reserve(weights.size());
  const auto cols = static_cast<std::size_t>(h.cols);
  const std::size_t step = run > 0 ? static_cast<std::size_t>(run) : cols;
  for (std::size_t row = 0; row < weights.size(); row += cols)
    for (std::size_t from = 0; from < cols; from += step) {
      const std::span<const float> x = weights.subspan(row + from, std::min(step, cols - from));
      float scale = 0;
      for (const float v : x) scale = std::max(scale, std::fabs(v));
      if (run == 0 || scale == 0) scale = 1;
      for (std::size_t i = 0; i < x.size(); ++i)
        values.push_back({x[i] / scale, static_cast<double>(weight_of[from + i]) * static_cast<double>(scale) *
                                            static_cast<double>(scale)});
    }
  return fitted(values, 1 << scheme.code.bits, kBins, scheme.table.element);
}

}  // namespace nibble
