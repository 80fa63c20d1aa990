// The search for a scheme that a family can write.
#include "quant/find_target.h"

#include <algorithm>
#include <vector>

#include "quant/rtn/rtn.h"
#include "tensor/ggml_schemes.h"
#include "tensor/regrid.h"

namespace nibble {
namespace {

/// Weights that one look at the data decodes at a time.
constexpr std::int64_t kTileWeights = 1 << 20;

struct Candidate {
  QuantScheme scheme;
  std::int64_t bits = 0;  ///< stored
};

/// For families that hold no integers with plain scales (fp8, bitsandbytes): what their tools write.
constexpr std::string_view kGridsWithoutIntegers[] = {"fp8-e4m3-block128x128-scale:f32", "nf4-g64-scale:f32"};

/// Codes with their zero points.
struct CodeChoice {
  CodeFormat code;
  ZeroKind zero = ZeroKind::kNone;
};

std::vector<CodeChoice> code_choices(const QuantScheme& from) {
  std::vector<CodeChoice> out{{from.code, from.zero_kind}, {CodeFormat::integer(2, 1), ZeroKind::kNone}};
  for (int bits = 1; bits <= 8; ++bits) {
    const CodeFormat around_middle = CodeFormat::integer(bits, 1 << (bits - 1));
    out.push_back({around_middle, ZeroKind::kNone});
    out.push_back({around_middle, ZeroKind::kInteger});
    out.push_back({CodeFormat::integer(bits, 0), ZeroKind::kInteger});
  }
  return out;
}

std::vector<Grouping> grouping_choices(const Grouping& from) {
  std::vector<Grouping> out{from, Grouping::row()};
  for (const std::int64_t size : {128, 64, 32, 16}) out.push_back(Grouping::columns(size));
  if (from.kind == Grouping::Kind::kColumns) out.push_back(Grouping::flat(from.size));
  if (from.kind == Grouping::Kind::kFlat) out.push_back(Grouping::columns(from.size));
  return out;
}

/// Schemes with one plain scale per group, of any width and grouping that families have.
void add_plain_grids(const QuantScheme& from, std::vector<Candidate>& out) {
  const Grouping grouping = from.scale ? from.scale->grouping : Grouping::row();
  const ElementType element = from.scale && !from.scale->nested ? from.scale->element : ElementType::kF32;
  for (const CodeChoice& choice : code_choices(from)) {
    for (const Grouping& groups : grouping_choices(grouping)) {
      for (const ElementType type : {element, ElementType::kF16, ElementType::kBf16, ElementType::kF32}) {
        QuantScheme scheme;
        scheme.code = choice.code;
        scheme.table = from.table;
        scheme.scale = PlaneFormat{groups, type, false, std::nullopt};
        scheme.zero_kind = choice.zero;
        if (choice.zero == ZeroKind::kInteger) scheme.zero = {groups, ElementType::kI16, false, std::nullopt};
        if (choice.zero == ZeroKind::kReal) continue;
        out.push_back({scheme, 0});
      }
    }
  }
}

/// All schemes worth a try, smallest first.
std::vector<Candidate> candidates(const QuantScheme& from, std::int64_t rows, std::int64_t cols) {
  std::vector<Candidate> out;
  add_plain_grids(from, out);
  for (const GgmlScheme& ggml : ggml_schemes())
    if (!ggml.scheme.is_float()) out.push_back({ggml.scheme, 0});
  for (Candidate& candidate : out) candidate.bits = candidate.scheme.stored_bits(rows, cols);
  std::stable_sort(out.begin(), out.end(), [](const Candidate& a, const Candidate& b) { return a.bits < b.bits; });
  return out;
}

/// Does the data fit? Reads until something does not.
Status try_regrid(const MatrixSource& source, const QuantScheme& to, PlaneRounding rounding) {
  const std::int64_t step = source.row_step() == 0 ? source.rows() : source.row_step();
  const std::int64_t rows_at_once =
      std::max<std::int64_t>(kTileWeights / std::max<std::int64_t>(source.cols(), 1) / step, 1) * step;
  QuantizedMatrix from;
  QuantizedMatrix moved;
  for (std::int64_t row = 0; row < source.rows(); row += rows_at_once) {
    NIBBLE_TRY_STATUS(source.decode(row, std::min(rows_at_once, source.rows() - row), from));
    NIBBLE_TRY_STATUS(regrid(std::move(from), to, rounding, moved));
  }
  return {};
}

bool holds(const MatrixSource& source, const QuantScheme& to) {
  switch (can_regrid(source.scheme(), to, source.rows(), source.cols())) {
    case Regrid::kNever:
      return false;
    case Regrid::kAlways:
      return true;
    case Regrid::kByData:
      return try_regrid(source, to, PlaneRounding::kRefuse).ok();
  }
  return false;
}

bool is_act_order(const QuantScheme& scheme) {
  return scheme.scale && scheme.scale->grouping.kind == Grouping::Kind::kIndexed;
}

}  // namespace

Result<FoundTarget> find_target(const MatrixPtr& source, const Family& family, const std::optional<QuantScheme>& only) {
  const std::int64_t rows = source->rows();
  const std::int64_t cols = source->cols();
  const QuantScheme& scheme = source->scheme();
  const Status as_it_is = family.expresses(scheme, rows, cols);
  if (as_it_is.ok() && (!only || *only == scheme)) return FoundTarget{source, true, false};
  QuantScheme weights = scheme;
  weights.activations = {};
  std::vector<Candidate> possible = only ? std::vector<Candidate>{{*only, 0}} : candidates(weights, rows, cols);
  std::erase_if(possible, [&](const Candidate& candidate) {
    return can_keep_codes(weights, candidate.scheme, rows, cols) == Regrid::kNever;
  });
  // Where the family's configuration can say what the source does to activations, that comes first.
  std::vector<Candidate> tried;
  const auto try_with = [&](const ActivationScheme& activations) {
    for (Candidate candidate : possible) {
      candidate.scheme.activations = activations;
      if (family.expresses(candidate.scheme, rows, cols).ok()) tried.push_back(std::move(candidate));
    }
  };
  const bool has_activations = scheme.activations.kind != ActivationScheme::Kind::kNone;
  if (has_activations && !only && family.quantization_config != nullptr) try_with(scheme.activations);
  try_with({});
  const auto drops = [&](const Candidate& candidate) { return candidate.scheme.activations != scheme.activations; };
  for (const Candidate& candidate : tried)
    if (holds(*source, candidate.scheme))
      return FoundTarget{regrid_source(source, candidate.scheme, PlaneRounding::kRefuse), true, drops(candidate)};
  for (const Candidate& candidate : tried)
    if (can_keep_codes(weights, candidate.scheme, rows, cols) == Regrid::kAlways &&
        try_regrid(*source, candidate.scheme, PlaneRounding::kNearest).ok())
      return FoundTarget{regrid_source(source, candidate.scheme, PlaneRounding::kNearest), false, drops(candidate)};
  if (is_act_order(scheme))
    return fail(ErrorCode::kUnsupported,
                "its groups of columns are in no order (act-order, g_idx), which {} cannot say; "
                "gptq and compressed-tensors can",
                family.name);
  if (as_it_is.ok()) return fail(ErrorCode::kUnsupported, "its values are not those of {}", to_string(*only));
  return as_it_is.error();
}

Result<QuantScheme> nearest_scheme(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols,
                                   const Family& family) {
  QuantScheme plain = scheme;
  plain.activations = {};
  const std::int64_t group = scheme.scale && scheme.scale->grouping.kind == Grouping::Kind::kColumns
                                 ? scheme.scale->grouping.size
                                 : (scheme.scale && scheme.scale->grouping.kind == Grouping::Kind::kRow ? cols : 32);
  for (const Candidate& candidate : candidates(plain, rows, cols)) {
    const QuantScheme& to = candidate.scheme;
    const bool integer = to.code.kind == CodeFormat::Kind::kInteger;
    if (to.code.bits < std::min<int>(scheme.code.bits, 8) || (!integer && to.code != scheme.code)) continue;
    if (!to.scale || to.scale->nested || to.scale->grouping.kind != Grouping::Kind::kColumns) {
      if (!to.scale || to.scale->grouping.kind != Grouping::Kind::kRow || group < cols) continue;
    } else if (to.scale->grouping.size > group) {
      continue;
    }
    if (check_rtn_scheme(to).ok() && family.expresses(to, rows, cols).ok()) return to;
  }
  for (const std::string_view name : kGridsWithoutIntegers) {
    NIBBLE_TRY(const QuantScheme to, parse_scheme(name));
    if (family.expresses(to, rows, cols).ok()) return to;
  }
  return fail(ErrorCode::kUnsupported, "{} has no scheme near {} for {} x {}", family.name, to_string(scheme), rows,
              cols);
}

}  // namespace nibble
