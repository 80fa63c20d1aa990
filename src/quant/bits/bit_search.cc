#include "quant/bits/bit_search.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "quant/bits/backward_walk.h"
#include "quant/bits/sensitivity.h"
#include "quant/bits/substitution.h"
#include "quant/rtn/rtn.h"

namespace nibble {
namespace {

constexpr std::int64_t kWindow = 256;
constexpr std::int64_t kTokens = 16 * kWindow;

Status report_progress(const Progress& progress, const char* what, std::uint64_t done, std::uint64_t all,
                       const char* unit) {
  if (!progress || progress(what, done, all, unit)) return {};
  return fail(ErrorCode::kCancelled, "the choice of bits was stopped; with --resume it begins again");
}

}  // namespace

CalibrationTokens bit_search_tokens(const CalibrationTokens& calibration) {
  return spread_tokens(calibration, kWindow, kTokens);
}

Result<WeighedChoices> weigh_choices(BitSearchTask task, ThreadPool& pool) {
  const auto store = std::make_shared<ActivationStore>(task.store);
  NIBBLE_TRY(const std::vector<StoredActivations> hidden, block_inputs(task.weights, task.tokens, store, pool));
  std::vector<std::vector<QuantScheme>> schemes;
  for (const UnitChoices& choices : task.choices) {
    schemes.emplace_back();
    for (const UnitChoice& choice : choices) schemes.back().push_back(choice.scheme);
  }
  NIBBLE_TRY(const auto growth,
             rounding_sensitivity(
                 {task.weights, task.tokens, task.units, schemes, hidden, store, task.seed, task.progress}, pool));
  for (std::size_t u = 0; u < growth.size(); ++u)
    for (std::size_t c = 0; c < growth[u].size(); ++c) task.choices[u][c].growth = growth[u][c];
  NIBBLE_TRY(const std::unique_ptr<SubstitutionMeter> meter,
             SubstitutionMeter::create(task.weights, task.tokens, hidden, store, pool));
  std::uint64_t done = 0;
  const MeasureSubstitution measure = [&](const Substitution& substitution) -> Result<double> {
    NIBBLE_TRY_STATUS(report_progress(task.progress, "measuring substitutions", done++, 20, "substitutions"));
    std::map<LinearId, QuantScheme> rounded;
    for (const auto& [unit, choice] : substitution)
      for (const LinearId id : task.units[unit].linears) rounded.emplace(id, task.choices[unit][choice].scheme);
    return meter->measure(rounded);
  };
  WeighedChoices out;
  NIBBLE_TRY(out.substitutions, correct_growth(task.units, task.bits, measure, task.choices));
  out.choices = std::move(task.choices);
  return out;
}

std::uint64_t bit_search_bytes(const ModelWeights& weights, const std::vector<QuantScheme>& candidates,
                               std::int64_t window) {
  const std::int64_t of_window = std::min(kWindow, window);
  const std::int64_t tokens = std::max<std::int64_t>(1, kTokens / of_window) * of_window;
  // While substitutions are measured the head is packed, and the rounded one from what it is read from, and logits of
  // both are held.
  const Result<MatrixPtr> head = weights.matrix(weights.layout().head);
  const std::int64_t packed =
      head.ok() ? 3 * (*head)->scheme().stored_bytes((*head)->rows(), (*head)->cols()) + 1024 * (*head)->rows()
                : std::int64_t{0};
  // Schemes that need a matrix as a whole are made at once, from floats.
  std::int64_t largest = 0;
  for (const LinearInfo& info : weights.layout().linears) largest = std::max(largest, info.rows * info.cols);
  std::int64_t whole = 0;
  for (const QuantScheme& scheme : candidates)
    if (check_rtn_scheme(scheme).ok() && rtn_row_step(scheme) == 0) whole += (whole == 0 ? 5 : 1) * largest;
  return std::max(sensitivity_bytes(weights, tokens, of_window), static_cast<std::uint64_t>(packed)) +
         static_cast<std::uint64_t>(whole);
}

}  // namespace nibble
