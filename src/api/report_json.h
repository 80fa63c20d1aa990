// Reports as JSON: what --json prints and what a report file holds.
#pragma once

#include "base/json.h"
#include "nibble/quantize.h"

namespace nibble {

Json evaluation_json(const Evaluation& evaluation);
Json report_json(const ConversionReport& report);

}  // namespace nibble
