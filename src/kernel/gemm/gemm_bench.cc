// Speed of float products in the three orientations of training, on a block's shapes.
//   bench_kernel --benchmark_filter=gemm
// GFLOP/s = 2 m n k / time of the best and the median pass; compare with the roofline that bench_kernel prints.
#include "kernel/gemm/gemm.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <vector>

namespace nibble::kernel {
namespace {

constexpr std::int64_t kTokens = 4096;

enum Orientation { kForward, kInputGradient, kWeightGradient };

/// Arguments: orientation, rows and columns of the weights, threads.
void gemm_of_training(benchmark::State& state) {
  const std::int64_t rows = state.range(1);
  const std::int64_t cols = state.range(2);
  ThreadPool pool(static_cast<int>(state.range(3)));
  std::vector<float> weights(static_cast<std::size_t>(rows * cols), 0.5f);
  std::vector<float> x(static_cast<std::size_t>(kTokens * cols), 0.25f);
  std::vector<float> y(static_cast<std::size_t>(kTokens * rows), 0.125f);
  GemmArgs args{GemmInput::rows(x.data(), cols),
                GemmInput::transposed(weights.data(), cols),
                kTokens,
                rows,
                cols,
                y.data(),
                rows};
  if (state.range(0) == kInputGradient)
    args = {
        GemmInput::rows(y.data(), rows), GemmInput::rows(weights.data(), cols), kTokens, cols, rows, x.data(), cols};
  if (state.range(0) == kWeightGradient)
    args = {GemmInput::transposed(y.data(), rows),
            GemmInput::rows(x.data(), cols),
            rows,
            cols,
            kTokens,
            weights.data(),
            cols};
  std::vector<double> times;
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    gemm(args, pool);
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    state.SetIterationTime(times.back());
  }
  std::sort(times.begin(), times.end());
  const double flops = 2.0 * static_cast<double>(args.m * args.n) * static_cast<double>(args.k);
  state.counters["best_GFLOP/s"] = flops / times.front() * 1e-9;
  state.counters["median_GFLOP/s"] = flops / times[times.size() / 2] * 1e-9;
}
BENCHMARK(gemm_of_training)
    ->ArgsProduct({{kForward, kInputGradient, kWeightGradient}, {576}, {1536}, {1, 2}})
    ->ArgsProduct({{kForward, kInputGradient, kWeightGradient}, {192, 1536}, {576}, {1, 2}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace nibble::kernel
