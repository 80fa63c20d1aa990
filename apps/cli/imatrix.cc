// nibble imatrix
#include "nibble/imatrix.h"

#include <fmt/format.h>

#include "commands.h"
#include "json_output.h"
#include "load_flags.h"
#include "terminal.h"

namespace nibble::cli {
namespace {

struct Flags {
  std::string model;
  std::string text;
  std::string out;
  std::int64_t context = 512;
  std::int64_t chunks = 0;
  bool json = false;
  LoadFlags load;
};

int run_imatrix(const Flags& flags) {
  ImatrixOptions options;
  options.text_file = flags.text;
  options.context = flags.context;
  options.chunks = flags.chunks;
  options.model = flags.load.options(progress_display());
  options.progress = progress_display();
  const Result<ImatrixReport> result = make_imatrix(flags.model, flags.out, options);
  end_progress();
  if (!result.ok()) return report_error(result.error());
  if (flags.json) {
    print_json(to_json(*result));
    return kExitDone;
  }
  fmt::print("{}: {} matrices, {} chunks, {} tokens, {:.1f} s\n", flags.out, result->entries, result->chunks,
             result->tokens, result->seconds);
  return kExitDone;
}

}  // namespace

void add_imatrix(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("imatrix", "measure on a text which input columns of every matrix matter, for quantizing");
  auto flags = std::make_shared<Flags>();
  flags->load.compute = "f32";
  command->add_option("MODEL", flags->model, "GGUF file or Hugging Face folder")->required();
  command->add_option("--text", flags->text, "UTF-8 text")->required();
  command->add_option("-o,--output", flags->out, "importance matrix in llama.cpp's GGUF form")->required();
  command->add_option("--ctx", flags->context, "tokens per chunk")
      ->capture_default_str()
      ->check(CLI::Range(2, 1 << 24));
  command->add_option("--chunks", flags->chunks, "at most this many chunks (default: all)")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--json", flags->json, "JSON on stdout");
  flags->load.add_to(*command);
  command->callback([flags, &action] { action = [flags] { return run_imatrix(*flags); }; });
}

}  // namespace nibble::cli
