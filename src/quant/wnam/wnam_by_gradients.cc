#include "quant/wnam/wnam_by_gradients.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "quant/bits/backward_walk.h"
#include "quant/calibration/memory_plan.h"
#include "quant/input_groups.h"
#include "quant/wnam/squared_gradients.h"

namespace nibble {
namespace {

constexpr std::int64_t kWindow = 256;
constexpr std::int64_t kTokens = 8192;

class GradientRun {
 public:
  explicit GradientRun(const WnamFitter& fitter)
      : fitter_(fitter), weights_(fitter.weights), finished_(fitter.finished), pool_(fitter.pool) {}

  Status run(const CalibrationTokens& tokens, std::uint64_t seed, const StreamOptions& stream) {
    const auto layers = static_cast<int>(weights_.config().num_hidden_layers);
    // What an interrupted run finished was finished from the last block on.
    int left = layers;
    while (left > 0 && is_finished(left - 1)) --left;
    if (left == 0) return {};
    const auto store = std::make_shared<ActivationStore>(stream.store);
    NIBBLE_TRY(const std::vector<StoredActivations> hidden, block_inputs(weights_, tokens, store, pool_));
    NIBBLE_TRY(const std::unique_ptr<BackwardWalk> walk,
               BackwardWalk::create({weights_, tokens, hidden, store, seed}, pool_));
    NIBBLE_TRY([[maybe_unused]] const std::vector<double> growth, walk->visit_head({}));
    for (int layer = layers; layer-- > 0;) {
      NIBBLE_TRY_STATUS(visit(layer, *walk));
      NIBBLE_TRY_STATUS(report_blocks(stream.progress, layers - layer, layers));
    }
    return weights_.check_intact();
  }

 private:
  /// Linears that share an input, and what is found out about them.
  struct Group {
    std::vector<LinearId> linears;
    InputGram gram;
    std::vector<SquaredGradients> gradients;  ///< of each linear
  };

  const LinearInfo& info(LinearId id) const { return weights_.layout().linears[static_cast<std::size_t>(id)]; }
  auto groups_of(int layer) const { return input_groups(weights_.layout().blocks[static_cast<std::size_t>(layer)]); }

  bool is_finished(int layer) {
    bool all = true;
    for (const std::vector<LinearId>& linears : groups_of(layer)) all = finished_.recorded(linears).has_value() && all;
    return all;
  }

  Status visit(int layer, BackwardWalk& walk) {
    const bool known = is_finished(layer);
    std::vector<Group> groups;
    std::map<LinearId, std::pair<std::size_t, std::size_t>> place;  // group and number of a linear
    for (const std::vector<LinearId>& linears : groups_of(layer)) {
      if (known) break;
      Group group{linears, InputGram(info(linears.front()).cols), {}};
      for (const LinearId id : group.linears) {
        place[id] = {groups.size(), group.gradients.size()};
        group.gradients.emplace_back(info(id).rows, info(id).cols);
      }
      groups.push_back(std::move(group));
    }
    const BackwardWalk::AtLinear add = [&](LinearId id, std::size_t, std::span<const float> x,
                                           std::span<const float> d_y) -> Status {
      if (known) return {};
      const auto [g, number] = place.at(id);
      if (number == 0) groups[g].gram.add(x, pool_);
      groups[g].gradients[number].add(x, d_y, pool_);
      return {};
    };
    NIBBLE_TRY_STATUS(walk.visit_block(layer, add));
    for (Group& group : groups) {
      NIBBLE_TRY(const std::vector<MatrixPtr> matrices, fitter_.fit(group.linears, group.gram, [&](std::size_t i) {
        return group.gradients[i].importance();
      }));
      for (const MatrixPtr& matrix : matrices) matrix->release(0, matrix->rows());  // nobody multiplies by it
      group.gradients.clear();
      group.gram = InputGram();
    }
    return {};
  }

  const WnamFitter& fitter_;
  const ModelWeights& weights_;
  FinishedLinears& finished_;
  ThreadPool& pool_;
};

}  // namespace

Status wnam_matrices_by_gradients(const ModelWeights& weights, const CalibrationTokens& tokens,
                                  const LinearSchemes& schemes, const WnamSettings& settings, std::uint64_t seed,
                                  const StreamOptions& stream, FinishedLinears& finished, ThreadPool& pool) {
  for (const QuantScheme& scheme : schemes.of_blocks(weights.layout()))
    NIBBLE_TRY_STATUS(check_codebook_scheme(scheme));
  const WnamFitter fitter{weights, schemes, settings, finished, pool};
  return GradientRun(fitter).run(spread_tokens(tokens, kWindow, kTokens), seed, stream);
}

std::uint64_t wnam_gradient_bytes(const ModelWeights& weights, std::int64_t window) {
  const std::int64_t of_window = std::min(kWindow, window);
  std::uint64_t grams = 0;
  for (const std::vector<LinearId>& linears : input_groups(weights.layout().blocks.front())) {
    const std::int64_t cols = weights.layout().linears[static_cast<std::size_t>(linears.front())].cols;
    grams += static_cast<std::uint64_t>(8 * cols * cols);
  }
  // A block's squared gradients and grams are there both while it is run and while its linears are fitted.
  const std::uint64_t kept = block_bytes(weights.layout()) + grams;
  return kept + std::max(backward_walk_bytes(weights, kTokens, of_window), second_order_bytes(weights.layout()));
}

}  // namespace nibble
