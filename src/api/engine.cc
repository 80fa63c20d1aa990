// nibble/engine.h: an engine on a loaded model, with as much memory for keys and values as is right for it.
#include "nibble/engine.h"

#include <unistd.h>

#include <algorithm>

#include "api/boundary.h"
#include "api/memory_bound.h"
#include "api/model_on_cpu.h"
#include "base/log.h"
#include "run/engine_loop.h"

namespace nibble {
namespace {

std::uint64_t machine_memory() {
  return static_cast<std::uint64_t>(std::max(sysconf(_SC_PHYS_PAGES), 1L)) *
         static_cast<std::uint64_t>(std::max(sysconf(_SC_PAGESIZE), 1L));
}

/// Blocks of keys and values within options.kv_memory, into `run`. Where the whole process has a bound, fewer texts run
/// at once (options.max_running) when as many would leave no room for a full context.
Status divide_blocks(const LoadedModel& loaded, EngineOptions& options, CpuExecutor::Options& run) {
  const CpuModel& model = *loaded.weights;
  const KvCache sizes(model.config(), kv_cache_options(run));
  const bool packs = sizes.packed_layout() != nullptr;
  const std::uint64_t floats = sizes.block_bytes();
  const auto latest = [&] {
    return static_cast<std::uint64_t>(latest_kv_blocks(options.max_running, run.max_batch_tokens));
  };
  const std::uint64_t block = packs ? sizes.packed_block_bytes() : floats;
  const auto whole = static_cast<std::uint64_t>(kv_blocks(model.context_length()));  // a full context
  std::uint64_t memory = options.kv_memory > 0 ? options.kv_memory : loaded.kv_memory;
  if (loaded.kv_memory > 0 && memory > loaded.kv_memory)
    return fail(ErrorCode::kInvalidArgument,
                "{} MB for keys and values are more than the bound on memory leaves for a context of {} tokens, {} MB; "
                "ask for a longer context, or leave them out",
                memory / 1'000'000, model.context_length(), loaded.kv_memory / 1'000'000);
  if (packs && loaded.kv_memory > 0) {
    const std::int64_t asked = options.max_running;
    while (options.max_running > 1 && latest() * floats + whole * block > memory) --options.max_running;
    if (options.max_running < asked)
      log_info("{} texts at once in place of {}: so many fit into the bound on memory", options.max_running, asked);
  }
  const std::uint64_t fixed = packs ? latest() * floats : 0;
  if (memory == 0)
    memory = fixed + std::min(static_cast<std::uint64_t>(options.max_running) * whole * block,
                              std::max(machine_memory() / 4, whole * block));
  if (memory < fixed + 2 * block)
    return fail(ErrorCode::kInvalidArgument,
                "{} MB for keys and values are too little for {} texts at once: {} MB are needed at least",
                memory / 1'000'000, options.max_running, (fixed + 2 * block) / 1'000'000 + 1);
  const auto blocks = static_cast<std::size_t>((memory - fixed) / block);
  run.max_kv_blocks = packs ? static_cast<std::size_t>(latest()) : blocks;
  run.max_packed_kv_blocks = packs ? blocks : 0;
  return {};
}

Status check(const EngineOptions& o) {
  if (o.max_running < 1 || o.max_running > 4096)
    return fail(ErrorCode::kInvalidArgument, "{} requests at once: 1 to 4096 can be", o.max_running);
  if (o.max_waiting < 1 || o.max_waiting_tokens < 1)
    return fail(ErrorCode::kInvalidArgument, "a queue of {} requests and {} tokens holds nothing", o.max_waiting,
                o.max_waiting_tokens);
  if (!(o.slice_seconds >= 0))
    return fail(ErrorCode::kInvalidArgument, "a slice of {} s: expected 0 or more", o.slice_seconds);
  if (o.step_tokens < 1 || o.slice_tokens < 1)
    return fail(ErrorCode::kInvalidArgument, "steps of {} and {} tokens would read no prompt", o.step_tokens,
                o.slice_tokens);
  return {};
}

}  // namespace

Result<std::shared_ptr<Engine>> Engine::create(const std::shared_ptr<Model>& model, const EngineOptions& given) {
  return at_boundary([&]() -> Result<std::shared_ptr<Engine>> {
    const auto on_cpu = std::dynamic_pointer_cast<ModelOnCpu>(model);
    if (on_cpu == nullptr) return fail(ErrorCode::kInvalidArgument, "an engine needs a model that Model::load gave");
    EngineOptions options = given;
    NIBBLE_TRY_STATUS(check(options));
    const LoadedModel& loaded = on_cpu->loaded();
    CpuExecutor::Options run = loaded.run;
    NIBBLE_TRY_STATUS(divide_blocks(loaded, options, run));
    auto executor = std::make_unique<CpuExecutor>(loaded.weights, loaded.pool, run);
    return std::shared_ptr<Engine>(
        std::make_shared<EngineLoop>(model, std::move(executor), on_cpu->tokenizer(), options));
  });
}

}  // namespace nibble
