#include "api/bit_choice.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/log.h"
#include "quant/bits/allocation.h"
#include "quant/bits/bit_candidates.h"
#include "quant/bits/bit_search.h"

namespace nibble {
namespace {

constexpr const char* kEntry = "bits.json";

/// A matrix of which only the scheme is known.
class SchemeOnly final : public MatrixSource {
 public:
  SchemeOnly(const LinearInfo& info, QuantScheme scheme)
      : rows_(info.rows), cols_(info.cols), scheme_(std::move(scheme)) {}
  const QuantScheme& scheme() const override { return scheme_; }
  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return cols_; }
  Status decode(std::int64_t, std::int64_t, QuantizedMatrix&) const override {
    return fail(ErrorCode::kNotFound, "a matrix that is planned has no values yet");
  }

 private:
  std::int64_t rows_;
  std::int64_t cols_;
  QuantScheme scheme_;
};

/// What a choice is made from, and what is left to spend on it.
class Budget {
 public:
  static Result<Budget> create(const BitChoiceTask& task, ThreadPool& pool) {
    Budget out(task);
    const bool in_bytes = task.options.target_size > 0;
    NIBBLE_TRY(out.choices_,
               unit_choices(task.files.layout(), out.units_, task.candidates, *task.format.family, in_bytes));
    for (const LinearInfo& info : task.files.layout().linears) out.weights_ += info.rows * info.cols;
    const std::vector<std::size_t> smallest(out.units_.size(), 0);
    if (in_bytes) {
      NIBBLE_TRY(const std::uint64_t all, out.planned_bytes(smallest, pool));
      out.beside_ = static_cast<std::int64_t>(all) - out.size(smallest);
      out.limit_ = static_cast<std::int64_t>(task.options.target_size) - out.beside_;
    } else {
      out.limit_ = static_cast<std::int64_t>(std::floor(task.options.target_bpw * static_cast<double>(out.weights_)));
    }
    NIBBLE_TRY_STATUS(out.check(in_bytes));
    return out;
  }

  const std::vector<BitUnit>& units() const { return units_; }
  const std::vector<UnitChoices>& choices() const { return choices_; }
  std::int64_t limit() const { return limit_; }
  /// Of the smallest choices.
  std::int64_t least() const { return least_; }
  /// About what it comes to for a weight.
  double bits_per_weight() const {
    const double bits = static_cast<double>(limit_) * (task_->options.target_size > 0 ? 8.0 : 1.0);
    return bits / static_cast<double>(weights_);
  }

  LinearSchemes schemes(const std::vector<std::size_t>& chosen) const {
    std::vector<QuantScheme> all(task_->files.layout().linears.size());
    for (std::size_t u = 0; u < units_.size(); ++u)
      for (const LinearId id : units_[u].linears) all[static_cast<std::size_t>(id)] = choices_[u][chosen[u]].scheme;
    return LinearSchemes(std::move(all));
  }

  /// Of the output with these choices.
  Result<std::uint64_t> planned_bytes(const std::vector<std::size_t>& chosen, ThreadPool& pool) const {
    const LinearSchemes all = schemes(chosen);
    const MatrixMethod planned = [&](LinearId id, MatrixPtr) -> Result<MatrixPtr> {
      const LinearInfo& info = task_->files.layout().linears[static_cast<std::size_t>(id)];
      return MatrixPtr(std::make_shared<SchemeOnly>(info, all.of(id)));
    };
    NIBBLE_TRY(const std::vector<MatrixTarget> targets,
               method_targets(task_->files, all, planned, true, task_->format));
    return task_->format.gguf ? gguf_file_bytes(task_->files, targets, task_->output, pool)
                              : folder_bytes(task_->files, targets, task_->output, pool);
  }

 private:
  explicit Budget(const BitChoiceTask& task) : task_(&task), units_(bit_units(task.files.layout())) {}

  std::int64_t size(const std::vector<std::size_t>& chosen) const {
    std::int64_t sum = 0;
    for (std::size_t u = 0; u < units_.size(); ++u) sum += choices_[u][chosen[u]].size;
    return sum;
  }

  Status check(bool in_bytes) {
    std::int64_t low = 0;
    std::int64_t high = 0;
    for (const UnitChoices& choices : choices_) {
      const auto by_size = [](const UnitChoice& a, const UnitChoice& b) { return a.size < b.size; };
      low += std::min_element(choices.begin(), choices.end(), by_size)->size;
      high += std::max_element(choices.begin(), choices.end(), by_size)->size;
    }
    least_ = low;
    if (low <= limit_ && limit_ <= high) return {};
    const auto shown = [&](std::int64_t size) {
      return in_bytes
                 ? fmt::format("{} bytes", size + beside_)
                 : fmt::format("{:.3f} bits per weight", static_cast<double>(size) / static_cast<double>(weights_));
    };
    std::string names;
    for (const QuantScheme& scheme : task_->candidates) names += (names.empty() ? "" : ", ") + to_string(scheme);
    return fail(ErrorCode::kInvalidArgument, "{} is {} than the candidates {} need, {}; {}",
                wanted_bits(task_->options), limit_ < low ? "less" : "more", names, shown(limit_ < low ? low : high),
                limit_ < low ? "allow more, or state smaller --candidates" : "use --scheme with the largest of them");
  }

  const BitChoiceTask* task_;
  std::vector<BitUnit> units_;
  std::vector<UnitChoices> choices_;
  std::int64_t weights_ = 0;
  std::int64_t beside_ = 0;  ///< bytes of the output that no choice changes
  std::int64_t limit_ = 0;   ///< of the sum of the choices' sizes
  std::int64_t least_ = 0;
};

Json to_json(const Budget& budget, const std::vector<std::size_t>& chosen, const BitChoiceReport& report) {
  Json names = Json::array();
  for (std::size_t u = 0; u < chosen.size(); ++u) names.push_back(to_string(budget.choices()[u][chosen[u]].scheme));
  Json measured = Json::array();
  for (const BitChoiceReport::Substitution& s : report.substitutions)
    measured.push_back({{"what", s.what}, {"bits", s.bits}, {"predicted", s.predicted}, {"measured", s.measured}});
  return {{"schemes", names}, {"predicted", report.predicted_kld}, {"substitutions", measured}};
}

/// A recorded choice; nothing where the record is damaged.
std::optional<ChosenBits> from_json(const std::string& text, const Budget& budget) {
  const Result<Json> json = parse_untrusted(text, kEntry);
  if (!json.ok() || !json->is_object() || !json->contains("schemes") || !json->contains("predicted") ||
      !json->contains("substitutions"))
    return std::nullopt;
  const Json& names = (*json)["schemes"];
  const Json& measured = (*json)["substitutions"];
  if (!names.is_array() || names.size() != budget.units().size() || !(*json)["predicted"].is_number() ||
      !measured.is_array())
    return std::nullopt;
  std::vector<std::size_t> chosen;
  for (std::size_t u = 0; u < names.size(); ++u) {
    const UnitChoices& choices = budget.choices()[u];
    const auto found = std::find_if(choices.begin(), choices.end(), [&](const UnitChoice& choice) {
      return names[u].is_string() && to_string(choice.scheme) == names[u].get<std::string>();
    });
    if (found == choices.end()) return std::nullopt;
    chosen.push_back(static_cast<std::size_t>(found - choices.begin()));
  }
  ChosenBits out{budget.schemes(chosen), {}};
  out.report.predicted_kld = (*json)["predicted"].get<double>();
  for (const Json& s : measured) {
    if (!s.is_object()) return std::nullopt;
    BitChoiceReport::Substitution substitution;
    for (const auto& [key, to] :
         {std::pair("bits", &substitution.bits), std::pair("predicted", &substitution.predicted),
          std::pair("measured", &substitution.measured)}) {
      if (!s.contains(key) || !s[key].is_number()) return std::nullopt;
      *to = s[key].get<double>();
    }
    if (!s.contains("what") || !s["what"].is_string()) return std::nullopt;
    substitution.what = s["what"].get<std::string>();
    out.report.substitutions.push_back(std::move(substitution));
  }
  return out;
}

/// The best that the budget allows, and that the whole output keeps to.
Result<std::vector<std::size_t>> allocate(const BitChoiceTask& task, const Budget& budget,
                                          const std::vector<std::vector<SizedChoice>>& sized, ThreadPool& pool) {
  std::int64_t limit = budget.limit();
  for (;;) {
    std::vector<std::size_t> chosen = allocate_sizes(sized, limit);
    if (task.options.target_size == 0) return chosen;
    // The names and numbers in a file's header are a little longer for some schemes than for others.
    NIBBLE_TRY(const std::uint64_t bytes, budget.planned_bytes(chosen, pool));
    if (bytes <= task.options.target_size) return chosen;
    limit -= static_cast<std::int64_t>(bytes - task.options.target_size);
    if (limit < budget.least())
      return fail(ErrorCode::kInvalidArgument,
                  "{} is a little less than the smallest candidates need; allow {} bytes more",
                  wanted_bits(task.options), bytes - task.options.target_size);
  }
}

}  // namespace

bool has_bit_budget(const QuantizeOptions& options) { return options.target_bpw > 0 || options.target_size > 0; }

Status check_bit_budget(const QuantizeOptions& options) {
  const int given =
      (options.scheme.empty() ? 0 : 1) + (options.target_bpw != 0 ? 1 : 0) + (options.target_size > 0 ? 1 : 0);
  if (given != 1)
    return fail(ErrorCode::kInvalidArgument, "give one of --scheme, --target-bpw and --target-size; {} were given",
                given);
  if (options.target_bpw != 0 && !(options.target_bpw > 0 && options.target_bpw <= 32))
    return fail(ErrorCode::kInvalidArgument, "--target-bpw {}: bits per weight are more than 0 and 32 at most",
                options.target_bpw);
  if (!has_bit_budget(options) && !options.candidates.empty())
    return fail(ErrorCode::kInvalidArgument, "--candidates are for --target-bpw and --target-size");
  return {};
}

std::string wanted_bits(const QuantizeOptions& options) {
  if (options.target_bpw > 0) return fmt::format("{} bits per weight", options.target_bpw);
  if (options.target_size > 0) return fmt::format("{} bytes", options.target_size);
  std::string wanted = options.scheme;
  for (const std::string& one : options.overrides) wanted += ", " + one;
  return wanted;
}

Status check_budget_fits(const BitChoiceTask& task, ThreadPool& pool) {
  const Result<Budget> budget = Budget::create(task, pool);
  return budget.ok() ? Status() : Status(budget.error());
}

Result<ChosenBits> choose_bits(const BitChoiceTask& task, const CalibrationTokens& tokens,
                               const ActivationStore::Options& store, Journal& journal, ThreadPool& pool) {
  NIBBLE_TRY(const Budget budget, Budget::create(task, pool));
  if (const std::optional<std::string> text = journal.find_text(kEntry)) {
    if (std::optional<ChosenBits> recorded = from_json(*text, budget)) return *std::move(recorded);
    log_warning("the journal's choice of bits is damaged; it is made again");
  }
  const CalibrationTokens some = bit_search_tokens(tokens);
  BitSearchTask search{task.files,
                       some,
                       budget.units(),
                       budget.choices(),
                       budget.bits_per_weight(),
                       task.options.calibration.seed,
                       store,
                       task.options.progress};
  NIBBLE_TRY(const WeighedChoices weighed, weigh_choices(std::move(search), pool));
  std::vector<std::vector<SizedChoice>> sized;
  for (std::size_t u = 0; u < budget.units().size(); ++u) {
    const double gain = budget.units()[u].layer >= 0 ? task.method_gain : 1.0;
    sized.emplace_back();
    for (const UnitChoice& choice : weighed.choices[u]) sized.back().push_back({choice.size, gain * choice.growth});
  }
  NIBBLE_TRY(const std::vector<std::size_t> chosen, allocate(task, budget, sized, pool));
  ChosenBits out{budget.schemes(chosen), {}};
  for (std::size_t u = 0; u < chosen.size(); ++u) out.report.predicted_kld += sized[u][chosen[u]].loss;
  for (const MeasuredSubstitution& s : weighed.substitutions)
    out.report.substitutions.push_back({s.what, s.bits, s.predicted, s.measured});
  NIBBLE_TRY_STATUS(journal.put_text(kEntry, to_json(budget, chosen, out.report).dump()));
  return out;
}

}  // namespace nibble
