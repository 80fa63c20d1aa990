// nibble: the command line. An ordinary client of include/nibble.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "commands.h"
#include "nibble/inspect.h"
#include "terminal.h"

namespace nibble::cli {

int report_error(const Error& error) {
  end_progress();
  fmt::print(stderr, "nibble: {}\n", error.message);
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
      return kExitUsage;
    case ErrorCode::kCancelled:
      return interrupted_status();
    default:
      return kExitFailed;
  }
}

namespace {

/// What is wrong with the flags, and where to read on; with an unknown command, the known ones.
int report_usage(const CLI::App& app, const CLI::ParseError& error) {
  std::string command = "nibble";
  std::string message = error.what();
  for (const CLI::App* sub : app.get_subcommands()) {
    command += " " + sub->get_name();
    // What else is missing matters less than a flag that does not exist.
    const std::vector<std::string> unknown = sub->remaining();
    if (!unknown.empty()) message = fmt::format("\"{}\": unknown flag or one argument too many", unknown.front());
  }
  if (app.get_subcommands().empty()) {
    const std::vector<std::string> unknown = app.remaining();
    if (!unknown.empty()) message = fmt::format("\"{}\": unknown command", unknown.front());
    message += "; known:";
    for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
      message += " " + sub->get_name();
  }
  fmt::print(stderr, "nibble: {}\nSee `{} --help`.\n", message, command);
  return kExitUsage;
}

int run_program(int argc, char** argv) {
  CLI::App app{
      "Nibble quantizes language models to few bits and runs them on the CPU.\n"
      "A MODEL is a GGUF file, a Hugging Face folder (config.json and safetensors or PyTorch files), or\n"
      "hf:ORG/NAME, once it was pulled.\n\n"
      "  nibble run model.gguf -p \"Why is the sky blue?\"\n"
      "  nibble quantize model/ -o model-int4/ --scheme int4-g32-sym\n"
      "  nibble eval model-int4/ --baseline model/ --text wiki.txt",
      "nibble"};
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.set_version_flag("--version", "nibble " NIBBLE_VERSION);
  bool quiet = false;
  app.add_flag("-q,--quiet", quiet, "no notes on stderr, only warnings and errors");
  Action action;
  add_run(app, action);
  add_serve(app, action);
  add_pull(app, action);
  add_quantize(app, action);
  add_convert(app, action);
  add_imatrix(app, action);
  add_statistics(app, action);
  add_eval(app, action);
  add_sample(app, action);
  add_bench(app, action);
  add_inspect(app, action);
  add_tokenize(app, action);
  add_packs(app, action);
  add_info(app, action);
  add_completion(app, action);
  add_manual(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForAllHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForVersion& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    return report_usage(app, e);
  }
  if (const Status isa = check_isa(); !isa.ok()) return report_error(isa.error());
  install_log(quiet);
  watch_for_signals();
  const int status = action ? action() : kExitUsage;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  fmt::print(stderr, "nibble: cannot write the result to standard output: {}\n", std::strerror(errno));
  return status == kExitDone ? kExitFailed : status;
}

}  // namespace
}  // namespace nibble::cli

int main(int argc, char** argv) {
  try {
    return nibble::cli::run_program(argc, argv);
  } catch (const std::system_error& e) {  // fmt cannot write
    std::fprintf(stderr, "nibble: cannot write: %s\n", e.code().message().c_str());
    return nibble::cli::kExitFailed;
  } catch (const std::exception& e) {
    fmt::print(stderr, "nibble: this is a defect, please report it: {}\n", e.what());
    return nibble::cli::kExitFailed;
  }
}
