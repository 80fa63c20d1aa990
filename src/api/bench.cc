// nibble/bench.h
#include "nibble/bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "api/boundary.h"
#include "api/loaded_model.h"
#include "base/process_memory.h"
#include "kernel/matmul/packed_view.h"
#include "kernel/memory/bandwidth.h"
#include "quant/rtn/rtn.h"
#include "run/profiling_ops.h"

namespace nibble {
namespace {

constexpr std::int64_t kWarmUp = 64;  ///< tokens that are run before anything is measured

struct Shape {
  const char* name;
  ModelConfig (*config)();
};

ModelConfig llama_shape(std::int64_t hidden, std::int64_t layers, std::int64_t heads, std::int64_t kv_heads,
                        std::int64_t ffn, std::int64_t vocab) {
  ModelConfig config;
  config.vocab_size = vocab;
  config.hidden_size = hidden;
  config.intermediate_size = ffn;
  config.num_hidden_layers = layers;
  config.num_attention_heads = heads;
  config.num_key_value_heads = kv_heads;
  config.head_dim = hidden / heads;
  config.max_position_embeddings = 4096;
  config.rms_norm_eps = 1e-5f;
  config.attention_scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim));
  kernel::RopeConfig rope;
  rope.rotary_dim = static_cast<int>(config.head_dim);
  rope.max_position_embeddings = config.max_position_embeddings;
  config.ropes = {rope};
  config.layers.assign(static_cast<std::size_t>(layers), LayerKind{});
  return config;
}

constexpr Shape kShapes[] = {
    {"llama-1.1b", [] { return llama_shape(2048, 22, 32, 4, 5632, 32000); }},
    {"llama-135m", [] { return llama_shape(576, 30, 9, 3, 1536, 49152); }},
    {"llama-tiny", [] { return llama_shape(256, 2, 4, 2, 512, 1024); }},
};

std::uint64_t mix(std::uint64_t x) {  // splitmix64
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// Seeded normal weights (standard deviation 0.02), made row by row when asked for; each row has its own stream.
class RandomMatrix final : public MatrixSource {
 public:
  RandomMatrix(std::int64_t rows, std::int64_t cols, std::uint64_t seed) : rows_(rows), cols_(cols), seed_(seed) {}
  const QuantScheme& scheme() const override { return scheme_; }
  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return cols_; }

  Status decode(std::int64_t begin, std::int64_t count, QuantizedMatrix& out) const override {
    out.allocate(scheme_, rows_, cols_, begin, count);
    std::vector<float> row(static_cast<std::size_t>(cols_));
    for (std::int64_t r = 0; r < count; ++r) {
      std::uint64_t state = mix(seed_ ^ mix(static_cast<std::uint64_t>(begin + r)));
      for (float& value : row) {
        state = mix(state);
        // The sum of four 16-bit uniforms is near enough to a normal number: variance 4/12, scaled to 0.02.
        const auto sum =
            static_cast<float>((state & 0xFFFF) + ((state >> 16) & 0xFFFF) + ((state >> 32) & 0xFFFF) + (state >> 48));
        value = (sum / 65536.0f - 2.0f) * (0.02f * 1.7320508f);
      }
      encode_elements(ElementType::kF32, row.data(), row.size(),
                      reinterpret_cast<std::byte*>(out.codes.data()) + static_cast<std::size_t>(r * cols_) * 4);
    }
    return {};
  }

 private:
  std::int64_t rows_;
  std::int64_t cols_;
  std::uint64_t seed_;
  QuantScheme scheme_ = QuantScheme::of_float(ElementType::kF32);
};

/// A shape's weights, quantized to a scheme as they are packed.
class RandomWeights final : public ModelWeights {
 public:
  RandomWeights(ModelConfig config, QuantScheme scheme, RtnOptions options, ThreadPool& pool)
      : config_(std::move(config)),
        layout_(decoder_layout(config_, true)),
        scheme_(std::move(scheme)),
        options_(options),
        pool_(pool) {}
  const ModelConfig& config() const override { return config_; }
  const ModelLayout& layout() const override { return layout_; }
  std::string path() const override { return "shape"; }
  Result<MatrixPtr> matrix(LinearId id) const override {
    const LinearInfo& info = layout_.linears[static_cast<std::size_t>(id)];
    MatrixPtr random = std::make_shared<RandomMatrix>(info.rows, info.cols, static_cast<std::uint64_t>(id) + 1);
    if (id == layout_.embedding) return random;
    return quantize_rtn(std::move(random), scheme_, options_, pool_);
  }
  Result<std::vector<float>> bias(LinearId) const override { return std::vector<float>{}; }
  Result<std::vector<float>> vector(VectorId id) const override {
    return std::vector<float>(static_cast<std::size_t>(layout_.vectors[static_cast<std::size_t>(id)].size), 1.0f);
  }

 private:
  ModelConfig config_;
  ModelLayout layout_;
  QuantScheme scheme_;
  RtnOptions options_;
  ThreadPool& pool_;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Result<LoadedModel> load_shape(const BenchOptions& options, BenchReport& report) {
  const Shape* shape = nullptr;
  std::string known;
  for (const Shape& candidate : kShapes) {
    if (options.shape == candidate.name) shape = &candidate;
    known += (known.empty() ? "" : ", ") + std::string(candidate.name);
  }
  if (shape == nullptr)
    return fail(ErrorCode::kInvalidArgument, "--shape {}: unknown; known: {}", options.shape, known);
  NIBBLE_TRY(const QuantScheme scheme, parse_scheme(options.scheme.empty() ? "int4-g32-sym" : options.scheme));
  NIBBLE_TRY_STATUS(check_rtn_scheme(scheme));
  NIBBLE_TRY(const RangeRule range, parse_range(options.load.range));
  const auto start = std::chrono::steady_clock::now();
  LoadedModel loaded;
  loaded.pool = std::make_shared<ThreadPool>(options.load.threads);
  CpuModelOptions load;
  load.progress = options.load.progress;
  load.context_length = std::max<std::int64_t>({options.load.context, 4096, options.depth + options.decode});
  const auto weights = std::make_shared<RandomWeights>(shape->config(), scheme, RtnOptions{range}, *loaded.pool);
  NIBBLE_TRY(loaded.weights, CpuModel::load(weights, load, *loaded.pool));
  loaded.executor = std::make_unique<CpuExecutor>(loaded.weights, loaded.pool, executor_options(options.load));
  loaded.seconds = seconds_since(start);
  report.name = options.shape;
  report.scheme = to_string(scheme);
  return loaded;
}

/// Weights of one token's products: what GOP/s are counted from.
double weights_per_token(const CpuModel& model) {
  double weights = 0;
  for (std::size_t i = 0; i < model.layout().linears.size(); ++i) {
    const LinearInfo& info = model.layout().linears[i];
    if (info.role == LinearInfo::Role::kBlock)
      weights += static_cast<double>(info.rows) * static_cast<double>(info.cols);
  }
  return weights;
}

std::vector<std::int32_t> some_tokens(std::int64_t count, std::int64_t vocab) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<std::int32_t>(mix(i + 7) % static_cast<std::uint64_t>(vocab));
  return tokens;
}

Status forward(CpuExecutor& executor, Sequence& sequence, std::span<const std::int32_t> tokens) {
  const BatchItem item{&sequence, tokens, BatchItem::Logits::kLast};
  return executor.forward({&item, 1}, [](std::size_t, std::int64_t, std::int64_t, const float*) {});
}

/// What is measured, on an executor; each call does it once and returns seconds.
class Runs {
 public:
  Runs(CpuExecutor& executor, const BenchOptions& options)
      : executor_(executor),
        options_(options),
        prompt_(some_tokens(std::max<std::int64_t>({options.prompt, options.depth, kWarmUp}),
                            executor.model().config().vocab_size)),
        stream_(some_tokens(options.decode + 1, executor.model().config().vocab_size)) {}

  /// Pages in the weights and grows the buffers.
  Status warm_up() {
    const auto sequence = executor_.new_sequence();
    NIBBLE_TRY_STATUS(forward(executor_, *sequence, std::span(prompt_).first(kWarmUp)));
    return forward(executor_, *sequence, std::span(stream_).first(1));
  }

  Result<double> prompt() {
    const auto sequence = executor_.new_sequence();
    const auto start = std::chrono::steady_clock::now();
    NIBBLE_TRY_STATUS(
        forward(executor_, *sequence, std::span(prompt_).first(static_cast<std::size_t>(options_.prompt))));
    return seconds_since(start);
  }

  /// `before_decoding` is called when the context is cached.
  template <typename Call>
  Result<double> decode(const Call& before_decoding) {
    std::vector<std::unique_ptr<Sequence>> sequences;
    std::vector<BatchItem> batch;
    for (std::int64_t s = 0; s < options_.streams; ++s) {
      sequences.push_back(executor_.new_sequence());
      NIBBLE_TRY_STATUS(fill(*sequences.back()));
      batch.push_back({sequences.back().get(), {}, BatchItem::Logits::kLast});
    }
    before_decoding();
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < static_cast<std::size_t>(options_.decode); ++i) {
      for (BatchItem& item : batch) item.tokens = std::span(stream_).subspan(i, 1);
      NIBBLE_TRY_STATUS(executor_.forward(batch, [](std::size_t, std::int64_t, std::int64_t, const float*) {}));
    }
    return seconds_since(start);
  }

 private:
  /// The positions before decoding, in slices, so that a long context can be stopped.
  Status fill(Sequence& sequence) {
    constexpr std::int64_t kSlice = 512;
    for (std::int64_t done = 0; done < options_.depth; done += kSlice) {
      const std::int64_t count = std::min(kSlice, options_.depth - done);
      NIBBLE_TRY_STATUS(
          forward(executor_, sequence,
                  std::span(prompt_).subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(count))));
      if (options_.depth > kSlice && options_.load.progress &&
          !options_.load.progress("filling the context", static_cast<std::uint64_t>(done + count),
                                  static_cast<std::uint64_t>(options_.depth), "tokens"))
        return fail(ErrorCode::kCancelled, "the measurement was stopped");
    }
    return {};
  }

  CpuExecutor& executor_;
  const BenchOptions& options_;
  std::vector<std::int32_t> prompt_;
  std::vector<std::int32_t> stream_;
};

Status measure(CpuExecutor& executor, const BenchOptions& options, BenchReport& report) {
  Runs runs(executor, options);
  NIBBLE_TRY_STATUS(runs.warm_up());
  for (int r = 0; r < options.repetitions; ++r) {
    if (options.prompt > 0) {
      NIBBLE_TRY(const double seconds, runs.prompt());
      report.prompt_tps.push_back(static_cast<double>(options.prompt) / seconds);
    }
    if (options.decode > 0) {
      NIBBLE_TRY(const double seconds, runs.decode([] {}));
      report.decode_tps.push_back(static_cast<double>(options.decode * options.streams) / seconds);
    }
    if (options.load.progress && !options.load.progress("measuring", static_cast<std::uint64_t>(r + 1),
                                                        static_cast<std::uint64_t>(options.repetitions), "runs"))
      return fail(ErrorCode::kCancelled, "the measurement was stopped");
  }
  return {};
}

/// Adds the times of one run, which took `seconds`, to a report's profile; `to` is the field, `runs` what they are
/// divided by.
void add_times(OperationTimes& times, double seconds, double OperationTime::*to, double runs,
               std::map<OperationTimes::Key, OperationTime>& profile) {
  for (const auto& [key, time] : times.times()) seconds -= time.seconds;
  times.add("other", -1, seconds);
  for (const auto& [key, time] : times.times()) {
    OperationTime& entry = profile[key];
    entry.operation = key.first;
    entry.block = key.second;
    entry.*to = 1e3 * time.seconds / runs;
  }
  times.clear();
}

Status profile(const LoadedModel& loaded, const BenchOptions& options, BenchReport& report) {
  OperationTimes times;
  CpuExecutor::Options run = executor_options(options.load);
  run.wrap_ops = profiling_ops(loaded.weights->layout(), times);
  CpuExecutor executor(loaded.weights, loaded.pool, run);
  Runs runs(executor, options);
  NIBBLE_TRY_STATUS(runs.warm_up());
  std::map<OperationTimes::Key, OperationTime> entries;
  times.clear();
  if (options.prompt > 0) {
    NIBBLE_TRY(const double seconds, runs.prompt());
    add_times(times, seconds, &OperationTime::prompt_ms, 1, entries);
  }
  if (options.decode > 0) {
    NIBBLE_TRY(const double seconds, runs.decode([&] { times.clear(); }));
    add_times(times, seconds, &OperationTime::decode_ms, static_cast<double>(options.decode), entries);
  }
  for (const auto& [key, entry] : entries) report.profile.push_back(entry);
  return {};
}

/// What this machine gives, after what was measured on it.
void measure_machine(ThreadPool& pool, BenchReport& report) {
  for (int threads = 1; threads < pool.threads(); threads *= 2) {
    ThreadPool fewer(threads);
    report.read_by_threads.emplace_back(threads, kernel::measure_read_bandwidth(fewer));
  }
  report.read_gb_per_s = kernel::measure_read_bandwidth(pool);
  report.read_by_threads.emplace_back(pool.threads(), report.read_gb_per_s);
  report.fma_gflops = kernel::measure_fma_peak(pool);
  report.int8_gops = kernel::measure_int8_dot_peak(pool);
}

}  // namespace

std::vector<std::string> bench_shapes() {
  std::vector<std::string> names;
  for (const Shape& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

Result<BenchReport> bench(const BenchOptions& options) {
  return at_boundary([&]() -> Result<BenchReport> {
    BenchReport report;
    LoadedModel loaded;
    if (options.model.empty()) {
      NIBBLE_TRY(loaded, load_shape(options, report));
    } else {
      LoadOptions load = options.load;
      if (load.memory > 0 && load.context == 0)
        load.context =
            std::max(std::max(options.prompt, options.depth + options.decode) * options.streams, kWarmUp + 1);
      NIBBLE_TRY(loaded, load_model(options.model, load));
      report.name = options.model;
      const LinearId first = loaded.weights->layout().blocks.front().q_proj;
      report.scheme = loaded.weights->scheme(first);
    }
    report.threads = loaded.pool->threads();
    report.load_seconds = loaded.seconds;
    report.model_bytes = loaded.weights->bytes_per_token();
    report.packed_bytes = static_cast<std::int64_t>(loaded.weights->packed_bytes());
    if (const WeightStream* stream = loaded.weights->stream(); stream != nullptr)
      report.streamed_bytes = static_cast<std::int64_t>(stream->streamed_bytes());
    const std::int64_t longest = std::max(options.prompt, options.depth + options.decode);
    if (longest > loaded.weights->context_length())
      return fail(ErrorCode::kInvalidArgument, "{} tokens do not fit into the context of {}", longest,
                  loaded.weights->context_length());
    const LinearId first = loaded.weights->layout().blocks.front().q_proj;
    report.int8 = options.load.arithmetic == Arithmetic::kInt8 && loaded.weights->matrix(first).view().has_int8;
    NIBBLE_TRY_STATUS(measure(*loaded.executor, options, report));
    if (options.profile) NIBBLE_TRY_STATUS(profile(loaded, options, report));
    report.peak_rss_bytes = peak_resident_bytes();  // before the buffer of the bandwidth measurement
    const double steps = median(report.decode_tps) / static_cast<double>(options.streams);
    report.decode_gb_per_s = steps * static_cast<double>(report.model_bytes) / 1e9;
    report.prompt_gops = 2.0 * weights_per_token(*loaded.weights) * median(report.prompt_tps) / 1e9;
    measure_machine(*loaded.pool, report);
    return report;
  });
}

}  // namespace nibble
