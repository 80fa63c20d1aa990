// Measuring speed: prompt and decode tokens per second beside what the memory and the arithmetic units give.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "nibble/model.h"
#include "nibble/result.h"

namespace nibble {

struct BenchOptions {
  std::string model;   ///< a path; or empty with a shape
  std::string shape;   ///< "llama-1.1b": seeded random weights made in memory
  std::string scheme;  ///< of a shape's weights (head included); quantize-on-load for a model
  std::int64_t prompt = 512;
  std::int64_t decode = 128;
  std::int64_t depth = 16;   ///< positions that are cached before decoding begins
  std::int64_t streams = 1;  ///< sequences that decode at once, a token each per step
  int repetitions = 5;
  bool profile = false;  ///< one more run of each, its time by operation and block
  LoadOptions load;
};

/// What an operation took in the run that is profiled.
struct OperationTime {
  std::string operation;  ///< "attention", "q_proj k_proj v_proj"; "other": outside of all operations
  int block = -1;         ///< -1: in no block
  double prompt_ms = 0;   ///< of the whole prompt
  double decode_ms = 0;   ///< per step
};

struct BenchReport {
  std::string name;
  std::string scheme;
  int threads = 0;
  std::int64_t model_bytes = 0;  ///< that the scheme stores for all linears and the head
  std::int64_t packed_bytes = 0;
  std::int64_t streamed_bytes = 0;  ///< with a bound on memory: weights that are read for each token
  std::vector<double> prompt_tps;   ///< one per repetition
  std::vector<double> decode_tps;   ///< of all streams together
  double prompt_gops = 0;           ///< of the median repetition: 2 x weights x tokens / s
  double decode_gb_per_s = 0;       ///< weights read, of the median repetition
  double read_gb_per_s = 0;         ///< the memory's, same run and threads
  std::vector<std::pair<int, double>> read_by_threads;  ///< threads, GB/s: 1, 2, 4 ... and those of the run
  double fma_gflops = 0;                                ///< fp32 multiply-add peak, same run and threads
  double int8_gops = 0;                                 ///< int8 dot product peak, same run and threads
  bool int8 = false;                                    ///< the block matrices are multiplied in int8
  std::vector<OperationTime> profile;
  double load_seconds = 0;
  std::uint64_t peak_rss_bytes = 0;
};

Result<BenchReport> bench(const BenchOptions& options);

/// Texts through the engine (nibble/engine.h): one alone, and several at once, in turns.
struct EngineBenchOptions {
  std::string model;
  std::int64_t depth = 16;    ///< tokens of each prompt; all differ
  std::int64_t decode = 128;  ///< tokens that each writes
  std::int64_t streams = 8;
  int repetitions = 5;
  Sampling sampling;
  LoadOptions load;
};

struct EngineBenchReport {
  std::vector<double> one_tps;  ///< of a text alone, one per repetition
  std::vector<double> tps;      ///< of all streams together
  // Of the runs with all streams:
  std::int64_t steps = 0;
  double step_seconds = 0;
  double model_seconds = 0;     ///< of these, in the model
  double sampling_seconds = 0;  ///< and choosing tokens
};

Result<EngineBenchReport> bench_engine(const EngineBenchOptions& options);

/// The shapes that bench knows.
std::vector<std::string> bench_shapes();

}  // namespace nibble
