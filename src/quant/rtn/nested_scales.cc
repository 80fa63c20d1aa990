// The scales of a matrix are kept as the plane that they become; codes need one tile of weights at a time.
#include "quant/rtn/nested_scales.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <vector>

#include "quant/matrix_view.h"
#include "quant/rtn/codebook.h"
#include "quant/rtn/finite_rows.h"
#include "quant/rtn/group_view.h"
#include "quant/stored_scale.h"

namespace nibble {
namespace {

using Kind = Grouping::Kind;

/// The scales of the groups of a range of rows.
void choose_scales(const float* weights, const GroupView& view, const GroupQuantizer& quantizer, float* scales) {
  for (std::int64_t g = 0; g < view.groups(); ++g)
    view.runs(g, [&](std::int64_t offset, std::int64_t length) {
      scales[g] = quantizer.choose({weights + offset, static_cast<std::size_t>(length)}, [](std::span<float>) {}).scale;
    });
}

/// The plane of all scales of a matrix.
PlaneData nest_scales(std::span<const float> scales, const NestedFormat& nested) {
  const auto groups = static_cast<std::int64_t>(scales.size());
  const std::int64_t per_outer =
      std::max<std::int64_t>(nested.entries_per_outer == 0 ? groups : nested.entries_per_outer, 1);
  PlaneData out;
  out.codes.resize(scales.size());
  out.outer.resize(static_cast<std::size_t>((groups + per_outer - 1) / per_outer) *
                   static_cast<std::size_t>(element_info(nested.outer).bits / 8));
  const double sum = std::accumulate(scales.begin(), scales.end(), 0.0);
  if (nested.has_constant)
    out.constant = static_cast<float>(sum / static_cast<double>(std::max<std::int64_t>(groups, 1)));
  const std::span<const float> table = table_values(nested.code.table);
  for (std::int64_t first = 0; first < groups; first += per_outer) {
    const std::int64_t last = std::min(first + per_outer, groups);
    float magnitude = 0;
    for (std::int64_t g = first; g < last; ++g)
      magnitude = std::max(magnitude, std::fabs(scales[static_cast<std::size_t>(g)] - out.constant));
    const float outer = stored_scale(nested.outer, magnitude == 0.0f ? 1.0f : magnitude);
    store_entry(nested.outer, magnitude == 0.0f ? 0.0f : outer, out.outer, first / per_outer);
    for (std::int64_t g = first; g < last; ++g) {
      const float r = scales[static_cast<std::size_t>(g)] - out.constant;
      nearest_codes({&r, 1}, 1.0f / outer, table, &out.codes[static_cast<std::size_t>(g)]);
    }
  }
  return out;
}

/// The codes of a range of rows whose scales `out` holds.
void encode_on_nested(const float* weights, const GroupQuantizer& quantizer, QuantizedMatrix& out) {
  const GroupView view(out, out.scheme.scale->grouping);
  std::vector<float> stored(static_cast<std::size_t>(view.groups()));
  decode_plane(*out.scheme.scale, out.scale, stored);
  for (std::int64_t g = 0; g < view.groups(); ++g)
    view.runs(g, [&](std::int64_t offset, std::int64_t length) {
      const float scale = stored[static_cast<std::size_t>(g)];
      quantizer.encode({weights + offset, static_cast<std::size_t>(length)}, {scale == 0.0f ? 1.0f : scale, 0},
                       out.codes.data() + offset);
    });
}

/// Double quantization of groups that lie within rows: the scales of the whole matrix are chosen when it is made, by
/// all threads, and kept; weights are coded on demand.
class NestedRtnSource final : public MatrixView {
 public:
  NestedRtnSource(MatrixPtr source, QuantScheme scheme, const RtnOptions& options)
      : MatrixView(std::move(source), std::move(scheme)), quantizer_(scheme_, options.range) {}

  Status choose(ThreadPool& pool) {
    const Grouping& grouping = scheme_.scale->grouping;
    const std::int64_t per_row = grouping.kind == Kind::kRow ? 1 : (cols() + grouping.size - 1) / grouping.size;
    std::vector<float> scales(static_cast<std::size_t>(rows() * per_row));
    const std::int64_t step =
        row_step() * std::max<std::int64_t>((1 << 17) / std::max<std::int64_t>(cols() * row_step(), 1), 1);
    const auto tiles = static_cast<std::size_t>((rows() + step - 1) / step);
    std::vector<Status> failures(tiles);
    std::atomic<std::int64_t> replaced{0};
    pool.run(tiles, 1, [&](std::size_t first, std::size_t last, int) {
      for (std::size_t tile = first; tile < last; ++tile) {
        const std::int64_t begin = static_cast<std::int64_t>(tile) * step;
        QuantizedMatrix range;  // of rows and groups; without codes
        range.rows = rows(), range.cols = cols();
        range.row_begin = begin, range.row_count = std::min(step, rows() - begin);
        std::int64_t here = 0;
        const Result<const float*> weights = finite_weights(begin, range.row_count, here);
        replaced += here;
        failures[tile] = weights.ok() ? Status() : Status(weights.error());
        if (weights.ok())
          choose_scales(*weights, GroupView(range, grouping), quantizer_, scales.data() + begin * per_row);
        source_->release(begin, range.row_count);
      }
    });
    for (const Status& failure : failures) NIBBLE_TRY_STATUS(failure);
    if (replaced > 0) warn_of_non_finite(replaced);
    plane_ = nest_scales(scales, *scheme_.scale->nested);
    return {};
  }

  Status decode(std::int64_t begin, std::int64_t count, QuantizedMatrix& out) const override {
    std::int64_t replaced = 0;
    NIBBLE_TRY(const float* weights, finite_weights(begin, count, replaced));
    out.allocate(scheme_, rows(), cols(), begin, count);
    const std::size_t outer_bytes = static_cast<std::size_t>(element_info(scheme_.scale->nested->outer).bits) / 8;
    PlaneData& held = out.scale;
    std::copy_n(plane_.codes.begin() + held.first_entry, held.codes.size(), held.codes.begin());
    std::copy_n(plane_.outer.begin() + held.first_outer * static_cast<std::int64_t>(outer_bytes), held.outer.size(),
                held.outer.begin());
    held.constant = plane_.constant;
    encode_on_nested(weights, quantizer_, out);
    return {};
  }

 private:
  /// Rows of the source as finite floats, in memory of the calling thread; adds to `replaced`.
  Result<const float*> finite_weights(std::int64_t begin, std::int64_t count, std::int64_t& replaced) const {
    thread_local QuantizedMatrix scratch;
    thread_local std::vector<float> weights;
    weights.resize(static_cast<std::size_t>(count * cols()));
    NIBBLE_TRY_STATUS(decode_floats(*source_, begin, count, scratch, weights.data()));
    replaced += make_rows_finite(weights.data(), count, cols());
    return static_cast<const float*>(weights.data());
  }

  GroupQuantizer quantizer_;  ///< refers to scheme_
  PlaneData plane_;           ///< of all rows
};

}  // namespace

void quantize_nested(const float* weights, const GroupQuantizer& quantizer, QuantizedMatrix& out) {
  const PlaneFormat& scale = *out.scheme.scale;
  const GroupView view(out, scale.grouping);
  std::vector<float> scales(static_cast<std::size_t>(view.groups()));
  choose_scales(weights, view, quantizer, scales.data());
  out.scale = nest_scales(scales, *scale.nested);
  encode_on_nested(weights, quantizer, out);
}

/// The runs of a flat grouping are those of columns where rows are whole runs.
bool groups_lie_in_rows(const Grouping& grouping, std::int64_t cols) {
  return grouping.kind == Kind::kRow || grouping.kind == Kind::kColumns ||
         (grouping.kind == Kind::kFlat && cols % grouping.size == 0);
}

Result<MatrixPtr> quantize_rtn_nested(MatrixPtr source, const QuantScheme& scheme, const RtnOptions& options,
                                      ThreadPool& pool) {
  const auto nested = std::make_shared<NestedRtnSource>(std::move(source), scheme, options);
  NIBBLE_TRY_STATUS(nested->choose(pool));
  return MatrixPtr(nested);
}

}  // namespace nibble
