// --target-bpw and --target-size: a scheme for every matrix within a budget.
#pragma once

#include <string>
#include <vector>

#include "nibble/quantize.h"
#include "quant/calibration/activation_store.h"
#include "quant/calibration/block_runner.h"
#include "quant/choose_targets.h"
#include "quant/journal.h"

namespace nibble {

/// A budget is given instead of a scheme.
bool has_bit_budget(const QuantizeOptions& options);

/// Exactly one of scheme, bits per weight and bytes is given, and each is possible.
Status check_bit_budget(const QuantizeOptions& options);

/// "int4-g32-sym", "int4-g32-sym, down_proj=int8-g32-sym", "4.5 bits per weight" or "80000000 bytes".
std::string wanted_bits(const QuantizeOptions& options);

/// What a choice is made for.
struct BitChoiceTask {
  const ModelFiles& files;
  const QuantizeOptions& options;
  const OutputFormat& format;
  const OutputOptions& output;
  const std::vector<QuantScheme>& candidates;  ///< of bit_candidates()
  double method_gain = 1;  ///< what the method leaves of a block linear's divergence when rounded to nearest
};

struct ChosenBits {
  LinearSchemes schemes;
  BitChoiceReport report;
};

/// Before the work: an error, with the figures, where the budget is below the smallest candidates or above the largest.
Status check_budget_fits(const BitChoiceTask& task, ThreadPool& pool);

/// Takes the journal's choice, or makes one and records it. The same for any number of threads.
Result<ChosenBits> choose_bits(const BitChoiceTask& task, const CalibrationTokens& tokens,
                               const ActivationStore::Options& store, Journal& journal, ThreadPool& pool);

}  // namespace nibble
