// What every part of the public interface loads: a model's files, its packed weights, an executor and its text side.
#pragma once

#include <memory>
#include <string>

#include "model/model_files.h"
#include "nibble/model.h"
#include "run/cpu_executor.h"

namespace nibble {

struct LoadedModel {
  ModelFiles::Ptr files;
  CpuModel::Ptr weights;
  std::shared_ptr<ThreadPool> pool;
  std::unique_ptr<CpuExecutor> executor;
  CpuExecutor::Options run;     ///< the executor's
  std::uint64_t kv_memory = 0;  ///< with a bound on memory: what it leaves for keys and values; 0: there is none
  double seconds = 0;
};

/// Opens, quantizes while loading when options.scheme asks for it, and packs. `pool` is shared when given.
Result<LoadedModel> load_model(const std::string& path, const LoadOptions& options,
                               std::shared_ptr<ThreadPool> pool = nullptr);
/// The same of files that are open; what else the process needs is in memory already, for options.memory counts it.
Result<LoadedModel> load_model(ModelFiles::Ptr files, const LoadOptions& options,
                               std::shared_ptr<ThreadPool> pool = nullptr);

/// The executor's options that a client's choices ask for.
CpuExecutor::Options executor_options(const LoadOptions& options);

}  // namespace nibble
