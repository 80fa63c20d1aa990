// Ops that measure the time of each operation of each block, standing before an executor's own.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "model/model_layout.h"
#include "run/cpu_executor.h"

namespace nibble {

/// Time by operation and block. A linear group goes by the last parts of its matrices' names ("q_proj k_proj v_proj");
/// what is in no block has block -1.
class OperationTimes {
 public:
  struct Time {
    double seconds = 0;
    std::int64_t calls = 0;
  };
  using Key = std::pair<std::string, int>;  ///< operation, block

  void add(const std::string& operation, int block, double seconds);
  const std::map<Key, Time>& times() const { return times_; }
  void clear() { times_.clear(); }

 private:
  std::map<Key, Time> times_;
};

/// For CpuExecutor::Options::wrap_ops. Both must outlive it.
OpsWrapper profiling_ops(const ModelLayout& layout, OperationTimes& times);

}  // namespace nibble
