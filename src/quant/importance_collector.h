// Importance statistics of a running model: the squares of what every linear of a block multiplies, summed per column.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "io/imatrix.h"
#include "model/arch/architecture.h"
#include "model/model_layout.h"
#include "quant/recording_ops.h"

namespace nibble {

class ImportanceCollector {
 public:
  /// Both must outlive the collector.
  ImportanceCollector(const ModelLayout& layout, ThreadPool& pool);

  /// What an executor's operations pass through. The collector must outlive it.
  OpsWrapper wrapper();

  /// The sums so far under GGUF's names; linears outside of blocks and those that saw nothing are left out.
  Imatrix result(const Architecture& architecture) const;

 private:
  struct Sums {
    std::vector<double> squares;  ///< per column; added in the order of the tokens
    std::int64_t count = 0;       ///< inputs
  };
  void add(std::span<const LinearId> linears, std::span<const float> x, std::int64_t width);

  const ModelLayout& layout_;
  ThreadPool& pool_;
  std::vector<Sums> sums_;  ///< per linear
};

}  // namespace nibble
