// What a folder and a GGUF file keep account of alike while a model is written: progress, the error and the report of
// every matrix, and the totals.
#pragma once

#include <chrono>
#include <functional>

#include "quant/matrix_stream.h"
#include "quant/model_output.h"

namespace nibble {

class OutputLedger {
 public:
  OutputLedger(const ModelFiles& files, const OutputOptions& options, ThreadPool& pool)
      : files_(files), options_(options), pool_(pool) {}

  /// How the report names a matrix of the output.
  struct Entry {
    std::string name;
    std::string scheme;
    std::int64_t stored_bits = 0;
  };

  /// Hands the target's matrix to `write` tile by tile, as its family wants them, and enters it in the report. The
  /// error is measured where the target is not exact and the options ask for it. kCancelled when the progress says
  /// stop; errors name the matrix.
  Status write(const MatrixTarget& target, Entry entry, const std::function<Status(const QuantizedMatrix&)>& write);

  /// The report of the whole output; the ledger is empty afterwards.
  ConversionReport close(std::string_view family, std::uint64_t bytes);

 private:
  const ModelFiles& files_;
  const OutputOptions& options_;
  ThreadPool& pool_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  ConversionReport report_;
  ErrorSample total_error_;
  std::uint64_t weights_done_ = 0;  ///< in tiles written so far
  std::int64_t weights_ = 0;
  std::int64_t stored_bits_ = 0;
};

}  // namespace nibble
