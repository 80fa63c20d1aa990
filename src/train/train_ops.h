// The differentiating executor: Ops in float32 over a batch of whole windows, which remembers what it did and goes back
// through it. One block (or the head) at a time; the products are kernel/gemm.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "model/ops.h"
#include "train/float_pool.h"
#include "train/train_weights.h"

namespace nibble {

/// Windows of equal length, back to back; each starts at position 0 with nothing before it.
struct TrainBatch {
  std::int64_t windows = 0;
  std::int64_t window = 0;                ///< tokens of each
  std::vector<std::int32_t> tokens;       ///< windows * window; only embed() reads them
  std::vector<std::int64_t> output_rows;  ///< only output_rows() reads them
};

/// What backward() shall find the gradient of. Nothing is remembered for the rest.
struct GradientRequest {
  bool input = false;  ///< of the values made by given()
  std::set<LinearId> matrices;
  std::set<LinearId> biases;
  std::set<VectorId> vectors;
  /// Called on the way back at every linear that a gradient reaches, with its input x and the gradient by its output,
  /// [tokens, width] each; they are valid during the call.
  std::function<void(LinearId id, std::span<const float> x, std::span<const float> d_y)> at_linear;
};

class TrainOps final : public Ops {
 public:
  /// All but the request must outlive it, and keep their numbers from the first operation to the end of backward().
  TrainOps(const TrainWeights& weights, const TrainBatch& batch, GradientRequest request, ThreadPool& pool);
  ~TrainOps() override;

  /// A value with these numbers, [windows * window, width].
  Value given(std::span<const float> numbers, std::int64_t width);
  /// The numbers behind a value, as long as it lives.
  static std::span<const float> numbers(const Value& value);

  /// From the gradient of a loss by `y`, shaped as y, everything requested that y depends on. Gradients of parameters
  /// are added to those of earlier calls; what was remembered is forgotten. Sums run in one order: the same bits for
  /// any number of threads, and for a matrix whether tokens come at once or in parts of a multiple of kernel::kGemmRun.
  void backward(const Value& y, std::span<const float> gradient);
  /// Makes the gradients of all parameters 0.
  void clear_gradients();
  /// Empty where no gradient came. Shapes: of the value, [rows, cols], [rows], [size].
  static std::span<const float> input_gradient(const Value& given);
  std::span<const float> matrix_gradient(LinearId id) const { return found(matrix_gradients_, id); }
  std::span<const float> bias_gradient(LinearId id) const { return found(bias_gradients_, id); }
  std::span<const float> vector_gradient(VectorId id) const { return found(vector_gradients_, id); }
  /// Forgets what was done, for a forward pass that nobody goes back through.
  void forget();

  /// The table is matrix(table), and its gradient, if requested, is dense.
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
  class Recorded;
  using Handle = std::shared_ptr<Recorded>;
  using Gradients = std::map<int, Floats>;

  static Handle recorded(const Value& value);
  static std::span<const float> found(const Gradients& gradients, int id);
  Handle make(std::int64_t rows, std::int64_t width, bool wants_gradient) const;
  /// Remembers how the gradient by `out` becomes others.
  void remember(const Handle& out, std::function<void()> step);
  /// Adds to the gradient by `value`.
  void give(const Handle& value, const Floats& gradient) const;
  /// A gradient of a parameter to add to, 0 at first.
  float* parameter(Gradients& gradients, int id, std::int64_t size) const;

  void linear_backward(const Handle& x, std::span<const LinearId> linears, std::span<const Handle> outs);
  void bias_backward(LinearId id, const Recorded& out);
  void norm_backward(const Handle& x, VectorId weight, float eps, bool plus_one, const Handle& out);
  Floats rotated_back(const Floats& gradient, std::int64_t head_dim, int rope) const;

  const TrainWeights& weights_;
  const TrainBatch& batch_;
  GradientRequest request_;
  ThreadPool& pool_;
  std::shared_ptr<FloatPool> memory_;
  std::vector<std::function<void()>> steps_;
  Gradients matrix_gradients_;
  Gradients bias_gradients_;
  Gradients vector_gradients_;
};

}  // namespace nibble
