// Round-to-nearest on matrices: groups are gathered, gridded, stored and coded; rows in parallel where they stand
// alone.
#include "quant/rtn/rtn.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/check.h"
#include "base/half.h"
#include "base/log.h"
#include "quant/matrix_view.h"
#include "quant/rtn/codebook.h"
#include "quant/rtn/group_grid.h"
#include "quant/stored_scale.h"
#include "quant/weights_as_floats.h"

namespace nibble {
namespace {

using Kind = Grouping::Kind;

bool crosses_rows(const Grouping& grouping) { return !grouping.row_aligned(); }

/// The weights of one scale group: a contiguous run, or gathered from a block and scattered back.
class GroupView {
 public:
  GroupView(const QuantizedMatrix& m, const Grouping& grouping) : m_(m), grouping_(grouping) {}

  std::int64_t groups() const { return entry_range(grouping_, m_.rows, m_.cols, m_.row_begin, m_.row_count).count; }

  /// Calls run(offset, length) for each contiguous run of group `g` (counted from the first held) within the range's
  /// weights.
  template <typename F>
  void runs(std::int64_t g, F&& run) const {
    const std::int64_t cols = m_.cols;
    switch (grouping_.kind) {
      case Kind::kTensor:
        return run(0, m_.row_count * cols);
      case Kind::kRow:
        return run(g * cols, cols);
      case Kind::kColumns: {
        const std::int64_t per_row = grouping_.entries_per_row(m_.rows, cols);
        const std::int64_t first = (g % per_row) * grouping_.size;
        return run(g / per_row * cols + first, std::min(grouping_.size, cols - first));
      }
      case Kind::kFlat: {
        const std::int64_t first = g * grouping_.size;
        return run(first, std::min(grouping_.size, m_.row_count * cols - first));
      }
      case Kind::kBlock: {
        const std::int64_t per_row = grouping_.entries_per_row(m_.rows, cols);
        const std::int64_t first_row = g / per_row * grouping_.rows;
        const std::int64_t first = (g % per_row) * grouping_.size;
        for (std::int64_t r = first_row; r < std::min(first_row + grouping_.rows, m_.row_count); ++r)
          run(r * cols + first, std::min(grouping_.size, cols - first));
        return;
      }
      case Kind::kStrided:
      case Kind::kIndexed:
        return;
    }
  }

 private:
  const QuantizedMatrix& m_;
  Grouping grouping_;
};

/// Grids with plain scales: choose, store and code group by group.
void quantize_plain(const float* weights, const QuantScheme& scheme, const GroupQuantizer& quantizer,
                    QuantizedMatrix& out) {
  const GroupView view(out, scheme.scale->grouping);
  const ElementType type = scheme.scale->element;
  const auto round_scales = [type](std::span<float> scales) {
    for (float& s : scales) s = stored_scale(type, s);
  };
  std::vector<float> gathered;
  const bool contiguous = scheme.scale->grouping.kind != Kind::kBlock;
  for (std::int64_t g = 0; g < view.groups(); ++g) {
    std::span<const float> x;
    if (contiguous) {
      view.runs(g, [&](std::int64_t offset, std::int64_t length) {
        x = {weights + offset, static_cast<std::size_t>(length)};
      });
    } else {
      gathered.clear();
      view.runs(g, [&](std::int64_t offset, std::int64_t length) {
        gathered.insert(gathered.end(), weights + offset, weights + offset + length);
      });
      x = gathered;
    }
    const GroupGrid grid = quantizer.choose(x, round_scales);
    store_entry(type, grid.scale, out.scale.entries, g);
    if (scheme.zero_kind == ZeroKind::kInteger)
      store_entry(ElementType::kI16, static_cast<float>(grid.zero), out.zero.entries, g);
    view.runs(g, [&](std::int64_t offset, std::int64_t length) {
      quantizer.encode({weights + offset, static_cast<std::size_t>(length)}, grid, out.codes.data() + offset);
    });
  }
}

// Double quantization (algorithms.md 13, formats-hf.md 4.6): all scales first, then their codes, then the weights'
// codes on the scales that a reader will see.

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

void quantize_nested(const float* weights, const QuantScheme& scheme, const GroupQuantizer& quantizer,
                     QuantizedMatrix& out) {
  const GroupView view(out, scheme.scale->grouping);
  std::vector<float> scales(static_cast<std::size_t>(view.groups()));
  choose_scales(weights, view, quantizer, scales.data());
  out.scale = nest_scales(scales, *scheme.scale->nested);
  encode_on_nested(weights, quantizer, out);
}

/// Codebooks: groups are first divided by their scale (if the scheme has one), then each table's weights are clustered
/// with the square of their scale as weight.
void quantize_codebook(const float* weights, const QuantScheme& scheme, QuantizedMatrix& out) {
  const auto count = static_cast<std::size_t>(out.row_count * out.cols);
  std::vector<float> scale_of;  // the stored scale of every weight
  if (scheme.scale) {
    scale_of.resize(count);
    const GroupView view(out, scheme.scale->grouping);
    for (std::int64_t g = 0; g < view.groups(); ++g) {
      float magnitude = 0;
      view.runs(g, [&](std::int64_t offset, std::int64_t length) {
        for (std::int64_t i = offset; i < offset + length; ++i) magnitude = std::max(magnitude, std::fabs(weights[i]));
      });
      const float stored = stored_scale(scheme.scale->element, magnitude == 0.0f ? 1.0f : magnitude);
      store_entry(scheme.scale->element, stored, out.scale.entries, g);
      view.runs(g, [&](std::int64_t offset, std::int64_t length) {
        std::fill(scale_of.begin() + offset, scale_of.begin() + offset + length, stored);
      });
    }
  }
  const auto normalized = [&](std::int64_t i) {
    return scheme.scale ? weights[i] / scale_of[static_cast<std::size_t>(i)] : weights[i];
  };
  const int entries = 1 << scheme.code.bits;
  const GroupView tables(out, scheme.table.grouping);
  std::vector<float> values;
  std::vector<WeightedValue> weighted;
  for (std::int64_t t = 0; t < tables.groups(); ++t) {
    values.clear();
    weighted.clear();
    tables.runs(t, [&](std::int64_t offset, std::int64_t length) {
      for (std::int64_t i = offset; i < offset + length; ++i) {
        values.push_back(normalized(i));
        const double s = scheme.scale ? static_cast<double>(scale_of[static_cast<std::size_t>(i)]) : 1.0;
        weighted.push_back({values.back(), s * s});
      }
    });
    constexpr std::size_t kExactLimit = 1 << 17;
    std::vector<float> table =
        values.size() <= kExactLimit ? optimal_codebook(weighted, entries) : binned_codebook(weighted, entries);
    for (float& v : table) v = round_to_element(scheme.table.element, v);
    std::copy(table.begin(), table.end(), out.tables.begin() + t * entries);
    std::size_t next = 0;
    tables.runs(t, [&](std::int64_t offset, std::int64_t length) {
      nearest_codes({values.data() + next, static_cast<std::size_t>(length)}, 1.0f, table, out.codes.data() + offset);
      next += static_cast<std::size_t>(length);
    });
  }
}

/// NaN and infinities are replaced row by row, before any group is looked at.
std::int64_t make_rows_finite(float* weights, std::int64_t rows, std::int64_t cols) {
  std::int64_t replaced = 0;
  for (std::int64_t r = 0; r < rows; ++r) replaced += make_finite({weights + r * cols, static_cast<std::size_t>(cols)});
  return replaced;
}

/// Decodes rows of a source to float32.
Status decode_floats(const MatrixSource& source, std::int64_t begin, std::int64_t count, QuantizedMatrix& scratch,
                     float* out) {
  NIBBLE_TRY_STATUS(source.decode(begin, count, scratch));
  weights_as_floats(scratch, out);
  return {};
}

void warn_of_non_finite(std::int64_t replaced) {
  log_warning("{} NaN or infinite weights were taken as 0 or as the largest finite weight of their row", replaced);
}

/// Quantizes on demand; for schemes whose rows stand alone.
class RtnSource final : public MatrixView {
 public:
  RtnSource(MatrixPtr source, QuantScheme scheme, RtnOptions options)
      : MatrixView(std::move(source), std::move(scheme)), options_(options) {}

  std::int64_t row_step() const override { return std::lcm(rtn_row_step(scheme_), source_->row_step()); }

  Status decode(std::int64_t begin, std::int64_t count, QuantizedMatrix& out) const override {
    thread_local QuantizedMatrix scratch;
    thread_local std::vector<float> weights;
    weights.resize(static_cast<std::size_t>(count * cols()));
    NIBBLE_TRY_STATUS(decode_floats(*source_, begin, count, scratch, weights.data()));
    const RtnReport report = quantize_rtn_rows(weights.data(), rows(), cols(), begin, count, scheme_, options_, out);
    if (report.non_finite > 0 && !warned_.exchange(true)) warn_of_non_finite(report.non_finite);
    return {};
  }

 private:
  RtnOptions options_;
  mutable std::atomic<bool> warned_{false};
};

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

/// The runs of a flat grouping are those of columns where rows are whole runs.
bool groups_lie_in_rows(const Grouping& grouping, std::int64_t cols) {
  return grouping.kind == Kind::kRow || grouping.kind == Kind::kColumns ||
         (grouping.kind == Kind::kFlat && cols % grouping.size == 0);
}

}  // namespace

Status check_rtn_scheme(const QuantScheme& scheme) {
  NIBBLE_TRY_STATUS(scheme.validate());
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::kUnsupported,
                "rtn cannot make {}: {}; use a scheme such as int4-g32-sym, nf4-g64 or fp8-e4m3-channel",
                to_string(scheme), why);
  };
  if (scheme.is_float()) return {};
  if (scheme.offset || scheme.zero_kind == ZeroKind::kReal || scheme.post_scale != 1.0f)
    return refuse("it has offsets or real zero points");
  if (scheme.scale && (scheme.scale->grouping.kind == Kind::kIndexed || scheme.scale->grouping.kind == Kind::kStrided))
    return refuse("its groups are not runs of columns");
  if (scheme.scale && scheme.scale->divides) return refuse("its scales divide");
  if (scheme.code.table == TableKind::kStored) {
    if (scheme.table.bank_size > 0) return refuse("it picks tables from a bank");
    if (scheme.scale && scheme.scale->nested) return refuse("codebooks with double quantization are not implemented");
    return {};
  }
  if (!scheme.scale) return refuse("it has no scale");
  if (scheme.scale->nested) {
    if (scheme.zero_kind != ZeroKind::kNone) return refuse("double quantization with zero points is not implemented");
    if (scheme.scale->nested->code.table != TableKind::kDynamic8)
      return refuse("its scales are nested in another way than -dq");
    if (scheme.scale->grouping.kind == Kind::kBlock)
      return refuse("double quantization of block scales is not implemented");
  }
  return {};
}

std::int64_t rtn_row_step(const QuantScheme& scheme) {
  if (scheme.is_float()) return 1;
  std::int64_t step = 1;
  if (scheme.scale) {
    if (crosses_rows(scheme.scale->grouping) || scheme.scale->nested) return 0;
    if (scheme.scale->grouping.kind == Kind::kBlock) step = scheme.scale->grouping.rows;
  }
  if (scheme.code.table == TableKind::kStored) {
    if (crosses_rows(scheme.table.grouping)) return 0;
    if (scheme.table.grouping.kind == Kind::kBlock) step = std::lcm(step, scheme.table.grouping.rows);
  }
  return step;
}

RtnReport quantize_rtn_rows(float* weights, std::int64_t rows, std::int64_t cols, std::int64_t row_begin,
                            std::int64_t row_count, const QuantScheme& scheme, const RtnOptions& options,
                            QuantizedMatrix& out) {
  out.allocate(scheme, rows, cols, row_begin, row_count);
  RtnReport report;
  if (scheme.is_float()) {
    encode_elements(scheme.code.float_type, weights, static_cast<std::size_t>(row_count * cols),
                    reinterpret_cast<std::byte*>(out.codes.data()));
    return report;
  }
  report.non_finite = make_rows_finite(weights, row_count, cols);
  if (scheme.code.table == TableKind::kStored) {
    quantize_codebook(weights, scheme, out);
    return report;
  }
  const GroupQuantizer quantizer(scheme, options.range);
  if (scheme.scale->nested) {
    quantize_nested(weights, scheme, quantizer, out);
  } else {
    quantize_plain(weights, scheme, quantizer, out);
  }
  return report;
}

Result<MatrixPtr> quantize_rtn(MatrixPtr source, const QuantScheme& scheme, const RtnOptions& options,
                               ThreadPool& pool) {
  NIBBLE_TRY_STATUS(check_rtn_scheme(scheme));
  if (rtn_row_step(scheme) > 0) return MatrixPtr(std::make_shared<RtnSource>(std::move(source), scheme, options));
  if (scheme.scale && scheme.scale->nested && groups_lie_in_rows(scheme.scale->grouping, source->cols())) {
    const auto nested = std::make_shared<NestedRtnSource>(std::move(source), scheme, options);
    NIBBLE_TRY_STATUS(nested->choose(pool));
    return MatrixPtr(nested);
  }
  const std::int64_t rows = source->rows();
  const std::int64_t cols = source->cols();
  NIBBLE_TRY(std::vector<float> weights, weights_as_floats(*source, pool));
  QuantizedMatrix out;
  const RtnReport report = quantize_rtn_rows(weights.data(), rows, cols, 0, rows, scheme, options, out);
  if (report.non_finite > 0) warn_of_non_finite(report.non_finite);
  return make_source(std::move(out));
}

}  // namespace nibble
