// Round-to-nearest on matrices: groups are gathered, gridded, stored and coded; rows in parallel where they stand
// alone.
#include "quant/rtn/rtn.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <numeric>

#include "quant/matrix_view.h"
#include "quant/rtn/codebook.h"
#include "quant/rtn/finite_rows.h"
#include "quant/rtn/group_grid.h"
#include "quant/rtn/group_view.h"
#include "quant/rtn/nested_scales.h"
#include "quant/stored_scale.h"
#include "quant/weights_as_floats.h"

namespace nibble {
namespace {

using Kind = Grouping::Kind;

bool crosses_rows(const Grouping& grouping) { return !grouping.row_aligned(); }

/// Grids as entries of the planes from group `first` on.
void store_grids(std::span<const GroupGrid> grids, std::int64_t first, QuantizedMatrix& out) {
  const ElementType type = out.scheme.scale->element;
  thread_local std::vector<float> scales;
  scales.clear();
  for (const GroupGrid& grid : grids) scales.push_back(grid.scale);
  store_entries(type, scales,
                out.scale.entries.data() + first * static_cast<std::int64_t>(element_info(type).bits / 8));
  if (out.scheme.zero_kind != ZeroKind::kInteger) return;
  std::byte* zeros = out.zero.entries.data() + 2 * first;
  for (std::size_t g = 0; g < grids.size(); ++g) {
    const auto zero = static_cast<std::int16_t>(grids[g].zero);
    std::memcpy(zeros + 2 * g, &zero, sizeof zero);
  }
}

/// Groups of one length, one after the other.
void quantize_runs(const float* weights, std::int64_t length, const GroupQuantizer& quantizer,
                   const GroupQuantizer::RoundScales& round_scales, QuantizedMatrix& out) {
  const std::span<const float> x(weights, static_cast<std::size_t>(out.row_count * out.cols));
  thread_local std::vector<GroupGrid> grids;
  grids.resize(x.size() / static_cast<std::size_t>(length));
  quantizer.choose_each(x, length, round_scales, grids);
  store_grids(grids, 0, out);
  quantizer.encode_each(x, length, grids, out.codes.data());
}

/// Grids with plain scales: choose, store and code.
void quantize_plain(const float* weights, const QuantScheme& scheme, const GroupQuantizer& quantizer,
                    QuantizedMatrix& out) {
  const GroupView view(out, scheme.scale->grouping);
  const ElementType type = scheme.scale->element;
  const auto round_scales = [type](std::span<float> scales) { store_scales(type, scales); };
  if (const std::int64_t length = view.run_length(); length > 0)
    return quantize_runs(weights, length, quantizer, round_scales, out);
  std::vector<float> gathered;
  std::vector<std::uint8_t> codes;
  for (std::int64_t g = 0; g < view.groups(); ++g) {
    gathered.clear();
    view.runs(g, [&](std::int64_t offset, std::int64_t length) {
      gathered.insert(gathered.end(), weights + offset, weights + offset + length);
    });
    const GroupGrid grid = quantizer.choose(gathered, round_scales);
    store_grids({&grid, 1}, g, out);
    codes.resize(gathered.size());
    quantizer.encode(gathered, grid, codes.data());
    std::int64_t next = 0;
    view.runs(g, [&](std::int64_t offset, std::int64_t length) {
      std::copy_n(codes.begin() + next, length, out.codes.begin() + offset);
      next += length;
    });
  }
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

}  // namespace

Status check_rtn_scheme(const QuantScheme& scheme) {
  NIBBLE_TRY_STATUS(scheme.validate());
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::kUnsupported,
                "rtn cannot make {}: {}; use a scheme such as int4-g32-sym, nf4-g64 or fp8-e4m3-channel",
                to_string(scheme), why);
  };
  if (scheme.is_float()) return {};
  if (!scheme.supplement.empty())
    return refuse("kept columns and products of low rank are fitted to inputs, by gptq, best and wnam");
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
    quantize_nested(weights, quantizer, out);
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
    return quantize_rtn_nested(std::move(source), scheme, options, pool);
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
