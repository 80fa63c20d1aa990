// Deciding what every matrix of a model becomes: by a scheme to quantize to, or by a family to convert to.
#pragma once

#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "quant/linear_schemes.h"
#include "quant/model_output.h"
#include "quant/rtn/rtn.h"

namespace nibble {

/// Where an output goes.
struct OutputFormat {
  bool gguf = false;                      ///< a GGUF file, else a folder
  const Family* family = nullptr;         ///< of quantized matrices; nullptr: floats only
  std::optional<ElementType> float_type;  ///< hf:T or gguf:f16 ...: everything in this type
  int ggml_type = -1;                     ///< gguf:TYPE with a block type
};

/// `to` as on the command line: gguf[:TYPE], hf:f32|f16|bf16, or a family's name. Empty: gguf when `out` ends in .gguf,
/// else the first of compressed-tensors, bitsandbytes and nibble that can express `scheme`.
Result<OutputFormat> choose_output_format(const std::string& to, const std::string& out, const QuantScheme* scheme);

/// Whether the family holds schemes beside each other; else an error that names those that do, and ends in `or_else`.
Status check_mixes_schemes(const Family& family, std::string_view or_else);

/// Gives a linear's matrix in the scheme asked for.
using MatrixMethod = std::function<Result<MatrixPtr>(LinearId id, MatrixPtr original)>;

/// The matrix as the format's family stores it, every value kept; else an error that says why and names the linear.
Result<MatrixPtr> stored_exactly(const MatrixPtr& matrix, const LinearInfo& info, const OutputFormat& format);

/// The block linears (and, with `quantize_head`, embedding and head) as `method` quantizes them to `schemes`; the
/// others, and those of an embedding and head that have their scheme, as they are. `transformed`: where the originals
/// come from when it is not the files (a model whose channels were scaled).
Result<std::vector<MatrixTarget>> method_targets(const ModelFiles& files, const LinearSchemes& schemes,
                                                 const MatrixMethod& method, bool quantize_head,
                                                 const OutputFormat& format, const ModelWeights* transformed = nullptr);

/// method_targets of round-to-nearest.
Result<std::vector<MatrixTarget>> rtn_targets(const ModelFiles& files, const LinearSchemes& schemes,
                                              const RtnOptions& options, bool quantize_head, const OutputFormat& format,
                                              ThreadPool& pool);

/// The same values in another family: exact where `can_express` says so; else requantized when `lossy`, else an error
/// that says how.
Result<std::vector<MatrixTarget>> conversion_targets(const ModelFiles& files, const OutputFormat& format, bool lossy,
                                                     ThreadPool& pool);

/// Writes what was chosen, as a GGUF file or a folder.
Result<ConversionReport> write_model(const ModelFiles& files, const std::vector<MatrixTarget>& targets,
                                     const std::filesystem::path& out, const OutputFormat& format,
                                     const OutputOptions& options, ThreadPool& pool);

}  // namespace nibble
