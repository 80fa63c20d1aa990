// nibble bench
#include "nibble/bench.h"

#include <fmt/format.h>

#include <algorithm>

#include "commands.h"
#include "json_output.h"
#include "load_flags.h"
#include "terminal.h"

namespace nibble::cli {
namespace {

struct Flags {
  BenchOptions options;
  bool json = false;
  LoadFlags load;
};

std::string spread(std::vector<double> runs) {
  if (runs.empty()) return "-";
  std::sort(runs.begin(), runs.end());
  return fmt::format("{:.1f} tokens/s  (lowest {:.1f}, highest {:.1f}, {} runs)", runs[runs.size() / 2], runs.front(),
                     runs.back(), runs.size());
}

int run(Flags flags) {
  if (flags.options.model.empty() == flags.options.shape.empty())
    return report_error({ErrorCode::kInvalidArgument, "bench needs a MODEL, or --shape with --scheme"});
  flags.options.load = flags.load.options(progress_display());
  flags.options.scheme = flags.load.scheme;
  flags.options.load.scheme = flags.options.shape.empty() ? flags.load.scheme : "";
  const Result<BenchReport> result = bench(flags.options);
  end_progress();
  if (!result.ok()) return report_error(result.error());
  if (flags.json) {
    print_json(to_json(*result));
    return kExitDone;
  }
  const BenchReport& r = *result;
  fmt::print("{}, {}, {} threads, weights {} (packed {}), loaded in {:.2f} s, peak memory {}\n", r.name, r.scheme,
             r.threads, human_bytes(static_cast<std::uint64_t>(r.model_bytes)),
             human_bytes(static_cast<std::uint64_t>(r.packed_bytes)), r.load_seconds, human_bytes(r.peak_rss_bytes));
  if (!r.prompt_tps.empty()) {
    fmt::print("  prompt of {:<5} {}\n", flags.options.prompt, spread(r.prompt_tps));
    fmt::print("                  {:.0f} GOP/s; the fp32 multiply-add peak here is {:.0f} GFLOP/s\n", r.prompt_gops,
               r.fma_gflops);
  }
  if (!r.decode_tps.empty()) {
    fmt::print("  decode of {:<5} {}\n", flags.options.decode, spread(r.decode_tps));
    fmt::print("                  {:.1f} GB/s, {:.0f} % of the {:.1f} GB/s that this memory gives\n", r.decode_gb_per_s,
               r.read_gb_per_s > 0 ? 100 * r.decode_gb_per_s / r.read_gb_per_s : 0.0, r.read_gb_per_s);
  }
  return kExitDone;
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("bench", "measure prompt and decode speed beside what the memory gives");
  auto flags = std::make_shared<Flags>();
  std::string shapes;
  for (const std::string& shape : bench_shapes()) shapes += (shapes.empty() ? "" : ", ") + shape;
  command->add_option("MODEL", flags->options.model, "GGUF file, Hugging Face folder or hf:ORG/NAME");
  command->add_option("--shape", flags->options.shape,
                      "instead of a model: a shape with seeded random weights (" + shapes + ")");
  command->add_option("-p,--prompt", flags->options.prompt, "tokens of the prompt; 0 skips it")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  command->add_option("-n,--decode", flags->options.decode, "tokens to decode; 0 skips it")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  command->add_option("-r,--repetitions", flags->options.repetitions, "runs of each")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_flag("--json", flags->json, "JSON on stdout");
  flags->load.add_to(*command);
  command->callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace nibble::cli
