#include "api/report_json.h"

namespace nibble {
namespace {

Json optional_number(const std::optional<double>& number) { return number ? Json(*number) : Json(); }

}  // namespace

Json evaluation_json(const Evaluation& e) {
  Json json = {
      {"tokens", e.tokens}, {"windows", e.windows}, {"ppl", e.perplexity}, {"ppl_stderr", e.perplexity_stderr}};
  if (e.comparison) {
    json["baseline_ppl"] = e.comparison->baseline_perplexity;
    json["baseline_ppl_stderr"] = e.comparison->baseline_perplexity_stderr;
    json["kld_mean"] = e.comparison->kld_mean;
    json["kld_mean_stderr"] = e.comparison->kld_mean_stderr;
    json["kld_p99"] = e.comparison->kld_p99;
    json["kld_max"] = e.comparison->kld_max;
    json["top1_agreement"] = e.comparison->top1_agreement;
    json["top1_agreement_stderr"] = e.comparison->top1_agreement_stderr;
  }
  json["seconds"] = e.seconds;
  json["window_nll"] = e.window_nll;
  if (e.comparison) json["window_kld"] = e.comparison->window_kld;
  return json;
}

Json report_json(const ConversionReport& r) {
  Json tensors = Json::array();
  for (const TensorReport& t : r.tensors)
    tensors.push_back({{"name", t.name},
                       {"source_scheme", t.source_scheme},
                       {"scheme", t.scheme},
                       {"bits_per_weight", t.bits_per_weight},
                       {"exact", t.exact},
                       {"keeps_codes", t.keeps_codes},
                       {"relative_error", t.relative_error},
                       {"output_error", optional_number(t.output_error)},
                       {"rtn_output_error", optional_number(t.rtn_output_error)},
                       {"seconds", t.seconds}});
  Json json = {{"family", r.family},
               {"bytes", r.bytes},
               {"bits_per_weight", r.bits_per_weight},
               {"relative_error", r.relative_error},
               {"seconds", r.seconds}};
  if (r.bit_choice) {
    Json substitutions = Json::array();
    for (const BitChoiceReport::Substitution& s : r.bit_choice->substitutions)
      substitutions.push_back(
          {{"what", s.what}, {"bits", s.bits}, {"predicted", s.predicted}, {"measured", s.measured}});
    json["bit_choice"] = {{"predicted_kld", r.bit_choice->predicted_kld}, {"substitutions", substitutions}};
  }
  if (r.held_out) {
    json["held_out_text"] = r.held_out_text;
    json["held_out"] = evaluation_json(*r.held_out);
  }
  if (!r.files.empty()) json["files"] = r.files;
  json["tensors"] = tensors;
  return json;
}

std::string to_json(const Evaluation& evaluation) { return evaluation_json(evaluation).dump(2); }
std::string to_json(const ConversionReport& report) { return report_json(report).dump(2); }

}  // namespace nibble
