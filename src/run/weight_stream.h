// Running a model that is larger than the memory it may use: its matrices stay in a mapped pack file, are read ahead in
// the order in which they are used, and leave memory when they were.
//
// Matrices are cut into pieces of a few MiB. Some are kept in memory, as many as the bound allows, spread evenly, so
// that the disk reads the others while these are computed with; only what is not kept is read for every token. A thread
// asks for the pieces that come next, a window of them, and drops those that are done.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/mapped_file.h"
#include "kernel/matmul/packed_matrix.h"
#include "model/ops.h"

namespace nibble {

struct StreamedWeights {
  LinearId id = 0;
  const kernel::PackedMatrix* matrix = nullptr;
  std::uint64_t offset = 0;  ///< of its panels in the file
};

class WeightStream {
 public:
  /// `matrices` in the order of their use; they outlive the stream. At most `memory` bytes of the file are in memory,
  /// pages at the edges of pieces aside. kOutOfMemory, with the least that would do, when that is too little.
  static Result<std::unique_ptr<WeightStream>> create(MappedFile::Ptr file, std::span<const StreamedWeights> matrices,
                                                      std::uint64_t memory);
  ~WeightStream();

  /// The least memory with which create() succeeds for these.
  static std::uint64_t least_memory(std::span<const StreamedWeights> matrices);

  /// Calls compute(row_begin, row_end) for all rows of a matrix, in order, while their panels are in memory.
  template <typename F>
  void for_pieces(LinearId id, F&& compute) {
    const Matrix& matrix = matrices_[static_cast<std::size_t>(id)];
    for (std::size_t i = matrix.first; i < matrix.last; ++i) {
      begin(pieces_[i]);
      compute(pieces_[i].row_begin, pieces_[i].row_end);
      end(pieces_[i]);
    }
  }

  /// Bytes that are read from the file each time all matrices are used once.
  std::uint64_t streamed_bytes() const { return streamed_bytes_; }

 private:
  struct Piece {
    std::int64_t row_begin = 0;
    std::int64_t row_end = 0;
    std::size_t offset = 0;
    std::size_t bytes = 0;
    bool kept = false;
    std::size_t turn = 0;  ///< its place among those that are not kept
  };
  struct Matrix {
    std::size_t first = 0;
    std::size_t last = 0;
  };
  WeightStream() = default;
  static std::vector<Piece> cut(const StreamedWeights& matrix);
  void keep_evenly(std::uint64_t memory);
  void begin(const Piece& piece);
  void end(const Piece& piece);
  void read_ahead();
  /// The next piece to ask for, or turns_.size() when the window is full. Called locked.
  std::size_t next_to_read() const;

  MappedFile::Ptr file_;
  std::vector<Matrix> matrices_;  ///< by LinearId
  std::vector<Piece> pieces_;
  std::vector<std::size_t> turns_;  ///< pieces that are not kept, in the order of use
  std::uint64_t window_ = 0;        ///< bytes that are read ahead
  std::uint64_t streamed_bytes_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<bool> asked_for_;    ///< by turn
  std::vector<std::size_t> done_;  ///< turns whose pages are to be dropped
  std::size_t current_ = 0;        ///< the turn at work
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace nibble
