// Work on files in the C interface: quantizing, converting, copying, downloading, looking into them; and evaluation.
#include "api/c_interface/handles.h"
#include "api/c_interface/options.h"
#include "nibble/hub.h"
#include "nibble/inspect.h"
#include "nibble/output.h"

using nibble::Result;
using nibble::Status;
using namespace nibble::c;  // NOLINT: the functions of this file are the interface

nibble_status nibble_evaluate(nibble_model* model, const nibble_evaluate_options* options, char** json) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(model, "model"));
    NIBBLE_TRY_STATUS(need(json, "json"));
    NIBBLE_TRY(const nibble::EvaluateOptions evaluate, evaluate_options(options));
    NIBBLE_TRY(const nibble::Evaluation evaluation, nibble::evaluate(model->shared->model(), evaluate));
    *json = handed_out(to_json(evaluation));
    return {};
  });
}

nibble_status nibble_evaluate_files(const char* model, const char* baseline, const nibble_evaluate_options* options,
                                    const nibble_load_options* load, char** json) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(model, "model"));
    NIBBLE_TRY_STATUS(need(json, "json"));
    NIBBLE_TRY_STATUS(nibble::check_isa());
    NIBBLE_TRY(nibble::EvaluateOptions evaluate, evaluate_options(options));
    NIBBLE_TRY(evaluate.model, load_options(load));
    evaluate.baseline = nibble::baseline_of(evaluate.model);
    NIBBLE_TRY(const nibble::Evaluation evaluation, nibble::evaluate(model, text_of(baseline), evaluate));
    *json = handed_out(to_json(evaluation));
    return {};
  });
}

nibble_status nibble_quantize(const char* model, const char* out, const nibble_quantize_options* options, char** json) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(model, "model"));
    NIBBLE_TRY_STATUS(need(out, "out"));
    NIBBLE_TRY_STATUS(nibble::check_isa());
    NIBBLE_TRY(const nibble::QuantizeOptions quantize, quantize_options(options));
    NIBBLE_TRY(const nibble::ConversionReport report, nibble::quantize(model, out, quantize));
    if (json != nullptr) *json = handed_out(to_json(report));
    return {};
  });
}

nibble_status nibble_convert(const char* model, const char* out, const nibble_convert_options* options, char** json) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(model, "model"));
    NIBBLE_TRY_STATUS(need(out, "out"));
    NIBBLE_TRY_STATUS(nibble::check_isa());
    NIBBLE_TRY(const nibble::ConvertOptions convert, convert_options(options));
    NIBBLE_TRY(const nibble::ConversionReport report, nibble::convert(model, out, convert));
    if (json != nullptr) *json = handed_out(to_json(report));
    return {};
  });
}

nibble_status nibble_copy_model(const char* model, const char* out, nibble_progress progress, void* user) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(model, "model"));
    NIBBLE_TRY_STATUS(need(out, "out"));
    return nibble::copy_model(model, out, progress_of(progress, user));
  });
}

nibble_status nibble_pull(const char* model, const char* const* patterns, size_t pattern_count,
                          nibble_progress progress, void* user, char** path) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(model, "model"));
    NIBBLE_TRY_STATUS(need(path, "path"));
    nibble::PullOptions pull;
    NIBBLE_TRY(pull.include, strings_of(patterns, pattern_count, "patterns"));
    pull.progress = progress_of(progress, user);
    NIBBLE_TRY(const nibble::PullReport report, nibble::pull(model, pull));
    *path = handed_out(report.path);
    return {};
  });
}

nibble_status nibble_inspect(const char* model, char** json) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(model, "model"));
    NIBBLE_TRY_STATUS(need(json, "json"));
    NIBBLE_TRY(const nibble::Inspection inspection, nibble::inspect(model));
    *json = handed_out(to_json(inspection));
    return {};
  });
}

nibble_status nibble_machine_info(char** json) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(json, "json"));
    NIBBLE_TRY(const nibble::MachineInfo info, nibble::machine_info());
    *json = handed_out(to_json(info));
    return {};
  });
}
