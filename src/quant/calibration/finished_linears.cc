#include "quant/calibration/finished_linears.h"

#include <utility>

#include "quant/output_error.h"
#include "quant/rtn/rtn.h"

namespace nibble {
namespace {

Json to_json(const FinishedLinear& linear) {
  Json notes = {{"seconds", linear.seconds}};
  if (linear.error) notes["error"] = *linear.error;
  if (linear.rtn_error) notes["rtn_error"] = *linear.rtn_error;
  if (!linear.bias.empty()) notes["bias"] = linear.bias;
  return notes;
}

/// Nothing where a bias is damaged.
std::optional<FinishedLinear> from_entry(const Journal::Entry& entry) {
  const auto number = [&](const char* key) {
    const auto found = entry.notes.find(key);
    return found != entry.notes.end() && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
  };
  FinishedLinear linear{entry.recorded, number("error"), number("rtn_error"), number("seconds").value_or(0), {}};
  const auto bias = entry.notes.find("bias");
  if (bias == entry.notes.end()) return linear;
  if (!bias->is_array() || bias->size() != static_cast<std::size_t>(linear.matrix->rows())) return std::nullopt;
  for (const Json& value : *bias) {
    if (!value.is_number()) return std::nullopt;
    linear.bias.push_back(value.get<float>());
  }
  return linear;
}

}  // namespace

void measure_errors(const FloatMatrix& weights, const QuantizedMatrix& quantized, const QuadraticForm& h,
                    FinishedLinear& linear, ThreadPool& pool) {
  if (h.is_unknown()) return;
  linear.error = relative_output_error(weights, quantized, h, {}, {}, pool);
  const QuantScheme codes = quantized.scheme.codes_alone();
  if (!check_rtn_scheme(codes).ok()) return;
  std::vector<float> values = weights.values;
  QuantizedMatrix nearest;
  quantize_rtn_rows(values.data(), weights.rows, weights.cols, 0, weights.rows, codes, {}, nearest);
  linear.rtn_error = relative_output_error(weights, nearest, h, {}, {}, pool);
}

std::optional<std::vector<MatrixPtr>> FinishedLinears::recorded(std::span<const LinearId> linears) {
  if (journal_ == nullptr) return std::nullopt;
  std::map<LinearId, FinishedLinear> found;
  std::vector<MatrixPtr> matrices;
  for (const LinearId id : linears) {
    std::optional<Journal::Entry> entry = journal_->find(layout_.linears[static_cast<std::size_t>(id)].name);
    if (!entry) return std::nullopt;
    std::optional<FinishedLinear> linear = from_entry(*entry);
    if (!linear) return std::nullopt;
    matrices.push_back(std::move(entry->matrix));
    found.emplace(id, *std::move(linear));
  }
  all_.merge(found);
  return matrices;
}

const std::vector<float>* FinishedLinears::bias(LinearId id) const {
  const auto found = all_.find(id);
  return found == all_.end() || found->second.bias.empty() ? nullptr : &found->second.bias;
}

Result<MatrixPtr> FinishedLinears::finish(LinearId id, QuantizedMatrix matrix, FinishedLinear linear) {
  MatrixPtr result;
  if (journal_ == nullptr) {
    result = linear.matrix = make_source(std::move(matrix));
  } else {
    NIBBLE_TRY(Journal::Entry entry,
               journal_->put(layout_.linears[static_cast<std::size_t>(id)].name, std::move(matrix), to_json(linear)));
    linear.matrix = std::move(entry.recorded);
    result = std::move(entry.matrix);
  }
  all_.emplace(id, std::move(linear));
  return result;
}

}  // namespace nibble
