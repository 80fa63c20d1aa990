// Ops that measure the time of each operation of each block, standing before an executor's own.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "model/model_layout.h"
#include "model/ops.h"

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

class ProfilingOps final : public Ops {
 public:
  /// All must outlive it.
  ProfilingOps(Ops& inner, const ModelLayout& layout, OperationTimes& times);

  Value embed(LinearId table, float scale) override;
  std::vector<Value> linear_group(const Value& x, std::span<const LinearId> linears) override;
  Value rms_norm(const Value& x, VectorId weight, float eps, bool plus_one) override;
  Value rope(const Value& x, std::int64_t head_dim, int rope) override;
  Value attention(const Value& q, const Value& k, const Value& v, const AttentionSpec& spec) override;
  Value gated_activation(Activation activation, const Value& gate, const Value& up) override;
  Value add(const Value& a, const Value& b) override;
  Value output_rows(const Value& x) override;
  Value softcap(const Value& x, float c) override;

 private:
  template <typename Operation>
  auto timed(const std::string& name, const Operation& operation);

  Ops& inner_;
  const ModelLayout& layout_;
  OperationTimes& times_;
  std::map<VectorId, int> block_of_norm_;  ///< of norms that begin a block's attention or feed-forward part, or end all
  int block_ = -1;                         ///< that the next operations belong to
};

}  // namespace nibble
