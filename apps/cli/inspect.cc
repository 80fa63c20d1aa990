// nibble inspect
#include "nibble/inspect.h"

#include <fmt/format.h>

#include "commands.h"
#include "terminal.h"

namespace nibble::cli {
namespace {

struct Flags {
  std::string model;
  bool tensors = false;
  bool json = false;
};

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t d : shape) text += (text.empty() ? "" : " x ") + std::to_string(d);
  return text;
}

int run(const Flags& flags) {
  const Result<Inspection> result = inspect(flags.model);
  if (!result.ok()) return report_error(result.error());
  if (flags.json) {
    fmt::print("{}\n", to_json(*result));
    return kExitDone;
  }
  const Inspection& i = *result;
  fmt::print("{}\n", i.path);
  const auto line = [](const char* key, const std::string& value) { fmt::print("  {:<18} {}\n", key, value); };
  line("container", i.container);
  line("family", i.family);
  line("architecture", i.architecture + (i.runnable ? "" : "  (not runnable: " + i.why_not + ")"));
  line("parameters", human_count(static_cast<double>(i.parameters)));
  line("bits per weight", fmt::format("{:.3f}", i.bits_per_weight));
  line("file size", human_bytes(i.file_bytes));
  if (i.runnable) {
    line("context", fmt::format("{} tokens", i.context));
    line("memory to run", human_bytes(i.memory_to_run));
  }
  for (const auto& [key, value] : i.notes) line(key.c_str(), value);
  if (flags.tensors)
    for (const InspectedTensor& t : i.tensors)
      fmt::print("  {:<52} {:<18} {:<22} {}\n", t.name, shape_text(t.shape), t.scheme, human_bytes(t.bytes));
  return kExitDone;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "inspect", "say what a checkpoint is: family, scheme per tensor, bits per weight, memory to run");
  auto flags = std::make_shared<Flags>();
  command->add_option("MODEL", flags->model, "GGUF file, Hugging Face folder or hf:ORG/NAME")->required();
  command->add_flag("--tensors", flags->tensors, "list every tensor");
  command->add_flag("--json", flags->json, "JSON on stdout (lists every tensor)");
  command->callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace nibble::cli
