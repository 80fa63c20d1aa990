// nibble pull
#include <fmt/format.h>

#include "commands.h"
#include "json_output.h"
#include "nibble/hub.h"
#include "terminal.h"

namespace nibble::cli {
namespace {

struct Flags {
  std::string model;
  std::vector<std::string> include;
  bool json = false;
};

int run(const Flags& flags) {
  PullOptions options;
  options.include = flags.include;
  options.progress = progress_display();
  const Result<PullReport> result = pull(flags.model, options);
  end_progress();
  if (!result.ok()) return report_error(result.error());
  if (flags.json) {
    print_json(to_json(*result));
    return kExitDone;
  }
  fmt::print("{}\n", result->path);
  return kExitDone;
}

}  // namespace

void add_pull(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("pull", "download a model into the Hugging Face cache");
  command->footer(
      "Downloads what a model needs: configuration, tokenizer and safetensors (PyTorch files where there are none). "
      "Where "
      "a download stopped,\nthe next one goes on. Then hf:ORG/NAME is a MODEL for every command. HF_HOME, "
      "HF_HUB_CACHE, "
      "HF_TOKEN and HF_ENDPOINT are heeded.");
  auto flags = std::make_shared<Flags>();
  command->add_option("MODEL", flags->model, "hf:ORG/NAME or hf:ORG/NAME@REVISION")->required();
  command->add_option("--include", flags->include, "download the files that match, and no others, e.g. '*q4_k_m*.gguf'")
      ->allow_extra_args(false);
  command->add_flag("--json", flags->json, "JSON on stdout");
  command->callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace nibble::cli
