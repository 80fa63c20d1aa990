// Writing a model: every matrix in the scheme chosen for it, streamed tile by tile, with everything else carried over.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "io/family.h"
#include "io/gguf.h"
#include "model/model_files.h"
#include "nibble/progress.h"
#include "nibble/quantize.h"
#include "quant/fold/model_changes.h"

namespace nibble {

/// What becomes of one matrix of the model.
struct MatrixTarget {
  LinearId id = kNoWeight;
  MatrixPtr original;              ///< as the source holds it, Hugging Face row order
  MatrixPtr matrix;                ///< in the target's scheme, same row order; may be `original` itself
  const Family* family = nullptr;  ///< how it is stored; nullptr: a plain float tensor (folders only)
  bool exact = false;              ///< known to keep every value
  bool keeps_codes = false;        ///< the codes are the source's; at most scales and offsets were rounded
  /// Gives `matrix` from `original` with its rows in another order, where each row is quantized by itself; absent where
  /// `matrix` must be reordered instead.
  std::function<Result<MatrixPtr>(MatrixPtr)> quantize{};
  MatrixPtr reference{};  ///< what the error is measured against; null: `original`
};

struct OutputOptions {
  std::string what;                            ///< the word for progress: "quantizing"
  ElementType float_type = ElementType::kF32;  ///< hf:T; without, a GGUF source's where it keeps no matrix in floats
  bool convert_plain = false;                  ///< store float tensors that are no matrices as float_type too
  bool measure_error = true;                   ///< sample the relative error of matrices that are not exact
  std::uint64_t shard_bytes = 0;               ///< 0: the container's default
  int gguf_file_type = -1;                     ///< general.file_type; -1: by the most common type
  std::vector<std::pair<std::string, GgufValue>> gguf_metadata;  ///< further keys: quantize.imatrix.*
  ModelChanges changes;  ///< vectors and biases to write in place of the source's, in the source's type
  Progress progress;
};

/// Writes a Hugging Face folder: weights, config.json with its quantization_config, tokenizer, chat template, and the
/// source's other files. Appears under `out` only when complete.
Result<ConversionReport> write_folder(const ModelFiles& files, const std::vector<MatrixTarget>& targets,
                                      const std::filesystem::path& out, const OutputOptions& options, ThreadPool& pool);

/// Writes a GGUF file: metadata, tokenizer and tensors under GGUF's names and row order.
Result<ConversionReport> write_gguf(const ModelFiles& files, const std::vector<MatrixTarget>& targets,
                                    const std::filesystem::path& out, const OutputOptions& options, ThreadPool& pool);

/// Bytes of the tensor file that these would write if it was one. Of matrices only scheme and shape are looked at.
Result<std::uint64_t> folder_bytes(const ModelFiles& files, const std::vector<MatrixTarget>& targets,
                                   const OutputOptions& options, ThreadPool& pool);
Result<std::uint64_t> gguf_file_bytes(const ModelFiles& files, const std::vector<MatrixTarget>& targets,
                                      const OutputOptions& options, ThreadPool& pool);

}  // namespace nibble
