// The loops around the tiles: b is copied into panels as wide as a tile, some runs at once; blocks of rows of a, copied
// into panels too, meet all of them. A panel of b stays in the first cache, the block of a in the second.
#include "kernel/gemm/gemm.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "base/check.h"

namespace nibble::kernel {

namespace reference {
extern const GemmKernel kGemm;
}
namespace avx2 {
extern const GemmKernel kGemm;
}
namespace avx512 {
extern const GemmKernel kGemm;
}
namespace neon {
extern const GemmKernel kGemm;
}

std::span<const GemmKernel* const> gemm_kernels() {
  static constexpr const GemmKernel* kKernels[] = {
    &reference::kGemm,
#if defined(__x86_64__)
    &avx2::kGemm,
    &avx512::kGemm
#elif defined(__aarch64__)
    &neon::kGemm
#endif
  };
  return kKernels;
}

namespace {

constexpr std::int64_t kBlockRows = 112;  ///< of a: 112 KiB
/// Of b that are copied at once: 8 MiB, at least a run.
constexpr std::int64_t kPackedCols = 8192;
constexpr std::int64_t kPackedFloats = kPackedCols * kGemmRun;

/// Memory for panels, aligned, kept by its thread for the next product.
class PanelBuffer {
 public:
  PanelBuffer() = default;
  ~PanelBuffer() { ::operator delete(data_, kAlignment); }
  PanelBuffer(const PanelBuffer&) = delete;
  PanelBuffer& operator=(const PanelBuffer&) = delete;

  float* of(std::int64_t count) {
    if (count > capacity_) {
      ::operator delete(data_, kAlignment);
      data_ = nullptr;
      data_ = static_cast<float*>(::operator new(static_cast<std::size_t>(count) * sizeof(float), kAlignment));
      capacity_ = count;
    }
    return data_;
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  float* data_ = nullptr;
  std::int64_t capacity_ = 0;
};

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// One run of products of one range of columns.
struct Run {
  std::int64_t first = 0;  ///< product
  std::int64_t depth = 0;
  std::int64_t first_col = 0;
  std::int64_t cols = 0;
};

/// out[p * width + j] = b[p, j]; columns beyond `cols` are 0.
void pack_columns(const GemmInput& b, const Run& run, std::int64_t col, int width, float* out) {
  const std::int64_t cols = std::min<std::int64_t>(width, run.first_col + run.cols - col);
  const float* from = b.data + run.first * b.row_stride + col * b.col_stride;
  if (b.col_stride == 1) {
    for (std::int64_t p = 0; p < run.depth; ++p) {
      std::memcpy(out + p * width, from + p * b.row_stride, static_cast<std::size_t>(cols) * sizeof(float));
      std::fill(out + p * width + cols, out + (p + 1) * width, 0.0f);
    }
    return;
  }
  if (cols < width) std::fill(out, out + run.depth * width, 0.0f);
  constexpr std::int64_t kPiece = 16;  // products of a cache line of b
  for (std::int64_t begin = 0; begin < run.depth; begin += kPiece)
    for (std::int64_t j = 0; j < cols; ++j)
      for (std::int64_t p = begin; p < std::min(begin + kPiece, run.depth); ++p)
        out[p * width + j] = from[j * b.col_stride + p];
}

/// Asks for `count` floats from `from` on.
void ask_for(const float* from, std::int64_t count) {
  constexpr std::int64_t kLine = 16;
  for (std::int64_t i = 0; i < count; i += kLine) __builtin_prefetch(from + i);
}

/// Rows of a of one run as GemmKernel's tiles read them, tile after tile of `height` rows; rows that a does not have
/// are 0. The pieces that are copied lie far apart in memory: those of the next steps are asked for.
void pack_rows(const GemmInput& a, const Run& run, std::int64_t row, std::int64_t rows, std::int64_t height,
               std::int64_t tiles, float* out) {
  constexpr std::int64_t kAhead = 512;  // floats
  const float* from = a.data + row * a.row_stride + run.first * a.col_stride;
  if (a.col_stride == 1) {
    const std::int64_t ahead = divide_up(kAhead, run.depth);
    for (std::int64_t i = 0; i < height * tiles; ++i, out += kGemmRun) {
      if (i + ahead < rows) ask_for(from + (i + ahead) * a.row_stride, run.depth);
      if (i < rows)
        std::memcpy(out, from + i * a.row_stride, static_cast<std::size_t>(run.depth) * sizeof(float));
      else
        std::fill_n(out, run.depth, 0.0f);
    }
    return;
  }
  const std::int64_t ahead = divide_up(kAhead, rows);
  for (std::int64_t p = 0; p < run.depth; ++p) {
    if (p + ahead < run.depth) ask_for(from + (p + ahead) * a.col_stride, rows);
    for (std::int64_t t = 0; t < tiles; ++t) {
      float* tile = out + t * height * kGemmRun + p * height;
      const std::int64_t there = std::min(height, rows - t * height);
      std::memcpy(tile, from + p * a.col_stride + t * height, static_cast<std::size_t>(there) * sizeof(float));
      std::fill(tile + there, tile + height, 0.0f);
    }
  }
}

class Product {
 public:
  Product(const GemmKernel& kernel, const GemmArgs& args)
      : kernel_(kernel), args_(args), tile_(args.a.col_stride == 1 ? kernel.by_rows : kernel.by_products) {
    NIBBLE_CHECK(args.m >= 0 && args.n >= 0 && args.k >= 0 && args.ldc >= args.n);
    NIBBLE_CHECK(args.a.row_stride == 1 || args.a.col_stride == 1);
    NIBBLE_CHECK(args.b.row_stride == 1 || args.b.col_stride == 1);
  }

  /// loop(count, body) calls body(i) for all i < count, in any order, and waits.
  template <typename Loop>
  void compute(Loop&& loop) {
    if (args_.k == 0 && !args_.add)
      for (std::int64_t i = 0; i < args_.m; ++i) std::fill_n(args_.c + i * args_.ldc, args_.n, 0.0f);
    for (std::int64_t col = 0; col < args_.n; col += kPackedCols) {
      const std::int64_t cols = std::min(kPackedCols, args_.n - col);
      const std::int64_t depth = std::max<std::int64_t>(kPackedFloats / cols / kGemmRun, 1) * kGemmRun;
      for (std::int64_t first = 0; first < args_.k; first += depth)
        compute_pass(loop, {first, std::min(depth, args_.k - first), col, cols});
    }
  }

 private:
  /// Some whole runs of some columns: all of b is copied, then read by all blocks of rows.
  template <typename Loop>
  void compute_pass(Loop&& loop, const Run& pass) {
    thread_local PanelBuffer buffer;
    const std::int64_t panels = divide_up(pass.cols, kernel_.cols);
    const std::int64_t runs = divide_up(pass.depth, kGemmRun);
    const std::int64_t run_size = panels * kernel_.cols * kGemmRun;
    float* b = buffer.of(runs * run_size);
    loop(runs * panels, [&](std::int64_t i) {
      const Run run = run_of(pass, i / panels);
      const std::int64_t col = i % panels * kernel_.cols;
      pack_columns(args_.b, run, pass.first_col + col, kernel_.cols, b + i / panels * run_size + col * run.depth);
    });
    const std::int64_t blocks = divide_up(args_.m, kBlockRows);
    // Blocks of about equal height, so that threads end together.
    const std::int64_t tiles = divide_up(divide_up(args_.m, std::max<std::int64_t>(blocks, 1)), kernel_.rows);
    loop(blocks, [&](std::int64_t block) {
      for (std::int64_t i = 0; i < runs; ++i)
        multiply(run_of(pass, i), b + i * run_size, block * tiles * kernel_.rows, tiles);
    });
  }

  static Run run_of(const Run& pass, std::int64_t i) {
    return {pass.first + i * kGemmRun, std::min(kGemmRun, pass.depth - i * kGemmRun), pass.first_col, pass.cols};
  }

  /// At most `tiles` tiles of rows from `first_row` on, against all columns of a run.
  void multiply(const Run& run, const float* b, std::int64_t first_row, std::int64_t tiles) {
    thread_local PanelBuffer buffer;
    const std::int64_t panel_size = kernel_.rows * kGemmRun;
    float* a = buffer.of(tiles * panel_size);
    tiles = std::min(tiles, divide_up(args_.m - first_row, kernel_.rows));
    const std::int64_t rows = std::min(tiles * kernel_.rows, args_.m - first_row);
    pack_rows(args_.a, run, first_row, rows, kernel_.rows, tiles, a);
    for (std::int64_t col = 0; col < run.cols; col += kernel_.cols)
      for (std::int64_t t = 0; t < tiles; ++t)
        write_tile(run, a + t * panel_size, b + col * run.depth, first_row + t * kernel_.rows, col);
  }

  void write_tile(const Run& run, const float* a, const float* b, std::int64_t row, std::int64_t col) {
    const bool add = args_.add || run.first > 0;
    const std::int64_t rows = std::min<std::int64_t>(kernel_.rows, args_.m - row);
    const std::int64_t cols = std::min<std::int64_t>(kernel_.cols, run.cols - col);
    float* c = args_.c + row * args_.ldc + run.first_col + col;
    if (rows == kernel_.rows && cols == kernel_.cols) return tile_(a, b, run.depth, c, args_.ldc, add);
    alignas(64) float whole[kGemmMaxTile];
    tile_(a, b, run.depth, whole, kernel_.cols, false);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < cols; ++j) {
        const float sum = whole[i * kernel_.cols + j];
        float& out = c[i * args_.ldc + j];
        out = add ? out + sum : sum;
      }
  }

  const GemmKernel& kernel_;
  const GemmArgs& args_;
  GemmKernel::Tile tile_;
};

const GemmKernel& chosen() {
  static const GemmKernel& kernel = best_kernel(gemm_kernels(), cpu_features());
  return kernel;
}

}  // namespace

void gemm_with(const GemmKernel& kernel, const GemmArgs& args, ThreadPool& pool) {
  Product(kernel, args).compute([&](std::int64_t count, auto&& body) {
    pool.run(static_cast<std::size_t>(count), 1, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t i = begin; i < end; ++i) body(static_cast<std::int64_t>(i));
    });
  });
}

void gemm(const GemmArgs& args, ThreadPool& pool) { gemm_with(chosen(), args, pool); }

void gemm_alone(const GemmArgs& args) {
  Product(chosen(), args).compute([](std::int64_t count, auto&& body) {
    for (std::int64_t i = 0; i < count; ++i) body(i);
  });
}

}  // namespace nibble::kernel
