// From the head back to the embedding. What a block's linears see on the way back waits in the store until all windows
// are through.
#include "quant/bits/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "base/check.h"
#include "quant/bits/backward_walk.h"
#include "quant/bits/likelihood_changes.h"
#include "quant/bits/rounding_errors.h"

namespace nibble {
namespace {

class SensitivityPass {
 public:
  SensitivityPass(const SensitivityTask& task, ThreadPool& pool)
      : task_(task),
        config_(task.weights.config()),
        layout_(task.weights.layout()),
        pool_(pool),
        tokens_(static_cast<std::int64_t>(task.tokens.ids.size())) {}

  Result<std::vector<std::vector<double>>> run() {
    growth_.resize(task_.units.size());
    NIBBLE_TRY(walk_,
               BackwardWalk::create({task_.weights, task_.tokens, task_.hidden, task_.store, task_.seed}, pool_));
    NIBBLE_TRY_STATUS(visit_head());
    const std::int64_t layers = config_.num_hidden_layers;
    for (int layer = static_cast<int>(layers); layer-- > 0;) {
      NIBBLE_TRY_STATUS(visit_block(layer));
      if (task_.progress && !task_.progress("weighing bits", static_cast<std::uint64_t>(layers - layer),
                                            static_cast<std::uint64_t>(layers), "blocks"))
        return fail(ErrorCode::kCancelled, "the choice of bits was stopped");
    }
    NIBBLE_TRY_STATUS(visit_embedding());
    for (std::size_t u = 0; u < growth_.size(); ++u)
      for (const double growth : growth_[u])
        if (!std::isfinite(growth))
          return fail(
              ErrorCode::kUnsupported,
              "{}: rounding it changes the model by {}: weights or activations are NaN or infinite, and no bits "
              "can be chosen; use --scheme",
              name(task_.units[u].linears.front()), growth);
    return std::move(growth_);
  }

 private:
  /// The input and the gradients by the outputs of a unit's linears, batch by batch.
  struct Seen {
    StoredActivations x;
    std::map<LinearId, StoredActivations> d_y;
  };

  const std::string& name(LinearId id) const { return layout_.linears[static_cast<std::size_t>(id)].name; }
  const BitUnit* unit_of(BitUnit::Kind kind, std::size_t& index) const {
    for (index = 0; index < task_.units.size(); ++index)
      if (task_.units[index].kind == kind) return &task_.units[index];
    return nullptr;
  }

  Status visit_head() {
    const bool tied = layout_.head == layout_.embedding;
    std::size_t unit = 0;
    NIBBLE_CHECK(unit_of(tied ? BitUnit::Kind::kEmbedding : BitUnit::Kind::kHead, unit) != nullptr);
    NIBBLE_TRY(growth_[unit], walk_->visit_head(task_.choices[unit]));
    return {};
  }

  /// Weighs the units of a block.
  Status visit_block(int layer) {
    std::map<LinearId, std::size_t> unit_of_linear;
    std::map<std::size_t, Seen> seen;
    for (std::size_t u = 0; u < task_.units.size(); ++u) {
      if (task_.units[u].layer != layer) continue;
      Seen& unit = seen.emplace(u, Seen{StoredActivations(task_.store, walk_->batches()), {}}).first->second;
      for (const LinearId id : task_.units[u].linears) {
        unit_of_linear[id] = u;
        unit.d_y.emplace(id, StoredActivations(task_.store, walk_->batches()));
      }
    }
    const BackwardWalk::AtLinear keep = [&](LinearId id, std::size_t batch, std::span<const float> x,
                                            std::span<const float> d_y) -> Status {
      Seen& unit = seen.at(unit_of_linear.at(id));
      NIBBLE_TRY_STATUS(unit.x.put(batch, x));
      return unit.d_y.at(id).put(batch, d_y);
    };
    NIBBLE_TRY_STATUS(walk_->visit_block(layer, keep));
    for (const auto& [unit, what] : seen) NIBBLE_TRY_STATUS(weigh(unit, what));
    return {};
  }

  Status read_all(const StoredActivations& stored, std::vector<float>& out) const {
    out.clear();
    std::vector<float> part;
    for (std::size_t batch = 0; batch < walk_->batches(); ++batch) {
      NIBBLE_TRY_STATUS(stored.read(batch, part));
      out.insert(out.end(), part.begin(), part.end());
    }
    return {};
  }

  Status weigh(std::size_t unit, const Seen& seen) {
    const std::vector<QuantScheme>& schemes = task_.choices[unit];
    std::vector<LikelihoodChanges> changes(schemes.size(), LikelihoodChanges(tokens_));
    std::vector<float> x;
    NIBBLE_TRY_STATUS(read_all(seen.x, x));
    std::vector<float> d_y;
    std::vector<float> weights;
    std::vector<float> errors;
    for (const LinearId id : task_.units[unit].linears) {
      NIBBLE_TRY_STATUS(read_all(seen.d_y.at(id), d_y));
      NIBBLE_TRY(MatrixPtr matrix, task_.weights.matrix(id));
      NIBBLE_TRY(const RoundingErrors rounding, RoundingErrors::create(std::move(matrix), schemes, pool_));
      NIBBLE_TRY_STATUS(rounding.weights(0, rounding.rows(), weights, pool_));
      for (std::size_t s = 0; s < schemes.size(); ++s) {
        NIBBLE_TRY_STATUS(rounding.errors(s, 0, rounding.rows(), weights, errors, pool_));
        changes[s].add_linear(x, d_y, errors, rounding.cols(), pool_);
      }
      rounding.release();
    }
    for (const LikelihoodChanges& each : changes) growth_[unit].push_back(each.growth());
    return {};
  }

  /// Only rows of tokens that occur are rounded.
  Status visit_embedding() {
    std::size_t unit = 0;
    NIBBLE_CHECK(unit_of(BitUnit::Kind::kEmbedding, unit) != nullptr);
    NIBBLE_TRY(MatrixPtr matrix, task_.weights.matrix(layout_.embedding));
    NIBBLE_TRY(const RoundingErrors rounding, RoundingErrors::create(std::move(matrix), task_.choices[unit], pool_));
    std::vector<float> gradient;
    NIBBLE_TRY_STATUS(read_all(walk_->gradient(), gradient));
    const std::int64_t step = rounding.row_step();
    std::map<std::int64_t, std::vector<std::int64_t>> positions;  // by the first row of a step
    for (std::int64_t t = 0; t < tokens_; ++t)
      positions[task_.tokens.ids[static_cast<std::size_t>(t)] / step * step].push_back(t);
    growth_[unit].resize(rounding.schemes(), 0.0);
    std::vector<LikelihoodChanges> changes(rounding.schemes(), LikelihoodChanges(tokens_));
    std::vector<float> weights;
    std::vector<float> errors;
    for (const auto& [first, where] : positions) {
      const std::int64_t count = std::min(step, rounding.rows() - first);
      NIBBLE_TRY_STATUS(rounding.weights(first, count, weights, pool_));
      for (std::size_t s = 0; s < rounding.schemes(); ++s) {
        NIBBLE_TRY_STATUS(rounding.errors(s, first, count, weights, errors, pool_));
        for (const std::int64_t t : where) {
          const std::int64_t row = task_.tokens.ids[static_cast<std::size_t>(t)] - first;
          double sum = 0;
          for (std::int64_t c = 0; c < rounding.cols(); ++c)
            sum += static_cast<double>(errors[static_cast<std::size_t>(row * rounding.cols() + c)] *
                                       gradient[static_cast<std::size_t>(t * rounding.cols() + c)]);
          changes[s].add(t, sum * static_cast<double>(config_.embedding_scale));
        }
      }
    }
    rounding.release();
    for (std::size_t s = 0; s < rounding.schemes(); ++s) growth_[unit][s] += changes[s].growth();
    return task_.weights.check_intact();
  }

  const SensitivityTask& task_;
  const ModelConfig& config_;
  const ModelLayout& layout_;
  ThreadPool& pool_;
  std::int64_t tokens_;
  std::unique_ptr<BackwardWalk> walk_;
  std::vector<std::vector<double>> growth_;
};

}  // namespace

Result<std::vector<std::vector<double>>> rounding_sensitivity(const SensitivityTask& task, ThreadPool& pool) {
  return SensitivityPass(task, pool).run();
}

std::uint64_t sensitivity_bytes(const ModelWeights& weights, std::int64_t tokens, std::int64_t window) {
  std::int64_t weighing = 0;
  for (const LinearInfo& info : weights.layout().linears) {
    if (info.role != LinearInfo::Role::kBlock) continue;
    // A linear's weights and errors, its inputs and gradients, and some outputs.
    const std::int64_t of_linear = 8 * info.rows * info.cols + 4 * tokens * (info.rows + info.cols) +
                                   4 * LikelihoodChanges::kTokensAtOnce * info.rows;
    weighing = std::max(weighing, of_linear);
  }
  weighing += std::int64_t{10} << 20;  // the panels of kernel/gemm
  return std::max(static_cast<std::uint64_t>(weighing), backward_walk_bytes(weights, tokens, window));
}

}  // namespace nibble
