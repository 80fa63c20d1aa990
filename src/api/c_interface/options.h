// The options of the C interface as those of the public headers.
#pragma once

#include "api/c_interface/sized.h"
#include "nibble/engine.h"
#include "nibble/evaluate.h"
#include "nibble/model.h"
#include "nibble/progress.h"
#include "nibble/quantize.h"

namespace nibble::c {

/// Calls the client's function; none: goes on.
Progress progress_of(nibble_progress function, void* user);

Result<LoadOptions> load_options(const nibble_load_options* given);
/// The part of them that is the engine's.
Result<EngineOptions> engine_options(const nibble_load_options* given);
Result<GenerateOptions> generate_options(const nibble_generate_options& given);
/// The client's, over the defaults.
Result<nibble_generate_options> read_generate_options(const nibble_generate_options* given);
Result<EvaluateOptions> evaluate_options(const nibble_evaluate_options* given);
Result<QuantizeOptions> quantize_options(const nibble_quantize_options* given);
Result<ConvertOptions> convert_options(const nibble_convert_options* given);

}  // namespace nibble::c
