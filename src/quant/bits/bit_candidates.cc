#include "quant/bits/bit_candidates.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "format/ggml_types.h"
#include "quant/choose_targets.h"
#include "quant/plain_rounding.h"

namespace nibble {
namespace {

constexpr std::string_view kGgufTypes[] = {"q2_k", "q3_k", "iq4_nl", "q4_0", "q4_k", "q5_0", "q5_k", "q6_k", "q8_0"};
constexpr std::string_view kSymmetric[] = {"int2-g32-sym", "int3-g64-sym", "int3-g32-sym", "int4-g64-sym",
                                           "int4-g32-sym", "int5-g64-sym", "int6-g64-sym", "int8-g64-sym"};
constexpr std::string_view kAsymmetric[] = {"int2-g32-asym", "int3-g64-asym", "int3-g32-asym", "int4-g64-asym",
                                            "int4-g32-asym", "int5-g64-asym", "int6-g64-asym", "int8-g64-asym"};
constexpr std::string_view kCodebooks[] = {"codebook2-row-g64", "codebook3-row-g64", "codebook4-row-g64",
                                           "codebook5-row-g64", "codebook6-row-g64"};

/// A number of columns that all groups and blocks divide.
constexpr std::int64_t kManyColumns = 4096;

Status fits(const QuantScheme& scheme, const Family& family, std::int64_t rows, std::int64_t cols) {
  NIBBLE_TRY_STATUS(family.expresses(scheme, rows, cols));
  return check_plain_rounding(scheme, cols);
}

std::vector<QuantScheme> usable(std::span<const std::string_view> names, const Family& family,
                                const SchemeCheck& method) {
  std::vector<QuantScheme> out;
  for (const std::string_view name : names) {
    const Result<QuantScheme> scheme = parse_scheme(name);
    NIBBLE_CHECK(scheme.ok());
    if (fits(*scheme, family, kManyColumns, kManyColumns).ok() && method(*scheme).ok()) out.push_back(*scheme);
  }
  return out;
}

std::int64_t stored_bytes(const std::vector<EncodedPlan>& tensors) {
  std::uint64_t bytes = 0;
  for (const EncodedPlan& tensor : tensors) {
    std::uint64_t count = 1;
    for (const std::int64_t extent : tensor.shape) count *= static_cast<std::uint64_t>(extent);
    if (tensor.ggml_type >= 0) {
      constexpr std::uint64_t kAlignment = 32;  // of tensors in a GGUF file
      const GgmlTypeInfo& type = *find_ggml_type(tensor.ggml_type);
      const std::uint64_t of_tensor =
          count / static_cast<std::uint64_t>(type.block_values) * static_cast<std::uint64_t>(type.block_bytes);
      bytes += (of_tensor + kAlignment - 1) / kAlignment * kAlignment;
    } else {
      bytes += element_bytes(tensor.element, count).value_or(0);
    }
  }
  return static_cast<std::int64_t>(bytes);
}

}  // namespace

Result<std::vector<QuantScheme>> bit_candidates(const std::vector<std::string>& stated, const Family& family,
                                                const SchemeCheck& method) {
  NIBBLE_TRY_STATUS(check_mixes_schemes(family, "--scheme, which leaves no bits to choose"));
  std::vector<QuantScheme> out;
  for (const std::string& name : stated) {
    NIBBLE_TRY(QuantScheme scheme, parse_scheme(name));
    for (const Status& status : {method(scheme), fits(scheme, family, kManyColumns, kManyColumns)})
      if (!status.ok()) return with_context(status.error(), "candidate " + name);
    if (std::find(out.begin(), out.end(), scheme) == out.end()) out.push_back(std::move(scheme));
  }
  if (stated.empty()) {
    if (family.name == "gguf") out = usable(kGgufTypes, family, method);
    const std::span<const std::string_view> lists[] = {kSymmetric, kAsymmetric, kCodebooks};
    for (const auto& names : lists)
      if (out.size() < 2) out = usable(names, family, method);
  }
  if (out.size() < 2)
    return fail(ErrorCode::kInvalidArgument,
                "choosing bits needs two schemes at least that {} holds and the method makes; state them with "
                "--candidates, or use --scheme",
                family.name);
  return out;
}

Result<std::vector<UnitChoices>> unit_choices(const ModelLayout& layout, const std::vector<BitUnit>& units,
                                              const std::vector<QuantScheme>& candidates, const Family& family,
                                              bool in_bytes) {
  std::vector<UnitChoices> out;
  for (const BitUnit& unit : units) {
    UnitChoices choices;
    Status why_not;
    for (const QuantScheme& scheme : candidates) {
      UnitChoice choice{scheme, 0, 0, 0};
      std::int64_t bits = 0;
      std::int64_t weights = 0;
      Status possible;
      for (const LinearId id : unit.linears) {
        const LinearInfo& info = layout.linears[static_cast<std::size_t>(id)];
        possible = fits(scheme, family, info.rows, info.cols);
        if (!possible.ok()) break;
        bits += scheme.stored_bits(info.rows, info.cols);
        weights += info.rows * info.cols;
        if (!in_bytes) continue;
        NIBBLE_TRY(const std::vector<EncodedPlan> tensors, family.plan(scheme, info.rows, info.cols, info.name));
        choice.size += stored_bytes(tensors);
      }
      if (!possible.ok()) {
        why_not = possible;
        continue;
      }
      choice.bits = static_cast<double>(bits) / static_cast<double>(weights);
      if (!in_bytes) choice.size = bits;
      choices.push_back(std::move(choice));
    }
    if (choices.empty())
      return with_context(why_not.error(), layout.linears[static_cast<std::size_t>(unit.linears.front())].name +
                                               ": none of the candidates is possible");
    std::stable_sort(choices.begin(), choices.end(),
                     [](const UnitChoice& a, const UnitChoice& b) { return a.bits < b.bits; });
    out.push_back(std::move(choices));
  }
  return out;
}

}  // namespace nibble
