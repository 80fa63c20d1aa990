// The matrix product: choosing kernels, and one parallel loop over the panels of all matrices of a group.
#include <algorithm>
#include <array>
#include <vector>

#include "base/check.h"
#include "kernel/matmul/matmul_kernel.h"
#include "kernel/matmul/supplement.h"

namespace nibble::kernel {
namespace {

constexpr const KernelTable* kTables[] = {
#if defined(__x86_64__)
    &amx::kMatmulKernels,       &avx512::kMatmulKernels, &avxvnni::kMatmulKernels, &avx2::kMatmulKernels,
#elif defined(__aarch64__)
    &i8mm::kMatmulKernels,
    &dotprod::kMatmulKernels,
    &neon::kMatmulKernels,
#endif
    &reference::kMatmulKernels,
};

/// The kernels that this process uses, by layout and whether activations are int8.
struct Chosen {
  std::array<std::array<const MatmulKernel*, 2>, kLayoutCount> kernels{};
  Chosen() {
    for (int layout = 0; layout < kLayoutCount; ++layout)
      for (const Compute compute : {Compute::kF32, Compute::kInt8})
        if (compute == Compute::kF32 || static_cast<Layout>(layout) <= Layout::kQ8)
          kernels[static_cast<std::size_t>(layout)][compute == Compute::kInt8] =
              &choose_kernel(static_cast<Layout>(layout), compute, cpu_features());
  }
};

/// One matrix of a group: its items follow those of the matrices before it.
struct Job {
  const PackedView* weights;
  const InputView* input;
  const MatmulKernel* kernel;
  float* y;
  std::int64_t ld_y;
  std::int64_t first_item;  ///< of the loop over all jobs
  std::int64_t items;
  std::int64_t matrix_item = 0;  ///< of the matrix: where its items begin
};

constexpr std::int64_t kItemRows = kPanelRows * kPanelsPerItem;

Job make_job(const PackedMatrix& w, const MatmulInput& x, float* y, std::int64_t ld_y, ThreadPool& pool) {
  static const Chosen chosen;
  NIBBLE_CHECK(w.cols() == x.cols());
  NIBBLE_CHECK(x.tokens() <= 1 || ld_y >= w.rows());
  const MatmulInput& input = w.column_order().empty() ? x : x.permuted(w.column_order(), pool);
  const PackedView& view = w.view();
  const bool int8 = view.has_int8 && x.compute() == Compute::kInt8;
  const MatmulKernel& kernel = *chosen.kernels[static_cast<std::size_t>(view.layout)][int8];
  if (!int8) input.prepare_chunks(pool);
  if (kernel.takes_tiles) input.prepare_tiles(pool);
  return {&view, &input.view(), &kernel, y, ld_y, 0, (view.rows + kItemRows - 1) / kItemRows};
}

/// Items [begin, end) of the loop over all jobs.
void run_items(std::span<const Job> jobs, std::int64_t begin, std::int64_t end) {
  for (const Job& job : jobs) {
    const std::int64_t first = std::max(begin - job.first_item, std::int64_t{0});
    const std::int64_t last = std::min(end - job.first_item, job.items);
    if (first < last)
      job.kernel->run(*job.weights, *job.input, job.matrix_item + first, job.matrix_item + last, job.y, job.ld_y);
  }
}

/// Runs jobs as one loop.
void run_jobs(std::span<Job> jobs, ThreadPool& pool) {
  std::int64_t items = 0;
  std::int64_t bytes = 0;
  for (Job& job : jobs) {
    job.first_item = items;
    items += job.items;
    bytes += job.items * kPanelsPerItem * job.weights->panel_bytes;
  }
  const std::int64_t threads = pool.threads();
  constexpr std::int64_t kFewTokens = 8;
  if (jobs.front().input->tokens > kFewTokens) {
    // A few chunks per thread: long enough to stream, short enough to balance.
    constexpr std::int64_t kChunksPerThread = 8;
    const std::int64_t grain = std::max<std::int64_t>(items / (threads * kChunksPerThread), 1);
    return pool.run(static_cast<std::size_t>(items), static_cast<std::size_t>(grain),
                    [&](std::size_t begin, std::size_t end, int) {
                      run_items(jobs, static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end));
                    });
  }
  // Each run begins with getting the activations into order and with weights that nobody has asked for, so a thread's
  // first piece is half of its share, the next a quarter, and the last two are short enough to balance.
  constexpr std::int64_t kLeastBytes = 16 << 10;  // a microsecond
  constexpr std::int64_t kMostPieces = 9;
  std::int64_t pieces = std::min<std::int64_t>(threads, 2);
  while (threads > 1 && pieces < kMostPieces && (bytes / threads) >> pieces >= kLeastBytes) ++pieces;
  pool.run(static_cast<std::size_t>(threads * pieces), 1, [&](std::size_t first, std::size_t last, int) {
    for (auto i = static_cast<std::int64_t>(first); i < static_cast<std::int64_t>(last); ++i) {
      const std::int64_t share = i / pieces * items / threads;
      const std::int64_t of_share = (i / pieces + 1) * items / threads - share;
      const std::int64_t piece = i % pieces;
      const std::int64_t end = piece + 1 < pieces ? of_share - (of_share >> (piece + 1)) : of_share;
      run_items(jobs, share + of_share - (of_share >> piece), share + end);
    }
  });
}

}  // namespace

std::span<const MatmulKernel* const> all_matmul_kernels() {
  static const std::vector<const MatmulKernel*> kernels = [] {
    std::vector<const MatmulKernel*> list;
    for (const KernelTable* table : kTables)
      for (std::size_t i = 0; i < table->count; ++i) list.push_back(&table->kernels[i]);
    return list;
  }();
  return kernels;
}

std::span<const QuantizeKernel* const> all_quantize_kernels() {
  static const std::vector<const QuantizeKernel*> kernels = [] {
    std::vector<const QuantizeKernel*> list;
    for (const KernelTable* table : kTables)
      if (table->quantize.run != nullptr) list.push_back(&table->quantize);
    return list;
  }();
  return kernels;
}

const MatmulKernel& choose_kernel(Layout layout, Compute compute, CpuFeatures features) {
  for (const MatmulKernel* kernel : all_matmul_kernels())
    if (kernel->layout == layout && kernel->int8 == (compute == Compute::kInt8) && (kernel->needs & ~features) == 0)
      return *kernel;
  NIBBLE_CHECK(false);
}

const QuantizeKernel& choose_quantize(CpuFeatures features) {
  for (const QuantizeKernel* kernel : all_quantize_kernels())
    if ((kernel->needs & ~features) == 0) return *kernel;
  NIBBLE_CHECK(false);
}

std::string why_not(const MatmulKernel& kernel, CpuFeatures features) {
  std::string missing;
  for (const std::string& name : cpu_feature_names(kernel.needs & ~features))
    missing += (missing.empty() ? "needs " : ", ") + name;
  return missing;
}

std::string_view layout_word(Layout layout) {
  constexpr std::string_view kWords[kLayoutCount] = {"q1",   "q2",   "q3",  "q4",   "q5",  "q6",     "q8",
                                                     "e4m3", "e5m2", "f16", "bf16", "f32", "generic"};
  return kWords[static_cast<int>(layout)];
}

void matmul(const PackedMatrix& w, const MatmulInput& x, float* y, std::int64_t ld_y, ThreadPool& pool) {
  Job job = make_job(w, x, y, ld_y, pool);
  if (x.tokens() == 0) return;
  run_jobs({&job, 1}, pool);
  add_supplement(w.supplement(), x.view(), y, ld_y, pool);
}

void matmul_rows(const PackedMatrix& w, const MatmulInput& x, std::int64_t row_begin, std::int64_t row_end, float* y,
                 std::int64_t ld_y, ThreadPool& pool) {
  NIBBLE_CHECK(row_begin >= 0 && row_begin < row_end && row_end <= w.rows());
  NIBBLE_CHECK(row_begin % kItemRows == 0 && (row_end % kItemRows == 0 || row_end == w.rows()));
  Job job = make_job(w, x, y, ld_y, pool);
  if (x.tokens() == 0) return;
  job.matrix_item = row_begin / kItemRows;
  job.items = (row_end + kItemRows - 1) / kItemRows - job.matrix_item;
  run_jobs({&job, 1}, pool);
  if (row_end == w.rows()) add_supplement(w.supplement(), x.view(), y, ld_y, pool);
}

void matmul_group(std::span<const PackedMatrix* const> ws, const MatmulInput& x, std::span<float* const> ys,
                  std::span<const std::int64_t> ld_ys, ThreadPool& pool) {
  NIBBLE_CHECK(ws.size() == ys.size() && ws.size() == ld_ys.size());
  if (x.tokens() == 0) return;
  constexpr std::size_t kMost = 16;
  std::array<Job, kMost> jobs;
  std::size_t count = 0;
  for (std::size_t i = 0; i < ws.size(); ++i) {
    // Another column order replaces the permuted activations, so matrices that want one run alone.
    const bool alone = !ws[i]->column_order().empty();
    if (alone) {
      matmul(*ws[i], x, ys[i], ld_ys[i], pool);
      continue;
    }
    if (count == kMost) {
      run_jobs(jobs, pool);
      count = 0;
    }
    jobs[count++] = make_job(*ws[i], x, ys[i], ld_ys[i], pool);
  }
  if (count > 0) run_jobs(std::span(jobs).first(count), pool);
  for (std::size_t i = 0; i < ws.size(); ++i)
    if (ws[i]->column_order().empty()) add_supplement(ws[i]->supplement(), x.view(), ys[i], ld_ys[i], pool);
}

}  // namespace nibble::kernel
