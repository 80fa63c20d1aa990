// nibble/quantize.h
#include "nibble/quantize.h"

#include <filesystem>

#include "api/boundary.h"
#include "api/model_path.h"
#include "quant/choose_targets.h"

namespace nibble {
namespace {

Status refuse_same_path(const std::string& model, const std::string& out) {
  std::error_code error;
  if (std::filesystem::exists(out, error) && std::filesystem::equivalent(model, out, error))
    return fail(ErrorCode::kInvalidArgument,
                "{}: the output would replace the model it is made from; choose another -o", out);
  return {};
}

Result<ConversionReport> write_model(const ModelFiles& files, const std::vector<MatrixTarget>& targets,
                                     const std::string& out, const OutputFormat& format, const OutputOptions& options,
                                     ThreadPool& pool) {
  return format.gguf ? write_gguf(files, targets, out, options, pool)
                     : write_folder(files, targets, out, options, pool);
}

}  // namespace

Result<ConversionReport> quantize(const std::string& model, const std::string& out, const QuantizeOptions& options) {
  return at_boundary([&]() -> Result<ConversionReport> {
    if (options.method != "rtn")
      return fail(ErrorCode::kInvalidArgument, "\"{}\": unknown method; known: rtn", options.method);
    NIBBLE_TRY(const QuantScheme scheme, parse_scheme(options.scheme));
    NIBBLE_TRY(const RangeRule range, parse_range(options.range));
    NIBBLE_TRY(const OutputFormat format, choose_output_format(options.to, out, &scheme));
    NIBBLE_TRY(const std::string path, model_path(model));
    NIBBLE_TRY_STATUS(refuse_same_path(path, out));
    NIBBLE_TRY(const ModelFiles::Ptr files, ModelFiles::open(path));
    ThreadPool pool(options.threads);
    NIBBLE_TRY(const std::vector<MatrixTarget> targets,
               rtn_targets(*files, scheme, RtnOptions{range}, options.quantize_head, format, pool));
    OutputOptions output;
    output.what = "quantizing";
    output.shard_bytes = options.shard_bytes;
    output.progress = options.progress;
    output.float_type = ElementType::kBf16;
    return write_model(*files, targets, out, format, output, pool);
  });
}

Result<ConversionReport> convert(const std::string& model, const std::string& out, const ConvertOptions& options) {
  return at_boundary([&]() -> Result<ConversionReport> {
    NIBBLE_TRY(const OutputFormat format, choose_output_format(options.to, out, nullptr));
    NIBBLE_TRY(const std::string path, model_path(model));
    NIBBLE_TRY_STATUS(refuse_same_path(path, out));
    NIBBLE_TRY(const ModelFiles::Ptr files, ModelFiles::open(path));
    ThreadPool pool(options.threads);
    NIBBLE_TRY(const std::vector<MatrixTarget> targets, conversion_targets(*files, format, options.lossy, pool));
    OutputOptions output;
    output.what = "converting";
    output.shard_bytes = options.shard_bytes;
    output.progress = options.progress;
    output.convert_plain = format.float_type.has_value() && !format.gguf;
    output.float_type = format.float_type.value_or(ElementType::kBf16);
    return write_model(*files, targets, out, format, output, pool);
  });
}

}  // namespace nibble
