// Pulling all matrices of a model through their sources in tiles of bounded size: decoded and consumed by all threads,
// which wait for each other only at the very end.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// Squared error and squared norm of the rows that were compared.
struct ErrorSample {
  double squared_error = 0;
  double squared_norm = 0;
  void add(const ErrorSample& other) {
    squared_error += other.squared_error;
    squared_norm += other.squared_norm;
  }
  /// |w - q| / |w|
  double relative() const;
};

/// A matrix to be streamed.
struct StreamedMatrix {
  std::string name;                        ///< for messages
  const MatrixSource* source = nullptr;    ///< what is decoded
  const MatrixSource* original = nullptr;  ///< what it was made from
  std::int64_t row_step = 1;               ///< tiles begin at multiples of it; 0: one tile with all rows
  bool measure_error = false;              ///< compare every eighth tile (the first included) with `original`
};

struct TileConsumer {
  /// Takes the tiles of a matrix (its position in the list), which cover it once; called by many threads at once and in
  /// any order.
  std::function<Status(std::size_t matrix, const QuantizedMatrix& tile)> consume;
  /// Called after each tile, by one thread at a time: so many weights more are done.
  std::function<Status(std::int64_t weights)> advance;
};

/// Streams the matrices, in order as far as threads do. Rows that are done are released in their sources. Gives the
/// sampled error of each matrix (empty where none was asked for), or the error of the first tile that failed; neither
/// depends on the number of threads.
Result<std::vector<ErrorSample>> stream_matrices(std::span<const StreamedMatrix> matrices, ThreadPool& pool,
                                                 const TileConsumer& consumer);

}  // namespace nibble
