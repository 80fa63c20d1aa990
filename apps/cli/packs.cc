// nibble packs
#include <fmt/format.h>

#include "commands.h"
#include "json_output.h"
#include "nibble/pack_cache.h"
#include "terminal.h"

namespace nibble::cli {
namespace {

struct Flags {
  std::string model;
  std::string folder;
  bool remove = false;
  bool json = false;
};

int run(const Flags& flags) {
  if (flags.remove) {
    const Result<std::uint64_t> bytes = delete_packs(flags.model, flags.folder);
    if (!bytes.ok()) return report_error(bytes.error());
    if (flags.json)
      print_json({{"deleted_bytes", *bytes}});
    else
      fmt::print("deleted {}\n", human_bytes(*bytes));
    return kExitDone;
  }
  const Result<std::vector<PackInfo>> packs = list_packs(flags.model, flags.folder);
  if (!packs.ok()) return report_error(packs.error());
  if (flags.json) {
    print_json(to_json(*packs));
    return kExitDone;
  }
  if (packs->empty()) fmt::print("no packs; run, bench and eval make them with --pack-cache\n");
  for (const PackInfo& pack : *packs)
    fmt::print("{:<24} {:>10}  {:<8} {}{}\n", pack.name, human_bytes(pack.bytes), pack_state_name(pack.state),
               pack.path, pack.why.empty() ? "" : " (" + pack.why + ")");
  return kExitDone;
}

}  // namespace

void add_packs(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("packs", "show or delete what --pack-cache keeps of a model");
  auto flags = std::make_shared<Flags>();
  command->add_option("MODEL", flags->model, "GGUF file, Hugging Face folder or hf:ORG/NAME")->required();
  command->add_option("--folder", flags->folder, "the folder of --pack-cache=DIR (default: beside the model)");
  command->add_flag("--delete", flags->remove, "delete them; programs that run from one go on");
  command->add_flag("--json", flags->json, "JSON on stdout");
  command->callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace nibble::cli
