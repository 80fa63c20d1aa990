// nibble quantize and nibble convert
#include "nibble/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "calibration_flags.h"
#include "commands.h"
#include "json_output.h"
#include "terminal.h"

namespace nibble::cli {
namespace {

struct Flags {
  std::string model;
  std::string out;
  std::string method = "rtn";
  std::string scheme;
  std::vector<std::string> overrides;
  double target_bpw = 0;
  std::uint64_t target_size = 0;
  std::vector<std::string> candidates;
  std::string to;
  std::string range = "full";
  std::string imatrix;
  CalibrationOptions calibration;
  std::string statistics;
  double damping = 0.01;
  std::string act_order;
  int iterations = 200;
  std::string importance;
  bool bias_correction = false;
  std::uint64_t max_memory = 0;
  bool resume = false;
  std::string report;
  std::string report_text;
  bool quantize_head = false;
  bool lossy = false;
  bool json = false;
  bool tensors = false;
  int threads = 0;
  std::uint64_t shard_bytes = 0;
};

/// "down_proj" of "model.layers.3.mlp.down_proj.weight".
std::string kind_of(const std::string& tensor) {
  const std::string name = tensor.ends_with(".weight") ? tensor.substr(0, tensor.size() - 7) : tensor;
  return name.substr(name.rfind('.') + 1);
}

/// What was chosen for the matrices of each kind, by bits.
void show_bits(const ConversionReport& r) {
  std::map<std::string, std::map<std::pair<double, std::string>, int>> kinds;
  for (const TensorReport& t : r.tensors) ++kinds[kind_of(t.name)][{t.bits_per_weight, t.scheme}];
  fmt::print("\n  {:<12} bits chosen, for a KL divergence of about {:.4f}\n", "matrices", r.bit_choice->predicted_kld);
  for (const auto& [kind, schemes] : kinds) {
    std::string text;
    for (const auto& [scheme, count] : schemes)
      text += fmt::format("{}{} x {}", text.empty() ? "" : ", ", count, scheme.second);
    fmt::print("  {:<12} {}\n", kind, text);
  }
}

/// The report's table: the parts of a model by kind, then the whole beside its original.
void show_held_out(const ConversionReport& r) {
  struct Kind {
    int count = 0;
    double error = 0;
    double rtn_error = 0;
    int rtn_count = 0;  ///< matrices of which that is known
    double bits = 0;
    double seconds = 0;
  };
  std::map<std::string, Kind> kinds;
  for (const TensorReport& t : r.tensors) {
    if (!t.output_error) continue;
    Kind& kind = kinds[kind_of(t.name)];
    ++kind.count;
    kind.error += *t.output_error;
    kind.rtn_error += t.rtn_output_error.value_or(0);
    kind.rtn_count += t.rtn_output_error ? 1 : 0;
    kind.bits += t.bits_per_weight;
    kind.seconds += t.seconds;
  }
  fmt::print("\n  {:<12} {:>8} {:>6} {:>22} {:>14} {:>9}\n", "matrices", "count", "bits", "error if to nearest",
             "error", "seconds");
  for (const auto& [name, k] : kinds)
    fmt::print("  {:<12} {:>8} {:>6.3f} {:>22} {:>14.5f} {:>9.1f}\n", name, k.count, k.bits / k.count,
               k.rtn_count > 0 ? fmt::format("{:.5f}", k.rtn_error / k.rtn_count) : "", k.error / k.count, k.seconds);
  const Evaluation& e = *r.held_out;
  const Evaluation::Comparison& c = *e.comparison;
  fmt::print("\n  on {} tokens of {}:\n", e.tokens, r.held_out_text);
  fmt::print(
      "  perplexity {:.4f} +- {:.4f} (original {:.4f}), KL divergence {:.5f} +- {:.5f}, same top token {:.2f} %\n",
      e.perplexity, e.perplexity_stderr, c.baseline_perplexity, c.kld_mean, c.kld_mean_stderr, 100 * c.top1_agreement);
  for (const std::string& file : r.files) fmt::print("  {}\n", file);
}

int show(const Result<ConversionReport>& result, const Flags& flags) {
  end_progress();
  if (!result.ok()) return report_error(result.error());
  if (flags.json) {
    fmt::print("{}\n", to_json(*result));
    return kExitDone;
  }
  const ConversionReport& r = *result;
  if (r.was_whole) {
    fmt::print("{}: whole already, nothing to resume\n", flags.out);
    return kExitDone;
  }
  if (flags.tensors)
    for (const TensorReport& t : r.tensors)
      fmt::print("  {:<48} {} -> {}  {}\n", t.name, t.source_scheme, t.scheme,
                 t.exact
                     ? "exact"
                     : fmt::format("{}relative error {:.5f}", t.keeps_codes ? "same codes, " : "", t.relative_error));
  std::size_t exact = 0;
  std::size_t same_codes = 0;
  double largest = 0;
  for (const TensorReport& t : r.tensors) {
    exact += t.exact ? 1 : 0;
    same_codes += t.keeps_codes && !t.exact ? 1 : 0;
    largest = std::max(largest, t.relative_error);
  }
  fmt::print("{}: {}, {}, {:.3f} bits per weight, {} of {} matrices exact", flags.out, r.family, human_bytes(r.bytes),
             r.bits_per_weight, exact, r.tensors.size());
  if (same_codes > 0) fmt::print(", {} with the same codes and rounded scales or offsets", same_codes);
  if (exact < r.tensors.size())
    fmt::print(", relative error of the rest {:.5f} (largest {:.5f})", r.relative_error, largest);
  fmt::print(", {:.1f} s\n", r.seconds);
  if (r.bit_choice) show_bits(r);
  if (r.held_out && r.held_out->comparison) show_held_out(r);
  return kExitDone;
}

void add_shared(CLI::App* command, const std::shared_ptr<Flags>& flags) {
  command->add_option("MODEL", flags->model, "GGUF file, Hugging Face folder or hf:ORG/NAME")->required();
  command->add_option("-o,--output", flags->out, "output: a folder, or a file that ends in .gguf")->required();
  command->add_option("--shard-size", flags->shard_bytes, "largest size of an output file, e.g. 2GB")
      ->transform(CLI::AsSizeValue(true));
  command->add_option("-t,--threads", flags->threads, "threads (default: all processors)")->check(CLI::Range(0, 4096));
  command->add_flag("--tensors", flags->tensors, "list what became of every matrix");
  command->add_flag("--json", flags->json, "JSON on stdout");
}

}  // namespace

void add_quantize(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("quantize", "quantize a model's matrices to few bits");
  command->footer(
      "Schemes: CODE-GROUPING[-sym|-asym][-dq][-scale:T], for example int4-g32-sym, int4-g128-asym, int8-channel, "
      "nf4-g64, fp8-e4m3-channel,\n"
      "codebook4-row. Codes: int1..int8, ternary, binary, nf4, fp4, fp8-e4m3, fp8-e5m2, codebook1..8. Groupings: "
      "tensor, channel, gN, blockRxC, flatN. Into a GGUF file also llama.cpp's mixtures: q4_0, q8_0, q2_k, q3_k_m, "
      "q4_k_m, q5_k_m, q6_k,\n"
      "iq4_nl, iq4_xs, tq2_0 ...");
  auto flags = std::make_shared<Flags>();
  add_shared(command, flags);
  command
      ->add_option("--method", flags->method,
                   "quantization method: rtn, hqq, gptq, best, awq, awq+gptq, autoround, wnam")
      ->capture_default_str();
  CLI::Option* scheme = command->add_option("--scheme", flags->scheme, "what the weights become, e.g. int4-g32-sym");
  command
      ->add_option("--override", flags->overrides,
                   "PATTERN=SCHEME: another scheme, or bf16, for linears in whose name the regular expression is "
                   "found, e.g. down_proj=int8-g32-sym; repeat for several, the last that is found counts")
      ->allow_extra_args(false);
  CLI::Option* bpw =
      command->add_option("--target-bpw", flags->target_bpw,
                          "in place of a scheme: bits per weight of all matrices; each gets its own scheme");
  CLI::Option* size =
      command->add_option("--target-size", flags->target_size, "the same in bytes of the tensor files, e.g. 80M");
  size->transform(CLI::AsSizeValue(true));
  scheme->excludes(bpw)->excludes(size);
  bpw->excludes(size);
  command
      ->add_option("--candidates", flags->candidates,
                   "with a target: the schemes to choose from, e.g. int3-g32-sym,int4-g32-sym,int8-g32-sym")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--to", flags->to, "family: compressed-tensors, nibble, gguf (default: by output and scheme)");
  command->add_option("--range", flags->range, "full, absmax, gptq, percentile:P, mse")->capture_default_str();
  command->add_flag("--quantize-head", flags->quantize_head, "quantize embedding and output head too");
  command->add_option("--imatrix", flags->imatrix, "importance matrix (nibble imatrix, llama-imatrix)");
  CLI::Option* texts = add_calibration_flags(*command, flags->calibration);
  command
      ->add_option(
          "--statistics", flags->statistics,
          "calibrated methods: a file of nibble statistics, in place of calibration text; the model is not run")
      ->excludes(texts);
  command->add_option("--damping", flags->damping, "gptq: part of the mean diagonal that is added to it")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 10.0));
  command
      ->add_option(
          "--act-order", flags->act_order,
          "gptq, best: columns by the size of their inputs: groups (within groups, and whole groups; default), "
          "full (desc_act: groups as they come, with a g_idx), static (gptq only: scales chosen before)")
      ->check(CLI::IsMember({"groups", "full", "static"}));
  command->add_option("--iters", flags->iterations, "autoround: iterations of each block; 0: only searches scales")
      ->capture_default_str()
      ->check(CLI::Range(0, 100000));
  command->add_flag("--bias-correction", flags->bias_correction,
                    "gptq, best, awq, awq+gptq, wnam: biases take back what quantizing adds to mean outputs");
  command
      ->add_option(
          "--importance", flags->importance,
          "wnam: errors count by activations (each column by its inputs; default) or gradients (each weight by "
          "its own, from one backward pass)")
      ->check(CLI::IsMember({"activations", "gradients"}));
  command
      ->add_option("--max-memory", flags->max_memory,
                   "calibrated methods: memory that the process may hold, e.g. 2G; activations wait on disk beyond it")
      ->transform(CLI::AsSizeValue(true));
  command->add_flag("--resume", flags->resume,
                    "calibrated methods: go on from what an interrupted run with the same flags finished");
  command
      ->add_option("--report", flags->report,
                   "calibrated methods: off, quick (8 windows of 512 tokens, the default) or full (64): the output "
                   "beside the original, "
                   "and OUT.report.json and .html")
      ->check(CLI::IsMember({"off", "quick", "full"}));
  command->add_option("--report-text", flags->report_text,
                      "text that the report measures on (default: what calibration left of its texts)");
  command->callback([flags, &action] {
    action = [flags] {
      QuantizeOptions options;
      options.max_memory = flags->max_memory;
      options.resume = flags->resume;
      options.report_text = flags->report_text;
      if (flags->report == "off") options.report = ReportLevel::kOff;
      if (flags->report == "quick") options.report = ReportLevel::kQuick;
      if (flags->report == "full") options.report = ReportLevel::kFull;
      options.calibration = flags->calibration;
      options.statistics = flags->statistics;
      options.damping = flags->damping;
      options.bias_correction = flags->bias_correction;
      if (flags->act_order == "full") options.act_order = ActOrder::kFull;
      if (flags->act_order == "static") options.act_order = ActOrder::kStatic;
      options.iterations = flags->iterations;
      if (flags->importance == "gradients") options.importance = ImportanceSource::kGradients;
      options.method = flags->method;
      options.scheme = flags->scheme;
      options.overrides = flags->overrides;
      options.target_bpw = flags->target_bpw;
      options.target_size = flags->target_size;
      options.candidates = flags->candidates;
      options.to = flags->to;
      options.range = flags->range;
      options.quantize_head = flags->quantize_head;
      options.imatrix = flags->imatrix;
      options.threads = flags->threads;
      options.shard_bytes = flags->shard_bytes;
      options.progress = progress_display();
      return show(quantize(flags->model, flags->out, options), *flags);
    };
  });
}

void add_convert(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "convert", "convert a model to another checkpoint family, exactly where the target can say the same");
  auto flags = std::make_shared<Flags>();
  add_shared(command, flags);
  command->add_option("--to", flags->to,
                      "gguf, gguf:TYPE (f32, f16, bf16, q8_0, q4_0, q4_k, q6_k, iq4_xs, tq2_0 ...), hf:f32, hf:f16, "
                      "hf:bf16, compressed-tensors, nibble");
  command->add_flag("--lossy", flags->lossy, "requantize what the target cannot hold exactly");
  command->callback([flags, &action] {
    action = [flags] {
      ConvertOptions options;
      options.to = flags->to;
      options.lossy = flags->lossy;
      options.threads = flags->threads;
      options.shard_bytes = flags->shard_bytes;
      options.progress = progress_display();
      return show(convert(flags->model, flags->out, options), *flags);
    };
  });
}

}  // namespace nibble::cli
