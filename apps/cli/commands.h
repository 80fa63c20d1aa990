// The commands of `nibble`: one file each. Each adds its subcommand to the application and says what to run.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <vector>

#include "nibble/result.h"

namespace nibble::cli {

/// What the command line asked for; set by the subcommand that was given. Returns the exit status.
using Action = std::function<int()>;

void add_pull(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_quantize(CLI::App& app, Action& action);
void add_convert(CLI::App& app, Action& action);
void add_imatrix(CLI::App& app, Action& action);
void add_statistics(CLI::App& app, Action& action);
void add_eval(CLI::App& app, Action& action);
void add_sample(CLI::App& app, Action& action);
void add_run(CLI::App& app, Action& action);
void add_serve(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_tokenize(CLI::App& app, Action& action);
void add_packs(CLI::App& app, Action& action);
void add_info(CLI::App& app, Action& action);
void add_completion(CLI::App& app, Action& action);
void add_manual(CLI::App& app, Action& action);

constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

/// Prints "nibble: message" on stderr and returns the exit status that the error's code stands for.
int report_error(const Error& error);

}  // namespace nibble::cli
