// nibble bench
#include "nibble/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "commands.h"
#include "json_output.h"
#include "load_flags.h"
#include "terminal.h"

namespace nibble::cli {
namespace {

struct Flags {
  BenchOptions options;
  bool json = false;
  bool engine = false;
  LoadFlags load;
};

std::string spread(std::vector<double> runs) {
  if (runs.empty()) return "-";
  std::sort(runs.begin(), runs.end());
  return fmt::format("{:.1f} tokens/s  (lowest {:.1f}, highest {:.1f}, {} runs)", runs[runs.size() / 2], runs.front(),
                     runs.back(), runs.size());
}

double median_of(std::vector<double> runs) {
  std::sort(runs.begin(), runs.end());
  return runs.empty() ? 0 : runs[runs.size() / 2];
}

double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

/// An operation over all blocks.
struct Total {
  double prompt = 0;
  double decode = 0;
  int blocks = 0;
  const OperationTime* slowest = nullptr;  ///< the block that took longest, by decoding, or by the prompt without
};

void print_profile(const BenchReport& r) {
  std::vector<std::pair<std::string, Total>> totals;
  Total all;
  for (const OperationTime& t : r.profile) {
    auto found =
        std::find_if(totals.begin(), totals.end(), [&](const auto& entry) { return entry.first == t.operation; });
    if (found == totals.end()) found = totals.insert(totals.end(), {t.operation, {}});
    Total& total = found->second;
    total.prompt += t.prompt_ms;
    total.decode += t.decode_ms;
    ++total.blocks;
    const auto time = [&](const OperationTime& x) { return r.decode_tps.empty() ? x.prompt_ms : x.decode_ms; };
    if (total.slowest == nullptr || time(t) > time(*total.slowest)) total.slowest = &t;
    all.prompt += t.prompt_ms;
    all.decode += t.decode_ms;
  }
  std::sort(totals.begin(), totals.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.decode, a.second.prompt) > std::pair(b.second.decode, b.second.prompt);
  });
  fmt::print("  {:<24} {:>12} {:>6} {:>16} {:>6}   {}\n", "operation", "prompt, ms", "%", "ms per token", "%",
             "slowest block");
  for (const auto& [name, total] : totals)
    fmt::print("  {:<24} {:>12.2f} {:>6.1f} {:>16.3f} {:>6.1f}   {}\n", name, total.prompt,
               percent(total.prompt, all.prompt), total.decode, percent(total.decode, all.decode),
               total.blocks < 2
                   ? ""
                   : fmt::format("{} ({:.3f} ms)", total.slowest->block,
                                 r.decode_tps.empty() ? total.slowest->prompt_ms : total.slowest->decode_ms));
}

int run_engine(const Flags& flags) {
  EngineBenchOptions options;
  options.model = flags.options.model;
  options.depth = flags.options.depth;
  options.decode = flags.options.decode;
  options.streams = flags.options.streams;
  options.repetitions = flags.options.repetitions;
  options.load = flags.load.options(progress_display());
  const Result<EngineBenchReport> result = bench_engine(options);
  end_progress();
  if (!result.ok()) return report_error(result.error());
  if (flags.json) {
    print_json(to_json(*result));
    return kExitDone;
  }
  const EngineBenchReport& r = *result;
  fmt::print("  one text        {}\n", spread(r.one_tps));
  fmt::print("  {:<4} at once    {}: {:.2f} times as many\n", options.streams, spread(r.tps),
             median_of(r.tps) / median_of(r.one_tps));
  fmt::print("  a step of all   {:.2f} ms: {:.1f} % of it in the model, {:.1f} % to choose tokens\n",
             1e3 * r.step_seconds / static_cast<double>(std::max<std::int64_t>(r.steps, 1)),
             percent(r.model_seconds, r.step_seconds), percent(r.sampling_seconds, r.step_seconds));
  return kExitDone;
}

int run(Flags flags) {
  if (flags.engine) {
    if (!flags.options.shape.empty() || flags.options.model.empty() || flags.options.decode == 0 ||
        flags.options.depth == 0)
      return report_error({ErrorCode::kInvalidArgument, "bench --engine needs a MODEL, and -n and -d of at least 1"});
    return run_engine(flags);
  }
  if (flags.options.model.empty() == flags.options.shape.empty())
    return report_error({ErrorCode::kInvalidArgument, "bench needs a MODEL, or --shape with --scheme"});
  if (!flags.options.shape.empty() &&
      (flags.load.memory > 0 || !flags.load.pack_cache.empty() || flags.load.head != "int8"))
    return report_error({ErrorCode::kInvalidArgument,
                         "bench --shape has no file: --memory and --pack-cache go with a MODEL, and --head does"});
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
  if (r.streamed_bytes > 0)
    fmt::print("  {} of them are read from the pack for every token\n",
               human_bytes(static_cast<std::uint64_t>(r.streamed_bytes)));
  if (!r.prompt_tps.empty()) {
    const double peak = r.int8 ? r.int8_gops : r.fma_gflops;
    fmt::print("  prompt of {:<5} {}\n", flags.options.prompt, spread(r.prompt_tps));
    fmt::print("                  {:.0f} GOP/s, {:.0f} % of the {:.0f} GOP/s of {} here\n", r.prompt_gops,
               percent(r.prompt_gops, peak), peak, r.int8 ? "int8 dot products" : "fp32 multiply-adds");
  }
  if (!r.decode_tps.empty()) {
    const std::string streams =
        flags.options.streams > 1 ? fmt::format(", {} streams at once", flags.options.streams) : std::string();
    fmt::print("  decode of {:<5} {}, after {} positions{}\n", flags.options.decode, spread(r.decode_tps),
               flags.options.depth, streams);
    fmt::print("                  {:.1f} GB/s, {:.0f} % of the {:.1f} GB/s that this memory gives\n", r.decode_gb_per_s,
               percent(r.decode_gb_per_s, r.read_gb_per_s), r.read_gb_per_s);
  }
  std::string read;
  for (const auto& [threads, rate] : r.read_by_threads)
    read += fmt::format("{}{:.1f} GB/s ({})", read.empty() ? "" : ", ", rate, threads);
  fmt::print(
      "  this machine: memory read {} by threads; fp32 multiply-adds {:.0f} GFLOP/s, int8 dot products {:.0f} GOP/s\n",
      read, r.fma_gflops, r.int8_gops);
  if (!r.profile.empty()) print_profile(r);
  return kExitDone;
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("bench", "measure prompt and decode speed beside what this machine gives");
  auto flags = std::make_shared<Flags>();
  std::string shapes;
  for (const std::string& shape : bench_shapes()) shapes += (shapes.empty() ? "" : ", ") + shape;
  command->add_option("MODEL", flags->options.model, "GGUF file, Hugging Face folder or hf:ORG/NAME");
  command->add_option("--shape", flags->options.shape,
                      "instead of a model: a shape with seeded random weights (" + shapes + ")");
  CLI::Option* prompt = command->add_option("-p,--prompt", flags->options.prompt, "tokens of the prompt; 0 skips it")
                            ->capture_default_str()
                            ->check(CLI::Range(0, 1 << 20));
  command->add_option("-n,--decode", flags->options.decode, "tokens to decode; 0 skips it")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  command->add_option("-d,--depth", flags->options.depth, "positions that are cached before decoding")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  command->add_option("--streams", flags->options.streams, "sequences that decode at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  CLI::Option* profile =
      command->add_flag("--profile", flags->options.profile, "time by operation and block (--json: of every block)");
  command->add_flag("--engine", flags->engine, "write texts as a server does: one alone, and --streams at once")
      ->excludes(prompt)
      ->excludes(profile);
  command->add_option("-r,--repetitions", flags->options.repetitions, "runs of each")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_flag("--json", flags->json, "JSON on stdout");
  flags->load.add_to(*command);
  command->callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace nibble::cli
