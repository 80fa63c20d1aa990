// nibble statistics
#include "nibble/statistics.h"

#include <fmt/format.h>

#include "calibration_flags.h"
#include "commands.h"
#include "json_output.h"
#include "terminal.h"

namespace nibble::cli {
namespace {

struct Flags {
  std::string model;
  std::string out;
  StatisticsOptions options;
  bool json = false;
};

int run_statistics(Flags& flags) {
  flags.options.progress = progress_display();
  const Result<StatisticsReport> result = make_statistics(flags.model, flags.out, flags.options);
  end_progress();
  if (!result.ok()) return report_error(result.error());
  if (flags.json) {
    print_json(to_json(*result));
    return kExitDone;
  }
  fmt::print("{}: {}, inputs of {} groups of matrices on {} tokens, {:.1f} s\n", flags.out, human_bytes(result->bytes),
             result->groups, result->tokens, result->seconds);
  return kExitDone;
}

}  // namespace

void add_statistics(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "statistics", "measure on a text what a model's matrices are multiplied with, for quantizing it several times");
  auto flags = std::make_shared<Flags>();
  command->add_option("MODEL", flags->model, "GGUF file, Hugging Face folder or hf:ORG/NAME")->required();
  command->add_option("-o,--output", flags->out, "a safetensors file, for quantize --statistics")->required();
  add_calibration_flags(*command, flags->options.calibration);
  command
      ->add_option("--max-memory", flags->options.max_memory,
                   "memory that the process may hold, e.g. 2G; activations wait on disk beyond it")
      ->transform(CLI::AsSizeValue(true));
  command->add_option("-t,--threads", flags->options.threads, "threads (default: all processors)")
      ->check(CLI::Range(0, 4096));
  command->add_flag("--json", flags->json, "JSON on stdout");
  command->callback([flags, &action] { action = [flags] { return run_statistics(*flags); }; });
}

}  // namespace nibble::cli
