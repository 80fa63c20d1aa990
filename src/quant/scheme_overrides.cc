#include "quant/scheme_overrides.h"

#include "io/name_pattern.h"
#include "model/arch/architecture.h"
#include "quant/ggml/ggml_targets.h"
#include "quant/input_groups.h"

namespace nibble {
namespace {

/// What a linear may be called. An embedding that is the output head, too, by both names.
std::vector<std::string> names_of(const ModelFiles& files, LinearId id) {
  const ModelLayout& layout = files.layout();
  const std::string& name = layout.linears[static_cast<std::size_t>(id)].name;
  std::vector<std::string> names{name, gguf_name_of(files.architecture(), name + ".weight")};
  if (id == layout.head && id == layout.embedding) names.emplace_back("lm_head");
  return names;
}

/// The scheme of a linear that is left as it is.
Result<QuantScheme> present_scheme(const ModelFiles& files, LinearId id, const OutputFormat& format) {
  NIBBLE_TRY(const MatrixPtr original, files.matrix(id));
  const QuantScheme& scheme = original->scheme();
  if (scheme.is_float() || (format.gguf && format.family->expresses(scheme, original->rows(), original->cols()).ok()))
    return scheme;
  return QuantScheme::of_float(ElementType::kBf16);
}

Status check_beside_each_other(const LinearSchemes& schemes, const Family& family) {
  std::vector<QuantScheme> codes = schemes.distinct();
  std::erase_if(codes, [](const QuantScheme& scheme) { return scheme.is_float(); });
  if (codes.size() < 2) return {};
  NIBBLE_TRY_STATUS(check_mixes_schemes(family, "leave linears in floats (--override PATTERN=bf16)"));
  if (family.scheme_among == nullptr) return {};
  for (const QuantScheme& scheme : codes) {
    const Result<QuantScheme> among = family.scheme_among(scheme, codes);
    if (!among.ok()) return with_context(among.error(), "--override");
  }
  return {};
}

}  // namespace

Result<std::vector<SchemeOverride>> parse_overrides(std::span<const std::string> texts) {
  std::vector<SchemeOverride> out;
  for (const std::string& text : texts) {
    const std::size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0)
      return fail(ErrorCode::kInvalidArgument, "--override {}: not PATTERN=SCHEME, like down_proj=int8-g32-sym", text);
    Result<QuantScheme> scheme = parse_scheme(text.substr(equals + 1));
    if (!scheme.ok()) return with_context(scheme.error(), "--override " + text);
    out.push_back({text.substr(0, equals), *std::move(scheme)});
  }
  return out;
}

Result<std::vector<std::optional<QuantScheme>>> overridden(const ModelFiles& files,
                                                           std::span<const SchemeOverride> overrides) {
  const std::vector<LinearInfo>& linears = files.layout().linears;
  std::vector<std::optional<QuantScheme>> out(linears.size());
  NamePatterns patterns("--override");
  for (const SchemeOverride& one : overrides) {
    bool found = false;
    for (std::size_t i = 0; i < linears.size(); ++i) {
      for (const std::string& name : names_of(files, static_cast<LinearId>(i))) {
        const Result<bool> match = patterns.found_in(one.pattern, name);
        if (!match.ok()) return fail(ErrorCode::kInvalidArgument, "{}", match.error().message);
        if (!*match) continue;
        out[i] = one.scheme;
        found = true;
        break;
      }
    }
    if (!found)
      return fail(ErrorCode::kInvalidArgument,
                  "--override {}={}: the pattern is in no linear's name; they are like {} ({} in a GGUF file)",
                  one.pattern, to_string(one.scheme), linears.back().name,
                  gguf_name_of(files.architecture(), linears.back().name + ".weight"));
  }
  return out;
}

Result<LinearSchemes> with_overrides(const ModelFiles& files, const LinearSchemes& schemes, bool with_head,
                                     std::span<const SchemeOverride> overrides, const OutputFormat& format) {
  if (format.family == nullptr) return fail(ErrorCode::kInvalidArgument, "--override goes with a quantized output");
  NIBBLE_TRY(const auto given, overridden(files, overrides));
  std::vector<QuantScheme> out;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const auto id = static_cast<LinearId>(i);
    const bool block = files.layout().linears[i].role == LinearInfo::Role::kBlock;
    if (given[i]) {
      const QuantScheme& scheme = block ? *given[i] : given[i]->codes_alone();
      out.push_back(format.gguf ? with_fallbacks(files.layout(), scheme).of(id) : scheme);
    } else if (block || with_head) {
      out.push_back(schemes.of(id));
    } else {
      NIBBLE_TRY(out.emplace_back(), present_scheme(files, id, format));
    }
  }
  LinearSchemes all(std::move(out));
  NIBBLE_TRY_STATUS(check_beside_each_other(all, *format.family));
  return all;
}

Status check_shared_inputs(const ModelLayout& layout, const LinearSchemes& schemes) {
  for (const BlockLayout& block : layout.blocks) {
    for (const std::vector<LinearId>& group : input_groups(block)) {
      for (const LinearId id : group) {
        const std::string& name = layout.linears[static_cast<std::size_t>(id)].name;
        const std::string& first = layout.linears[static_cast<std::size_t>(group.front())].name;
        if (schemes.of(id).is_float())
          return fail(ErrorCode::kUnsupported,
                      "{} would stay in floats, and this method quantizes all; --method rtn, gptq and best do not mind",
                      name);
        if (!(schemes.of(id) == schemes.of(group)))
          return fail(ErrorCode::kUnsupported,
                      "{} and {} share an input, and this method gives such linears one scheme; --method gptq and best "
                      "do not mind",
                      first, name);
      }
    }
  }
  return {};
}

}  // namespace nibble
