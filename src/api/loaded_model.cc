// Loading for run, eval and bench, quantize-on-load included.
#include "api/loaded_model.h"

#include <chrono>

#include "api/memory_bound.h"
#include "api/model_path.h"
#include "api/pack_cache.h"
#include "quant/rtn/rtn.h"

namespace nibble {
namespace {

/// Whether the matrices of the layers run as something else than floats.
Result<bool> has_quantized_layers(const ModelFiles& files, const LoadOptions& options) {
  if (!options.scheme.empty()) {
    NIBBLE_TRY(const QuantScheme scheme, parse_scheme(options.scheme));
    return !scheme.is_float();
  }
  for (std::size_t i = 0; i < files.layout().linears.size(); ++i) {
    if (files.layout().linears[i].role != LinearInfo::Role::kBlock) continue;
    NIBBLE_TRY(const MatrixPtr matrix, files.matrix(static_cast<LinearId>(i)));
    if (!matrix->scheme().is_float()) return true;
  }
  return false;
}

/// The hook that makes the head's floats int8.
Result<MatrixHook> head_hook(const ModelFiles& files, const LoadOptions& options, ThreadPool& pool) {
  if (options.head != HeadWeights::kInt8 || options.arithmetic != Arithmetic::kInt8) return MatrixHook{};
  NIBBLE_TRY(const bool quantized, has_quantized_layers(files, options));
  if (!quantized) return MatrixHook{};
  NIBBLE_TRY(const QuantScheme scheme, parse_scheme("int8-g32-sym"));
  const std::string& head = files.layout().linears[static_cast<std::size_t>(files.layout().head)].name;
  return MatrixHook([scheme, head, &pool](const LinearInfo& linear, MatrixPtr stored) -> Result<MatrixPtr> {
    if (linear.name != head || !stored->scheme().is_float()) return stored;
    return quantize_rtn(std::move(stored), scheme, RtnOptions{}, pool);
  });
}

/// The hook that quantizes float matrices while they are packed.
Result<MatrixHook> quantizing_hook(const ModelFiles& files, const LoadOptions& options, ThreadPool& pool) {
  NIBBLE_TRY(MatrixHook head, head_hook(files, options, pool));
  if (options.scheme.empty()) return head;
  NIBBLE_TRY(const QuantScheme scheme, parse_scheme(options.scheme));
  NIBBLE_TRY_STATUS(check_rtn_scheme(scheme));
  NIBBLE_TRY(const RangeRule range, parse_range(options.range));
  const bool all = options.head == HeadWeights::kScheme;
  return MatrixHook([scheme, range, all, head, &pool](const LinearInfo& linear, MatrixPtr stored) -> Result<MatrixPtr> {
    if (linear.role != LinearInfo::Role::kBlock && !all)
      return head ? head(linear, std::move(stored)) : Result<MatrixPtr>(std::move(stored));
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
  NIBBLE_TRY(load.matrix_hook, quantizing_hook(*model.files, options, *model.pool));
  CpuExecutor::Options run = executor_options(options);
  const bool bounded = options.memory > 0;
  if (options.pack_cache || bounded) {
    NIBBLE_TRY(load.pack, ready_pack(*model.files, options, load.matrix_hook, bounded, *model.pool));
  }
  if (bounded) {
    const ModelConfig& config = model.files->config();
    const std::int64_t context = options.context > 0 ? options.context : config.max_position_embeddings;
    NIBBLE_TRY(const RunMemory memory, divide_memory(config, options, context));
    model.kv_memory = memory.kv;
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
