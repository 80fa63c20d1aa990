// Options of quantizing.
#include "api/c_interface/choice.h"
#include "api/c_interface/options.h"

namespace nibble::c {
namespace {

nibble_quantize_options defaults() {
  const QuantizeOptions is;
  nibble_quantize_options o{};
  o.size = sizeof(o);
  o.samples = is.calibration.samples;
  o.damping = is.damping;
  o.iterations = is.iterations;
  return o;
}

Status read_calibration(const nibble_quantize_options& o, CalibrationOptions& out) {
  NIBBLE_TRY(out.texts, strings_of(o.calibration, o.calibration_count, "calibration"));
  if (o.samples < 1 || o.calibration_context < 0)
    return fail(ErrorCode::kInvalidArgument, "{} samples of {} tokens are no calibration text", o.samples,
                o.calibration_context);
  out.samples = o.samples;
  out.context = o.calibration_context;
  out.seed = o.seed;
  out.chat_template = o.chat_template != 0;
  out.per_document = o.per_document != 0;
  return {};
}

Status read_choices(const nibble_quantize_options& o, QuantizeOptions& out) {
  NIBBLE_TRY(
      out.act_order,
      choice<ActOrder>(o.act_order, "act_order",
                       {{"groups", ActOrder::kGroups}, {"full", ActOrder::kFull}, {"static", ActOrder::kStatic}}));
  NIBBLE_TRY(out.importance, choice<ImportanceSource>(o.importance, "importance",
                                                      {{"activations", ImportanceSource::kActivations},
                                                       {"gradients", ImportanceSource::kGradients}}));
  if (text_of(o.report).empty()) return {};
  NIBBLE_TRY(
      out.report,
      choice<ReportLevel>(o.report, "report",
                          {{"off", ReportLevel::kOff}, {"quick", ReportLevel::kQuick}, {"full", ReportLevel::kFull}}));
  return {};
}

}  // namespace

Result<QuantizeOptions> quantize_options(const nibble_quantize_options* given) {
  NIBBLE_TRY(const nibble_quantize_options o, read_sized(given, defaults(), "nibble_quantize_options"));
  QuantizeOptions out;
  NIBBLE_TRY_STATUS(check_threads(o.threads));
  if (!(o.damping >= 0 && o.damping <= 10))
    return fail(ErrorCode::kInvalidArgument, "damping is {}; 0 to 10 are possible", o.damping);
  if (o.iterations < 0 || o.iterations > 100000)
    return fail(ErrorCode::kInvalidArgument, "iterations is {}; 0 to 100000 are possible", o.iterations);
  NIBBLE_TRY_STATUS(read_calibration(o, out.calibration));
  NIBBLE_TRY_STATUS(read_choices(o, out));
  if (!text_of(o.method).empty()) out.method = o.method;
  if (!text_of(o.range).empty()) out.range = o.range;
  out.scheme = text_of(o.scheme);
  out.target_bpw = o.target_bpw;
  out.target_size = o.target_size;
  NIBBLE_TRY(out.candidates, strings_of(o.candidates, o.candidate_count, "candidates"));
  NIBBLE_TRY(out.overrides, strings_of(o.overrides, o.override_count, "overrides"));
  out.to = text_of(o.to);
  out.imatrix = text_of(o.imatrix);
  out.statistics = text_of(o.statistics);
  out.damping = o.damping;
  out.iterations = o.iterations;
  out.bias_correction = o.bias_correction != 0;
  out.quantize_head = o.quantize_head != 0;
  out.resume = o.resume != 0;
  out.max_memory = o.max_memory;
  out.report_text = text_of(o.report_text);
  out.shard_bytes = o.shard_bytes;
  out.threads = o.threads;
  out.progress = progress_of(o.progress, o.user);
  return out;
}

}  // namespace nibble::c

void nibble_quantize_options_init(nibble_quantize_options* options, size_t size) {
  nibble::c::write_sized(options, size, nibble::c::defaults());
}
