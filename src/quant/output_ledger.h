// What a folder and a GGUF file do alike while a model is written: they stream its matrices, tell how far they are, and
// keep account of the error of every matrix and of the totals.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

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

  /// Enters a target, which is referred to.
  void enter(const MatrixTarget& target, Entry entry);

  /// Takes the tiles of entry number `entry`; called by many threads at once and in any order.
  using TileWriter = std::function<Status(std::size_t entry, const QuantizedMatrix& tile)>;
  /// Streams all that was entered. The error is measured where a target is not exact and the options ask for it.
  /// kCancelled when the progress says stop; errors name the matrix.
  Status write(const TileWriter& write);

  /// The report of the whole output; the ledger is empty afterwards.
  ConversionReport close(std::string_view family, std::uint64_t bytes);

 private:
  const ModelFiles& files_;
  const OutputOptions& options_;
  ThreadPool& pool_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::vector<StreamedMatrix> streamed_;
  ConversionReport report_;  ///< its tensors are the entries
  ErrorSample total_error_;
  std::int64_t weights_ = 0;
  std::int64_t stored_bits_ = 0;
};

}  // namespace nibble
