// Speed of the matrix product beside what the machine gives in the same run: read bandwidth from DRAM and fp32
// multiply-add peak. Weights total over 512 MiB, so that they come from DRAM.
//   bench_kernel --benchmark_filter='roofline|matmul'
// Counters are of the best and the median pass: GB/s of packed weights, GOP/s = 2 * rows * cols * tokens / time.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernel/matmul/matmul_kernel.h"

namespace nibble::kernel {
namespace {

constexpr std::int64_t kRows = 5632;
constexpr std::int64_t kCols = 2048;
constexpr std::size_t kWeightBytes = std::size_t{512} << 20;

/// With one thread its own processor time, which a busy machine disturbs less; else wall time.
double seconds(int threads) {
  if (threads == 1) {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Times of passes; reports amounts per second of the best and the median pass.
class Passes {
 public:
  explicit Passes(int threads) : threads_(threads) {}
  template <typename F>
  void time(benchmark::State& state, F&& pass) {
    const double begin = seconds(threads_);
    pass();
    times_.push_back(seconds(threads_) - begin);
    state.SetIterationTime(times_.back());
  }
  void report(benchmark::State& state, const std::string& unit, double amount) {
    std::sort(times_.begin(), times_.end());
    state.counters["best_" + unit] = amount / times_.front() / 1e9;
    state.counters["median_" + unit] = amount / times_[times_.size() / 2] / 1e9;
  }

 private:
  int threads_;
  std::vector<double> times_;
};

/// The same seeded matrix packed again and again until the weights fill kWeightBytes (or `count` times).
struct Weights {
  std::vector<PackedMatrix> matrices;
  std::size_t bytes = 0;
};
Weights make_weights(const std::string& scheme_name, std::size_t count, ThreadPool& pool) {
  std::mt19937 random(1);
  const QuantScheme scheme = *parse_scheme(scheme_name);
  QuantizedMatrix m;
  m.allocate(scheme, kRows, kCols, 0, kRows);
  const unsigned mask = scheme.is_float() ? 255u : (1u << scheme.code.bits) - 1u;
  for (std::uint8_t& code : m.codes) code = static_cast<std::uint8_t>(random() & mask);
  if (scheme.code.kind == CodeFormat::Kind::kFloat) {
    std::vector<float> values(static_cast<std::size_t>(kRows * kCols));
    for (float& value : values) value = static_cast<float>(random() % 2001) * 1e-3f - 1.0f;
    encode_elements(scheme.code.float_type, values.data(), values.size(), reinterpret_cast<std::byte*>(m.codes.data()));
  }
  if (scheme.scale) {
    std::vector<float> values(static_cast<std::size_t>(plane_entries_held(*scheme.scale, m.scale)));
    for (float& value : values) value = static_cast<float>(random() % 1000 + 1) * 1e-4f;
    if (!scheme.scale->nested)
      encode_elements(scheme.scale->element, values.data(), values.size(), m.scale.entries.data());
  }
  const MatrixPtr source = make_source(std::move(m));
  Weights weights;
  while (count > 0 ? weights.matrices.size() < count : weights.bytes < kWeightBytes) {
    weights.matrices.push_back(std::move(PackedMatrix::pack(*source, pool)).value());
    weights.bytes += weights.matrices.back().packed_bytes();
  }
  return weights;
}

void run_matmul(benchmark::State& state, const std::string& scheme, Compute compute, std::int64_t tokens, int threads) {
  ThreadPool pool(threads);
  // Few matrices will do where arithmetic takes the time.
  const Weights weights = make_weights(scheme, tokens > 16 ? 2 : 0, pool);
  std::mt19937 random(2);
  std::vector<float> x(static_cast<std::size_t>(tokens * kCols));
  for (float& value : x) value = static_cast<float>(random() % 2001) * 1e-3f - 1.0f;
  std::vector<float> y(static_cast<std::size_t>(tokens * kRows));
  Passes passes(threads);
  for (auto _ : state)
    passes.time(state, [&] {
      MatmulInput input;
      for (const PackedMatrix& w : weights.matrices) {
        input.set(x.data(), tokens, kCols, kCols, compute, pool);
        matmul(w, input, y.data(), kRows, pool);
      }
    });
  const double operations =
      2.0 * static_cast<double>(kRows * kCols * tokens) * static_cast<double>(weights.matrices.size());
  passes.report(state, "GB/s", static_cast<double>(weights.bytes));
  passes.report(state, "GOP/s", operations);
  state.SetLabel(std::string(weights.matrices.front().layout_name()));
}

void run_pack(benchmark::State& state, const std::string& scheme, int threads) {
  ThreadPool pool(threads);
  Passes passes(threads);
  for (auto _ : state) passes.time(state, [&] { make_weights(scheme, 1, pool); });
  passes.report(state, "Gweights/s", static_cast<double>(kRows * kCols));
}

/// Sums a buffer of 512 MiB, each thread its part.
void run_read(benchmark::State& state, int threads) {
  ThreadPool pool(threads);
  void* const memory = mmap(nullptr, kWeightBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  madvise(memory, kWeightBytes, MADV_HUGEPAGE);
  auto* const words = static_cast<std::uint64_t*>(memory);
  const std::size_t count = kWeightBytes / sizeof(std::uint64_t);
  std::fill_n(words, count, std::uint64_t{1});
  Passes passes(threads);
  for (auto _ : state)
    passes.time(state, [&] {
      pool.run(count / 8, count / 8 / 64, [&](std::size_t begin, std::size_t end, int) {
        std::uint64_t sums[8] = {};
        for (std::size_t i = begin; i < end; ++i) {
          __builtin_prefetch(words + 8 * i + 512);
          for (std::size_t j = 0; j < 8; ++j) sums[j] += words[8 * i + j];
        }
        for (const std::uint64_t sum : sums) benchmark::DoNotOptimize(sum);
      });
    });
  passes.report(state, "GB/s", static_cast<double>(kWeightBytes));
  munmap(memory, kWeightBytes);
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) void multiply_add_512(long steps) {
  __m512 sums[16];
  for (int i = 0; i < 16; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  __m512 a = _mm512_set1_ps(0.999f);
  for (long step = 0; step < steps; ++step) {
    for (auto& sum : sums) sum = _mm512_fmadd_ps(sum, a, a);
    __asm__ volatile("" : "+v"(a));
  }
  for (const auto& sum : sums) benchmark::DoNotOptimize(_mm512_cvtss_f32(sum));
}

void run_multiply_add(benchmark::State& state) {
  if ((detected_cpu_features() & kAvx512) == 0) return state.SkipWithError("needs avx512");
  constexpr long kSteps = 2000000;
  Passes passes(1);
  for (auto _ : state) passes.time(state, [] { multiply_add_512(kSteps); });
  passes.report(state, "GFLOP/s", 2.0 * 16 * 16 * kSteps);
}
#endif

struct Case {
  const char* scheme;
  Compute compute;
};
const Case kCases[] = {
    {"int4-g32-sym", Compute::kInt8}, {"int4-g128-asym", Compute::kInt8},
    {"int8-g32-sym", Compute::kInt8}, {"int2-g32-sym", Compute::kInt8},
    {"int6-g32-sym", Compute::kInt8}, {"int4-g32-sym", Compute::kF32},
    {"nf4-g64", Compute::kF32},       {"fp8-e4m3-channel", Compute::kF32},
    {"bf16", Compute::kF32},          {"f16", Compute::kF32},
    {"f32", Compute::kF32},           {"codebook4-row", Compute::kF32},
};

const bool kRegistered = [] {
  for (const int threads : {1, 2}) {
    const std::string suffix = "/threads:" + std::to_string(threads);
    benchmark::RegisterBenchmark(("roofline/read" + suffix).c_str(), [=](benchmark::State& s) {
      run_read(s, threads);
    })->UseManualTime();
    for (const Case& c : kCases)
      for (const std::int64_t tokens : {1, 4, 8, 128, 512}) {
        const std::string name = "matmul/" + std::string(c.scheme) + (c.compute == Compute::kInt8 ? "/int8" : "/f32") +
                                 "/tokens:" + std::to_string(tokens) + suffix;
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& s) {
          run_matmul(s, c.scheme, c.compute, tokens, threads);
        })->UseManualTime();
      }
    for (const char* scheme : {"int4-g32-sym", "bf16"})
      benchmark::RegisterBenchmark(("pack/" + std::string(scheme) + suffix).c_str(), [=](benchmark::State& s) {
        run_pack(s, scheme, threads);
      })->UseManualTime();
  }
#if defined(__x86_64__)
  benchmark::RegisterBenchmark("roofline/multiply_add/threads:1", run_multiply_add)->UseManualTime();
#endif
  return true;
}();

}  // namespace
}  // namespace nibble::kernel
