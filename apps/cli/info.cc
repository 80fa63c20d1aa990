// nibble info
#include <fmt/format.h>

#include "commands.h"
#include "nibble/inspect.h"

namespace nibble::cli {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text.empty() ? "none" : text;
}

int run(bool json) {
  const Result<MachineInfo> result = machine_info();
  if (!result.ok()) return report_error(result.error());
  if (json) {
    fmt::print("{}\n", to_json(*result));
    return kExitDone;
  }
  const MachineInfo& m = *result;
  fmt::print("nibble {}\n  processor  {}\n  features   {}\n  used       {}\n  threads    {}\n\n", m.version,
             m.processor, joined(m.features), joined(m.used_features), m.threads);
  for (const KernelChoice& k : m.kernels) {
    fmt::print("  {:<18} {:<16} {}\n", k.operation, k.format, k.chosen);
    for (const auto& [name, reason] : k.passed_over) fmt::print("  {:<18} {:<16}   not {}: {}\n", "", "", name, reason);
  }
  return kExitDone;
}

}  // namespace

void add_info(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("info", "show CPU features and the kernel chosen for every operation and format, and why");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "JSON on stdout");
  command->callback([json, &action] { action = [json] { return run(*json); }; });
}

}  // namespace nibble::cli
