#include "quant/wnam/block_fit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "quant/stored_scale.h"

namespace nibble {
namespace {

constexpr std::int64_t kChunkRows = 16;
/// Weights that a table is first fitted to: more do not move it.
constexpr std::int64_t kSampleWeights = 1 << 21;

std::int64_t parts(std::int64_t whole, std::int64_t part) { return (whole + part - 1) / part; }

}  // namespace

BlockFit::BlockFit(const WeightBlock& block, const QuantScheme& scheme, std::int64_t group, std::int64_t pick,
                   int tables, const CodebookOptions& options, ThreadPool* pool)
    : block_(block),
      scheme_(scheme),
      group_(group),
      pick_(pick),
      options_(options),
      pool_(pool),
      groups_(parts(block.cols, group)),
      picks_(parts(block.cols, pick)),
      tables_(static_cast<std::size_t>(tables)),
      fits_(static_cast<std::size_t>(block.rows * groups_)),
      selected_(static_cast<std::size_t>(block.rows * picks_)) {}

BlockFit::Piece BlockFit::piece(std::int64_t row, std::int64_t g) const {
  const std::int64_t from = g * group_;
  const auto length = static_cast<std::size_t>(std::min(group_, block_.cols - from));
  return {from,
          {block_.weights + row * block_.stride + from, length},
          {block_.importance + row * block_.importance_stride + from, length}};
}

std::size_t BlockFit::chunks() const { return static_cast<std::size_t>(parts(block_.rows, kChunkRows)); }

void BlockFit::for_chunks(const std::function<void(std::size_t, std::int64_t, std::int64_t)>& body) const {
  const auto one = [&](std::size_t chunk) {
    const std::int64_t first = static_cast<std::int64_t>(chunk) * kChunkRows;
    body(chunk, first, std::min(block_.rows, first + kChunkRows));
  };
  if (pool_ == nullptr) {
    for (std::size_t chunk = 0; chunk < chunks(); ++chunk) one(chunk);
    return;
  }
  pool_->run(chunks(), 1, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t chunk = begin; chunk < end; ++chunk) one(chunk);
  });
}

/// A group's extreme of larger magnitude stands at 1, so that its sign costs no table entry; runs go to tables by their
/// mean in that measure.
void BlockFit::begin_scales() {
  std::vector<double> means(selected_.size());
  for_chunks([&](std::size_t, std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last; ++row)
      for (std::int64_t g = 0; g < groups_ && scheme_.scale; ++g) {
        const Piece p = piece(row, g);
        GroupFit& fit = fits_[static_cast<std::size_t>(row * groups_ + g)];
        const double sum = std::accumulate(p.w.begin(), p.w.end(), 0.0);
        if (scheme_.offset)
          fit.offset =
              round_to_element(scheme_.offset->element, static_cast<float>(sum / static_cast<double>(p.w.size())));
        float extreme = 0;
        for (const float w : p.w)
          if (std::fabs(w - fit.offset) > std::fabs(extreme)) extreme = w - fit.offset;
        fit.scale = stored_scale(scheme_.scale->element, extreme == 0.0f ? 1.0f : extreme);
        means[static_cast<std::size_t>(row * picks_ + p.from / pick_)] += sum / static_cast<double>(fit.scale);
      }
  });
  if (tables_.size() == 1) return;
  std::vector<std::size_t> order(means.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return means[a] < means[b]; });
  for (std::size_t i = 0; i < order.size(); ++i)
    selected_[order[i]] = static_cast<std::uint8_t>(i * tables_.size() / order.size());
}

void BlockFit::begin_tables() {
  const int entries = 1 << scheme_.code.bits;
  const std::int64_t every = parts(block_.rows * block_.cols, kSampleWeights);
  for (std::size_t t = 0; t < tables_.size(); ++t) {
    std::vector<WeightedValue> values;
    for (std::int64_t n = 0; n < static_cast<std::int64_t>(fits_.size()); n += every) {
      const std::int64_t row = n / groups_;
      const Piece p = piece(row, n % groups_);
      if (selected(row, p.from / pick_) == t)
        append_normalized(fits_[static_cast<std::size_t>(n)], p.w, p.importance, values);
    }
    tables_[t] = fresh_table(values, entries, scheme_.table.element);
  }
}

void BlockFit::fit_row(GroupFitter& fitter, std::int64_t row, bool first, double& loss) {
  std::vector<GroupFit> tried;
  for (std::int64_t p = 0; p < picks_; ++p) {
    const std::int64_t begin = p * groups_per_pick();
    const std::int64_t end = std::min(groups_, begin + groups_per_pick());
    double least = HUGE_VAL;
    const std::vector<GroupFit> before(fits_.begin() + row * groups_ + begin, fits_.begin() + row * groups_ + end);
    for (std::size_t t = 0; t < tables_.size(); ++t) {
      tried.clear();
      double sum = 0;
      for (std::int64_t g = begin; g < end; ++g) {
        const Piece x = piece(row, g);
        const GroupFit& old = before[static_cast<std::size_t>(g - begin)];
        tried.push_back(!scheme_.scale ? fitter.unscaled(x.w, x.importance, tables_[t])
                        : first        ? fitter.from_scratch(old, x.w, x.importance, tables_[t])
                                       : fitter.around(old, x.w, x.importance, tables_[t]));
        sum += tried.back().loss;
      }
      if (!(sum < least)) continue;
      least = sum;
      selected_[static_cast<std::size_t>(row * picks_ + p)] = static_cast<std::uint8_t>(t);
      std::copy(tried.begin(), tried.end(), fits_.begin() + row * groups_ + begin);
    }
    loss += least;
  }
}

double BlockFit::fit_scales(bool first) {
  std::vector<double> losses(chunks());
  for_chunks([&](std::size_t chunk, std::int64_t begin, std::int64_t end) {
    GroupFitter fitter(scheme_);
    for (std::int64_t row = begin; row < end; ++row) fit_row(fitter, row, first, losses[chunk]);
  });
  return std::accumulate(losses.begin(), losses.end(), 0.0);
}

std::vector<std::vector<float>> BlockFit::next_tables() const {
  std::vector<std::vector<TableMeans>> of_chunk(chunks());
  for_chunks([&](std::size_t chunk, std::int64_t begin, std::int64_t end) {
    GroupFitter fitter(scheme_);
    std::vector<TableMeans>& means = of_chunk[chunk];
    means.assign(tables_.size(), TableMeans(std::size_t{1} << scheme_.code.bits));
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(block_.cols));
    for (std::int64_t row = begin; row < end; ++row) {
      encode_row(fitter, row, codes.data());
      for (std::int64_t g = 0; g < groups_; ++g) {
        const Piece p = piece(row, g);
        means[selected(row, p.from / pick_)].add(
            group_fit(row, g), p.w, p.importance,
            std::span(codes).subspan(static_cast<std::size_t>(p.from), p.w.size()));
      }
    }
  });
  std::vector<std::vector<float>> out;
  for (std::size_t t = 0; t < tables_.size(); ++t) {
    TableMeans all(std::size_t{1} << scheme_.code.bits);
    for (const std::vector<TableMeans>& means : of_chunk) all.add(means[t]);
    out.push_back(all.table(tables_[t], scheme_.table.element));
  }
  return out;
}

void BlockFit::encode_row(GroupFitter& fitter, std::int64_t row, std::uint8_t* codes) const {
  for (std::int64_t g = 0; g < groups_; ++g) {
    const Piece p = piece(row, g);
    fitter.encode(group_fit(row, g), p.w, tables_[selected(row, p.from / pick_)], codes + p.from);
  }
}

void BlockFit::run() {
  begin_scales();
  begin_tables();
  loss_ = fit_scales(true);
  for (int round = 1; round < options_.rounds; ++round) {
    const auto tables = tables_;
    const auto fits = fits_;
    const auto selected = selected_;
    tables_ = next_tables();
    const double loss = fit_scales(false);
    if (loss < loss_) {
      loss_ = loss;
      continue;
    }
    tables_ = tables;
    fits_ = fits;
    selected_ = selected;
    return;
  }
}

}  // namespace nibble
