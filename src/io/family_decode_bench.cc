// How fast families turn stored bytes into byte codes: bytes of codes per second on one core, in ranges of 256 rows.
#include <benchmark/benchmark.h>

#include <deque>
#include <random>
#include <string>
#include <vector>

#include "io/awq.h"
#include "io/bitsandbytes.h"
#include "io/compressed_tensors.h"
#include "io/gptq.h"
#include "io/nibble_family.h"

namespace nibble {
namespace {

constexpr std::int64_t kRows = 4096;
constexpr std::int64_t kCols = 4096;
constexpr std::int64_t kRange = 256;

void decode(benchmark::State& state, const Family& family, const char* name) {
  const QuantScheme scheme = parse_scheme(name).value();
  QuantizedMatrix matrix;
  matrix.allocate(scheme, kRows, kCols, 0, kRows);
  std::mt19937 random(1);
  for (auto& code : matrix.codes) code = static_cast<std::uint8_t>(random() & ((1u << scheme.code.bits) - 1u));
  std::deque<std::vector<std::byte>> storage;
  TensorSet tensors;
  const auto plan = family.plan(scheme, kRows, kCols, "m").value();
  for (const EncodedPlan& planned : plan) {
    std::uint64_t count = 1;
    for (const std::int64_t extent : planned.shape) count *= static_cast<std::uint64_t>(extent);
    storage.emplace_back(element_bytes(planned.element, count).value());
    StoredTensor tensor;
    tensor.name = planned.name;
    tensor.shape = planned.shape;
    tensor.element = planned.element;
    tensor.bytes = storage.back();
    (void)tensors.add(std::move(tensor));
  }
  (void)family.encode(
      matrix, "m", [&](std::size_t index, std::uint64_t offset, std::span<const std::byte> bytes) -> Status {
        std::copy(bytes.begin(), bytes.end(), storage[index].begin() + static_cast<std::ptrdiff_t>(offset));
        return {};
      });
  const WrittenModule written{"m", scheme, true, kRows, kCols};
  const Json model = Json::object();
  const Json config = family.quantization_config({&written, 1}, {});
  const auto modules = family.open({"bench", model, config, tensors, false});
  if (!modules.ok()) return state.SkipWithError(modules.error().message.c_str());
  QuantizedMatrix out;
  std::int64_t row = 0;
  for (auto _ : state) {
    (void)modules->front().weight->decode(row, kRange, out);
    benchmark::DoNotOptimize(out.codes.data());
    row = (row + kRange) % kRows;
  }
  state.SetBytesProcessed(state.iterations() * kRange * kCols);
}

BENCHMARK_CAPTURE(decode, compressed_tensors_int4, kCompressedTensorsFamily, "int4-g128-sym");
BENCHMARK_CAPTURE(decode, compressed_tensors_int4_asym, kCompressedTensorsFamily, "int4-g128-asym");
BENCHMARK_CAPTURE(decode, compressed_tensors_int3, kCompressedTensorsFamily, "int3-g128-sym");
BENCHMARK_CAPTURE(decode, compressed_tensors_int8, kCompressedTensorsFamily, "int8-channel-sym+dyn-token");
BENCHMARK_CAPTURE(decode, gptq_int4, kGptqFamily, "int4-g128-sym");
BENCHMARK_CAPTURE(decode, gptq_int3, kGptqFamily, "int3-g128-sym");
BENCHMARK_CAPTURE(decode, awq_int4, kAwqFamily, "int4-g128-asym");
BENCHMARK_CAPTURE(decode, bitsandbytes_nf4, kBitsandbytesFamily, "nf4-g64-dq");
BENCHMARK_CAPTURE(decode, nibble_codebook4, kNibbleFamily, "codebook4-row-g64");

}  // namespace
}  // namespace nibble
