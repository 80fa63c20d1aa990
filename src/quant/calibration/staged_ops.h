// Ops over all calibration tokens at once: a value is computed slice by slice, when it is needed, and only what a later
// stage needs again is kept, in an ActivationStore. A linear is a stage: its input's statistics are complete, and the
// linear is quantized, before anything is multiplied by it. So a block needs one pass over each of its linears (true
// sequential GPTQ).
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/model_layout.h"
#include "model/ops.h"
#include "quant/calibration/block_runner.h"

namespace nibble {

/// Called at every group of linears that share an input, before they are multiplied. Reads the input by calling
/// `each_slice(f)`: f gets [tokens, width] row-major, slice after slice. It is read at most once; not at all where what
/// the linears become is known.
using EachSlice = std::function<Status(const std::function<void(std::span<const float> x, std::int64_t width)>&)>;
using LinearStage = std::function<Status(std::span<const LinearId> linears, const EachSlice& each_slice)>;

class StagedOps final : public Ops {
 public:
  /// `runner` computes a slice. All must outlive it.
  StagedOps(BlockRunner& runner, const ModelLayout& layout, std::shared_ptr<ActivationStore> store, LinearStage stage);
  ~StagedOps() override;

  /// A value whose slices are given, [tokens of the slice, width] each.
  Value given(StoredActivations slices, std::int64_t width);
  /// All slices of a value, computed. The value is of no use afterwards.
  Result<StoredActivations> take(const Value& value);
  /// Computes a slice of a value, shows it to `see`, and keeps it.
  void keep_slice(const Value& value, std::size_t slice,
                  const std::function<void(std::span<const float> x, std::int64_t width)>& see);
  /// The first error of a stage or of an operation.
  const Status& status() const { return status_; }

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
  class Staged;
  struct Products;
  static Staged& staged(const Value& value);
  Value make(std::int64_t width, std::function<Value()> compute);
  /// The current slice of a value.
  Value now(const Value& value);
  /// The same for every slice of a value.
  Status keep_all(const Value& value, const std::function<void(std::span<const float>, std::int64_t)>& see);
  void begin_slice(std::size_t slice);
  void note(Status status);

  BlockRunner& runner_;
  CpuOps& inner_;
  const ModelLayout& layout_;
  std::shared_ptr<ActivationStore> store_;
  LinearStage stage_;
  std::size_t slice_ = 0;
  std::vector<std::shared_ptr<OpsValue>> computed_;  ///< values that hold their current slice
  std::vector<float> read_;
  Status status_;
};

}  // namespace nibble
