// Importance matrices: which input columns of every matrix matter, measured on a text; for quantizing with.
#pragma once

#include <cstdint>
#include <string>

#include "nibble/model.h"
#include "nibble/progress.h"
#include "nibble/result.h"

namespace nibble {

struct ImatrixOptions {
  std::string text_file;       ///< UTF-8
  std::int64_t context = 512;  ///< tokens of a chunk
  std::int64_t chunks = 0;     ///< 0: all whole chunks
  LoadOptions model;
  Progress progress;
};

struct ImatrixReport {
  std::int64_t entries = 0;  ///< matrices with statistics
  std::int64_t chunks = 0;
  std::int64_t tokens = 0;
  double seconds = 0;
};

/// Runs `model` over the text, cut as evaluate() cuts it, and writes the sums of squares of every block linear's inputs
/// to `out` in llama.cpp's GGUF form. The file appears whole or not at all.
Result<ImatrixReport> make_imatrix(const std::string& model, const std::string& out, const ImatrixOptions& options);

}  // namespace nibble
