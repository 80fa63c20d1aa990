// Loading for run, eval and bench, quantize-on-load included.
#include "api/loaded_model.h"

#include <chrono>

#include "api/memory_bound.h"
#include "api/model_path.h"
#include "api/pack_cache.h"
#include "quant/rtn/rtn.h"

namespace nibble {
namespace {

/// The hook that quantizes float matrices while they are packed.
Result<MatrixHook> quantizing_hook(const LoadOptions& options, ThreadPool& pool) {
  if (options.scheme.empty()) return MatrixHook{};
  NIBBLE_TRY(const QuantScheme scheme, parse_scheme(options.scheme));
  NIBBLE_TRY_STATUS(check_rtn_scheme(scheme));
  NIBBLE_TRY(const RangeRule range, parse_range(options.range));
  const bool head_too = options.quantize_head;
  return MatrixHook([scheme, range, head_too, &pool](const LinearInfo& linear, MatrixPtr stored) -> Result<MatrixPtr> {
    if (linear.role != LinearInfo::Role::kBlock && !head_too) return stored;
    if (!stored->scheme().is_float())
      return fail(ErrorCode::kInvalidArgument, "{} is already {}; --scheme quantizes float models while loading",
                  linear.name, to_string(stored->scheme()));
    return quantize_rtn(std::move(stored), scheme, RtnOptions{range}, pool);
  });
}

}  // namespace

CpuExecutor::Options executor_options(const LoadOptions& options) {
  CpuExecutor::Options run;
  run.compute = options.arithmetic == Arithmetic::kF32 ? kernel::Compute::kF32 : kernel::Compute::kInt8;
  run.kv_bits = options.kv_bits;
  return run;
}

Result<LoadedModel> load_model(const std::string& path, const LoadOptions& options, std::shared_ptr<ThreadPool> pool) {
  const auto start = std::chrono::steady_clock::now();
  NIBBLE_TRY(const std::string found, model_path(path));
  NIBBLE_TRY(ModelFiles::Ptr files, ModelFiles::open(found));
  NIBBLE_TRY(LoadedModel model, load_model(std::move(files), options, std::move(pool)));
  model.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return model;
}

Result<LoadedModel> load_model(ModelFiles::Ptr files, const LoadOptions& options, std::shared_ptr<ThreadPool> pool) {
  const auto start = std::chrono::steady_clock::now();
  LoadedModel model;
  model.files = std::move(files);
  model.pool = pool != nullptr ? std::move(pool) : std::make_shared<ThreadPool>(options.threads);
  CpuModelOptions load;
  load.context_length = options.context;
  load.progress = options.progress;
  NIBBLE_TRY(load.matrix_hook, quantizing_hook(options, *model.pool));
  CpuExecutor::Options run = executor_options(options);
  const bool bounded = options.memory > 0;
  if (options.pack_cache || bounded) {
    NIBBLE_TRY(load.pack, ready_pack(*model.files, options, load.matrix_hook, bounded, *model.pool));
  }
  if (bounded) {
    const ModelConfig& config = model.files->config();
    const std::int64_t context = options.context > 0 ? options.context : config.max_position_embeddings;
    NIBBLE_TRY(const RunMemory memory, divide_memory(config, options, context));
    model.kv_memory = kv_cache_bytes(config, options.arithmetic, context);
    run.max_batch_tokens = memory.batch_tokens;
    load.pack_memory = memory.weights;
    load.around_weights = memory.around_weights;
  }
  NIBBLE_TRY(model.weights, CpuModel::load(model.files, load, *model.pool));
  model.executor = std::make_unique<CpuExecutor>(model.weights, model.pool, run);
  model.run = run;
  model.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return model;
}

}  // namespace nibble
