// The flags that say which text a command calibrates on.
#pragma once

#include <CLI/CLI.hpp>

#include "nibble/quantize.h"

namespace nibble::cli {

/// --calibration, --chat-template, --per-document, --samples, --ctx, --seed
inline CLI::Option* add_calibration_flags(CLI::App& command, CalibrationOptions& options) {
  CLI::Option* texts = command.add_option(
      "--calibration", options.texts,
      "text that calibrated methods look at; repeat for several (default: what the model itself writes)");
  texts->allow_extra_args(false);
  command.add_flag("--chat-template", options.chat_template,
                   "calibration texts become a user's messages in the model's chat template");
  command.add_flag("--per-document", options.per_document,
                   "a window is the beginning of a document (a line of a .jsonl file, a paragraph of a text)");
  command.add_option("--samples", options.samples, "windows of calibration text")->capture_default_str();
  command.add_option("--ctx", options.context, "tokens of a window (default: 1024)");
  command.add_option("--seed", options.seed, "seed of what the model writes")->capture_default_str();
  return texts;
}

}  // namespace nibble::cli
