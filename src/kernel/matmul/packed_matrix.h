// The matrix product of the engine: y[t, r] = sum over c of W[r, c] * x[t, c], W packed from any QuantScheme.
//
// Each output is summed in one order (packed_view.h states it), so its bits depend neither on the number of threads nor
// on how many tokens are computed at once nor on the instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "tensor/quantized_matrix.h"

namespace nibble {
struct SupplementValues;
}

namespace nibble::kernel {

enum class Compute : std::uint8_t {
  kInt8,  ///< activations quantized to int8 in groups of 32 columns where the weights are integers or int8 tables
  kF32,   ///< everything in float32
};

struct PackedView;
struct InputView;

/// Memory for the panels of matrices that live together, side by side in huge pages. In pages of 4 KiB, which is what a
/// matrix below 2 MiB gets alone, a processor looks up so many addresses that a product with few tokens takes a third
/// longer. A piece of memory is given back when the last of its matrices goes. Not for concurrent use.
class PanelArena {
 public:
  PanelArena();
  PanelArena(const PanelArena&) = delete;
  PanelArena& operator=(const PanelArena&) = delete;
  ~PanelArena();

  /// Aligned to 64 bytes, not initialized; null when the memory is not to be had.
  std::shared_ptr<std::uint8_t> take(std::size_t size);

 private:
  std::shared_ptr<std::uint8_t> slab_;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
};

/// Weights in a kernel's layout. Movable, immutable.
class PackedMatrix {
 public:
  /// Decodes and packs tile by tile; never holds more than a few tiles of byte-per-weight codes. Calls
  /// source.release() on rows that are done. Every scheme packs: what the fast layouts cannot hold goes generic. The
  /// panels lie in `arena`, if there is one.
  static Result<PackedMatrix> pack(const MatrixSource& source, ThreadPool& pool, PanelArena* arena = nullptr);

  PackedMatrix();
  PackedMatrix(PackedMatrix&&) noexcept;
  PackedMatrix& operator=(PackedMatrix&&) noexcept;
  ~PackedMatrix();

  std::int64_t rows() const;
  std::int64_t cols() const;
  /// Bytes of weights, scales, zeros, offsets and tables as packed, padding included.
  std::size_t packed_bytes() const;
  /// Codes and planes: "q4 scale f16/32 zero u8/128".
  std::string_view layout_name() const;

  /// The dequantized row: equal to the hub's dequantize() bit for bit, for every layout.
  void decode_row(std::int64_t row, float* out) const;

  /// What kernels see; valid as long as this object is not moved from.
  const PackedView& view() const;
  /// Columns in the order in which they are packed (GPTQ's g_idx), or nothing when that is their own order.
  std::span<const std::int32_t> column_order() const;
  /// What is added to the panels' values; empty: nothing.
  const SupplementValues& supplement() const;

  struct Storage;
  /// For packing and packed_image.h.
  explicit PackedMatrix(std::unique_ptr<Storage> storage);
  const Storage& storage() const;

 private:
  std::unique_ptr<Storage> storage_;
};

/// Activations prepared once for all matrices that share them (q, k, v; gate, up). Reusable; its buffers only grow.
class MatmulInput {
 public:
  MatmulInput();
  MatmulInput(MatmulInput&&) noexcept;
  MatmulInput& operator=(MatmulInput&&) noexcept;
  ~MatmulInput();

  /// x [tokens, cols], rows `ld` floats apart. x is not copied: it stays valid and unchanged while this input is used.
  void set(const float* x, std::int64_t tokens, std::int64_t cols, std::int64_t ld, Compute compute, ThreadPool& pool);

  std::int64_t tokens() const;
  std::int64_t cols() const;
  Compute compute() const;
  const InputView& view() const;
  /// The same activations with their columns in `order`; kept for the next matrix with this order. Not for concurrent
  /// use.
  const MatmulInput& permuted(std::span<const std::int32_t> order, ThreadPool& pool) const;

  /// Prepares InputView::chunks, where there are enough tokens for them. Not for concurrent use.
  void prepare_chunks(ThreadPool& pool) const;
  /// Prepares InputView::tiles, where there are enough tokens for them. Not for concurrent use.
  void prepare_tiles(ThreadPool& pool) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// y[t * ld_y + r] for all tokens and rows. y overlaps neither x nor the weights.
void matmul(const PackedMatrix& w, const MatmulInput& x, float* y, std::int64_t ld_y, ThreadPool& pool);

/// A part of matmul(): rows [row_begin, row_end), multiples of 32 or the matrix's end. Parts are computed in ascending
/// order; what a supplement adds to all rows comes with the last.
void matmul_rows(const PackedMatrix& w, const MatmulInput& x, std::int64_t row_begin, std::int64_t row_end, float* y,
                 std::int64_t ld_y, ThreadPool& pool);

/// The products of several matrices with one input, in one parallel loop.
void matmul_group(std::span<const PackedMatrix* const> ws, const MatmulInput& x, std::span<float* const> ys,
                  std::span<const std::int64_t> ld_ys, ThreadPool& pool);

}  // namespace nibble::kernel
