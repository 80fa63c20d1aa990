// The choice of scheme and family per matrix.
#include "quant/choose_targets.h"

#include <algorithm>

#include "base/log.h"
#include "format/ggml_types.h"
#include "quant/find_target.h"
#include "quant/float_view.h"
#include "quant/ggml/ggml_targets.h"
#include "tensor/ggml_schemes.h"
#include "tensor/regrid.h"

namespace nibble {
namespace {

std::string family_names() {
  std::string names = "gguf[:TYPE], hf:f32, hf:f16, hf:bf16";
  for (const Family* family : all_families())
    if (family->encode != nullptr && family->name != "gguf") names += ", " + std::string(family->name);
  return names;
}

Result<const Family*> writable_family(std::string_view name) {
  const Family* family = find_family(name);
  if (family == nullptr)
    return fail(ErrorCode::kInvalidArgument, "\"{}\": unknown family; known: {}", name, family_names());
  if (family->encode == nullptr)
    return fail(ErrorCode::kUnsupported, "\"{}\" can be read but not written; known: {}", name, family_names());
  return family;
}

/// A family can hold the matrix; GGUF's floats count too.
Status fits(const Family& family, const QuantScheme& scheme, const LinearInfo& info) {
  return family.expresses(scheme, info.rows, info.cols);
}

/// A float matrix as a target of the format: folders keep it plain, GGUF has float types.
Result<MatrixTarget> float_target(LinearId id, MatrixPtr original, MatrixPtr matrix, const OutputFormat& format) {
  MatrixTarget target{id, std::move(original), std::move(matrix), nullptr, false, {}};
  target.exact = float_view_is_exact(target.original->scheme(), target.matrix->scheme().code.float_type);
  if (format.gguf) {
    NIBBLE_TRY(target.family, writable_family("gguf"));
  }
  return target;
}

/// A matrix that a conversion makes another kind of quantized matrix.
Result<MatrixTarget> quantized_target(LinearId id, const LinearInfo& info, MatrixPtr original,
                                      const OutputFormat& format, bool lossy, ThreadPool& pool) {
  std::optional<QuantScheme> only;
  if (format.ggml_type >= 0) {
    NIBBLE_TRY(only, ggml_scheme(format.ggml_type));
  }
  const bool is_float = original->scheme().is_float();
  if (!is_float) {
    Result<FoundTarget> found = find_target(original, *format.family, only);
    if (found.ok()) {
      if (found->drops_activations)
        log_warning("{}: {} does not say how activations are quantized; that part of {} is dropped", info.name,
                    format.family->name, to_string(original->scheme()));
      MatrixTarget target{id, std::move(original), std::move(found->matrix), format.family, found->exact};
      target.keeps_codes = true;
      return target;
    }
    if (!lossy)
      return fail(ErrorCode::kUnsupported,
                  "{}: {}; use --to nibble, which holds {} as it is, or add --lossy to requantize", info.name,
                  found.error().message, to_string(original->scheme()));
  }
  if (format.ggml_type >= 0) {
    if (const Status possible = fits(*format.family, *only, info); !possible.ok())
      return fail(ErrorCode::kUnsupported, "{}: {}; `nibble quantize --scheme` takes other types for such tensors",
                  info.name, possible.error().message);
    return ggml_target(id, std::move(original), format.ggml_type, nullptr);
  }
  if (!only) {
    NIBBLE_TRY(only, nearest_scheme(original->scheme(), info.rows, info.cols, *format.family));
  }
  NIBBLE_TRY(MatrixPtr matrix, quantize_rtn(original, *only, RtnOptions{{RangeRule::Kind::kMse, 100.0}}, pool));
  return MatrixTarget{id, std::move(original), std::move(matrix), format.family, false};
}

/// Modules that their family stores in another scheme beside the others; the values stay.
Status settle_schemes(const ModelFiles& files, const Family& family, std::vector<MatrixTarget>& targets) {
  if (family.scheme_among == nullptr) return {};
  std::vector<QuantScheme> all;
  for (const MatrixTarget& target : targets)
    if (target.family != nullptr && std::find(all.begin(), all.end(), target.matrix->scheme()) == all.end())
      all.push_back(target.matrix->scheme());
  for (MatrixTarget& target : targets) {
    if (target.family == nullptr) continue;
    const Result<QuantScheme> among = family.scheme_among(target.matrix->scheme(), all);
    if (!among.ok())
      return fail(among.error().code, "{}: {}; use --to nibble, which holds them beside each other",
                  files.layout().linears[static_cast<std::size_t>(target.id)].name, among.error().message);
    if (*among != target.matrix->scheme()) target.matrix = regrid_source(target.matrix, *among, PlaneRounding::kRefuse);
  }
  return {};
}

}  // namespace

Result<OutputFormat> choose_output_format(const std::string& to, const std::string& out, const QuantScheme* scheme) {
  OutputFormat format;
  const std::size_t colon = to.find(':');
  const std::string name = to.substr(0, colon);
  const std::string detail = colon == std::string::npos ? "" : to.substr(colon + 1);
  if (name == "gguf" || (to.empty() && out.ends_with(".gguf"))) {
    format.gguf = true;
    NIBBLE_TRY(format.family, writable_family("gguf"));
    if (detail.empty()) return format;
    const GgmlTypeInfo* type = find_ggml_type(detail);
    if (type == nullptr || !check_ggml_quantizer(type->id).ok())
      return fail(ErrorCode::kInvalidArgument, "gguf:{}: {}; known: {}", detail,
                  type == nullptr ? "unknown type" : "read only", writable_ggml_types());
    for (const ElementType t : {ElementType::kF32, ElementType::kF16, ElementType::kBf16})
      if (element_info(t).name == type->name) format.float_type = t;
    if (!format.float_type) format.ggml_type = type->id;
    return format;
  }
  if (name == "hf") {
    const auto type = element_from_name(detail);
    if (!type || (*type != ElementType::kF32 && *type != ElementType::kF16 && *type != ElementType::kBf16))
      return fail(ErrorCode::kInvalidArgument, "\"{}\": unknown float type; known: hf:f32, hf:f16, hf:bf16", to);
    format.float_type = *type;
    return format;
  }
  if (!detail.empty())
    return fail(ErrorCode::kInvalidArgument, "\"{}\": unknown target; known: {}", to, family_names());
  if (!name.empty()) {
    NIBBLE_TRY(format.family, writable_family(name));
    return format;
  }
  for (const char* candidate : {"compressed-tensors", "bitsandbytes", "nibble"}) {
    const Family* family = find_family(candidate);
    if (family == nullptr || family->encode == nullptr || scheme == nullptr) continue;
    if (!family->expresses(*scheme, 4096, 4096).ok()) continue;
    format.family = family;
    return format;
  }
  return fail(ErrorCode::kInvalidArgument, "no family was named; use --to with one of: {}", family_names());
}

Status check_mixes_schemes(const Family& family, std::string_view or_else) {
  if (family.mixes_schemes) return {};
  std::string names;
  for (const Family* other : all_families())
    if (other->encode != nullptr && other->mixes_schemes) names += std::string(other->name) + ", ";
  return fail(ErrorCode::kUnsupported, "{} has one scheme for all matrices; use --to with one of {}or {}", family.name,
              names, or_else);
}

Result<MatrixPtr> stored_exactly(const MatrixPtr& matrix, const LinearInfo& info, const OutputFormat& format) {
  const Result<FoundTarget> found = find_target(matrix, *format.family);
  if (found.ok() && found->exact) return found->matrix;
  return fail(ErrorCode::kUnsupported, "{}: {} cannot hold {}: {}; use --to nibble or another scheme", info.name,
              format.family->name, to_string(matrix->scheme()),
              found.ok() ? "its scales would have to be rounded" : found.error().message);
}

Result<std::vector<MatrixTarget>> rtn_targets(const ModelFiles& files, const LinearSchemes& schemes,
                                              const RtnOptions& options, bool quantize_head, const OutputFormat& format,
                                              ThreadPool& pool) {
  const MatrixMethod rtn = [&](LinearId id, MatrixPtr original) {
    return quantize_rtn(std::move(original), schemes.of(id), options, pool);
  };
  return method_targets(files, schemes, rtn, quantize_head, format);
}

Result<std::vector<MatrixTarget>> method_targets(const ModelFiles& files, const LinearSchemes& schemes,
                                                 const MatrixMethod& method, bool quantize_head,
                                                 const OutputFormat& format, const ModelWeights* transformed) {
  const ModelWeights& weights = transformed != nullptr ? *transformed : files;
  std::vector<MatrixTarget> targets;
  for (std::size_t i = 0; i < files.layout().linears.size(); ++i) {
    const LinearInfo& info = files.layout().linears[i];
    const auto id = static_cast<LinearId>(i);
    const QuantScheme& scheme = schemes.of(id);
    NIBBLE_TRY(MatrixPtr original, weights.matrix(id));
    const bool block = info.role == LinearInfo::Role::kBlock;
    const bool wanted = block || (quantize_head && scheme != original->scheme());
    if (!wanted || scheme.is_float()) {
      if (!original->scheme().is_float() &&
          !wanted) {  // a quantized embedding of a GGUF source stays as it is where it can
        const bool keeps = format.gguf && fits(*format.family, original->scheme(), info).ok();
        if (keeps) {
          targets.push_back({id, original, original, format.family, true, {}});
          continue;
        }
      }
      const ElementType type = scheme.is_float() && wanted     ? scheme.code.float_type
                               : original->scheme().is_float() ? original->scheme().code.float_type
                                                               : ElementType::kBf16;
      NIBBLE_TRY(MatrixTarget target, float_target(id, original, float_view(original, type), format));
      targets.push_back(std::move(target));
      continue;
    }
    NIBBLE_TRY(MatrixPtr matrix, method(id, original));
    NIBBLE_TRY(MatrixPtr stored, stored_exactly(matrix, info, format));
    targets.push_back({id, std::move(original), std::move(stored), format.family, false});
  }
  if (format.family != nullptr) NIBBLE_TRY_STATUS(settle_schemes(files, *format.family, targets));
  return targets;
}

Result<std::vector<MatrixTarget>> conversion_targets(const ModelFiles& files, const OutputFormat& format, bool lossy,
                                                     ThreadPool& pool) {
  std::vector<MatrixTarget> targets;
  for (std::size_t i = 0; i < files.layout().linears.size(); ++i) {
    const LinearInfo& info = files.layout().linears[i];
    const auto id = static_cast<LinearId>(i);
    NIBBLE_TRY(MatrixPtr original, files.matrix(id));
    const QuantScheme& scheme = original->scheme();
    if (format.float_type || scheme.is_float()) {
      if (format.ggml_type < 0) {
        NIBBLE_TRY(MatrixTarget target,
                   float_target(id, original, format.float_type ? float_view(original, *format.float_type) : original,
                                format));
        targets.push_back(std::move(target));
        continue;
      }
    }
    NIBBLE_TRY(MatrixTarget target, quantized_target(id, info, std::move(original), format, lossy, pool));
    targets.push_back(std::move(target));
  }
  if (format.family != nullptr) NIBBLE_TRY_STATUS(settle_schemes(files, *format.family, targets));
  return targets;
}

Result<ConversionReport> write_model(const ModelFiles& files, const std::vector<MatrixTarget>& targets,
                                     const std::filesystem::path& out, const OutputFormat& format,
                                     const OutputOptions& options, ThreadPool& pool) {
  return format.gguf ? write_gguf(files, targets, out, options, pool)
                     : write_folder(files, targets, out, options, pool);
}

}  // namespace nibble
