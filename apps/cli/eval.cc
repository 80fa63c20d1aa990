// nibble eval and nibble sample
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "commands.h"
#include "json_output.h"
#include "load_flags.h"
#include "nibble/evaluate.h"
#include "nibble/output.h"
#include "terminal.h"

namespace nibble::cli {
namespace {

struct Flags {
  std::string model;
  std::string baseline;
  std::string text;
  std::string tokens;
  std::string out;
  std::string save_logits;
  std::int64_t context = 512;
  std::int64_t chunks = 0;
  std::uint64_t seed = 0;
  bool json = false;
  LoadFlags load;
};

/// Token ids separated by white space.
struct TokenFile {
  std::vector<std::int32_t> ids;
  std::size_t line = 0;  ///< ids in every line; 0: lines differ, or there is one
};

Result<TokenFile> read_tokens(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Error{ErrorCode::kNotFound, path + ": cannot open"};
  TokenFile tokens;
  std::size_t lines = 0;
  bool equal = true;
  for (std::string text; std::getline(file, text);) {
    const std::size_t before = tokens.ids.size();
    std::istringstream line(text);
    std::int64_t id = 0;
    while (line >> id) {
      if (id < 0 || id > INT32_MAX)
        return Error{ErrorCode::kCorrupt, path + ": " + std::to_string(id) + " is not a token id"};
      tokens.ids.push_back(static_cast<std::int32_t>(id));
    }
    if (!line.eof())
      return Error{ErrorCode::kCorrupt,
                   path + ": something that is not a number after " + std::to_string(tokens.ids.size()) + " token ids"};
    const std::size_t count = tokens.ids.size() - before;
    if (count == 0) continue;
    equal = equal && (lines == 0 || count == tokens.line);
    tokens.line = count;
    ++lines;
  }
  if (!equal || lines < 2) tokens.line = 0;
  return tokens;
}

int run_eval(const Flags& flags) {
  if (!flags.text.empty() && !flags.tokens.empty())
    return report_error(
        {ErrorCode::kInvalidArgument, "eval takes a text or tokens: --text and --tokens exclude each other"});
  if (flags.text.empty() && flags.tokens.empty() && !std::filesystem::is_regular_file(flags.baseline))
    return report_error({ErrorCode::kInvalidArgument,
                         "eval needs a text: --text FILE (UTF-8), --tokens FILE from `nibble sample`, or --baseline "
                         "FILE that --save-logits made"});
  EvaluateOptions options;
  options.text_file = flags.text;
  if (!flags.tokens.empty()) {
    Result<TokenFile> tokens = read_tokens(flags.tokens);
    if (!tokens.ok()) return report_error(tokens.error());
    options.tokens = std::move(tokens->ids);
    if (options.tokens.empty())
      return report_error({ErrorCode::kInvalidArgument, flags.tokens + ": holds no token ids"});
    if (tokens->line > 1 && tokens->line != static_cast<std::size_t>(flags.context))
      fmt::print(
          stderr,
          "warning: {}: every line has {} ids; windows of {} begin and end elsewhere, --ctx {} takes the lines\n",
          flags.tokens, tokens->line, flags.context, tokens->line);
  }
  options.context = flags.context;
  options.chunks = flags.chunks;
  options.save_logits = flags.save_logits;
  options.model = flags.load.options(progress_display());
  options.baseline = baseline_of(options.model);
  options.progress = progress_display();
  const Result<Evaluation> result = evaluate(flags.model, flags.baseline, options);
  end_progress();
  if (!result.ok()) return report_error(result.error());
  if (flags.json) {
    fmt::print("{}\n", to_json(*result));
    return kExitDone;
  }
  const Evaluation& e = *result;
  fmt::print("{}: {} windows of {} tokens, {} positions scored\n", flags.model, e.windows, flags.context, e.tokens);
  fmt::print("  perplexity          {:.4f} +- {:.4f}\n", e.perplexity, e.perplexity_stderr);
  if (e.comparison) {
    const auto& c = *e.comparison;
    fmt::print("  baseline perplexity {:.4f} +- {:.4f}\n", c.baseline_perplexity, c.baseline_perplexity_stderr);
    fmt::print("  KL divergence       {:.6f} +- {:.6f} nats (99th percentile {:.4f}, largest {:.4f})\n", c.kld_mean,
               c.kld_mean_stderr, c.kld_p99, c.kld_max);
    fmt::print("  same top token      {:.2f} % +- {:.2f} %\n", c.top1_agreement * 100, c.top1_agreement_stderr * 100);
  }
  return kExitDone;
}

int run_sample(const Flags& flags) {
  const Result<std::vector<std::int32_t>> tokens =
      sample_windows(flags.model, flags.chunks, flags.context, flags.seed, flags.load.options(progress_display()));
  end_progress();
  if (!tokens.ok()) return report_error(tokens.error());
  std::string text;
  for (std::size_t i = 0; i < tokens->size(); ++i)
    text += std::to_string((*tokens)[i]) + ((i + 1) % static_cast<std::size_t>(flags.context) == 0 ? "\n" : " ");
  if (flags.out.empty()) {
    fmt::print("{}", text);
    return kExitDone;
  }
  const Status written = write_output_file(flags.out, text);
  return written.ok() ? kExitDone : report_error(written.error());
}

}  // namespace

void add_eval(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("eval", "measure perplexity, and divergence from a baseline, over a text");
  auto flags = std::make_shared<Flags>();
  command->add_option("MODEL", flags->model, "GGUF file, Hugging Face folder or hf:ORG/NAME")->required();
  command->add_option("--baseline", flags->baseline,
                      "the original, or its logits (--save-logits), to measure KL divergence and agreement against");
  command->add_option("--text", flags->text, "UTF-8 text");
  command->add_option("--tokens", flags->tokens, "token ids instead of a text, as `nibble sample` writes them");
  command->add_option("--ctx", flags->context, "tokens per window")
      ->capture_default_str()
      ->check(CLI::Range(2, 1 << 24));
  command->add_option("--chunks", flags->chunks, "at most this many windows (default: all)")
      ->check(CLI::PositiveNumber);
  command->add_option(
      "--save-logits", flags->save_logits,
      "file for the model's logits (4 bytes x vocabulary per token), a --baseline that need not run again");
  command->add_flag("--json", flags->json, "JSON on stdout");
  flags->load.add_to(*command);
  command->callback([flags, &action] { action = [flags] { return run_eval(*flags); }; });
}

void add_sample(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "sample", "let a model write windows of tokens, to evaluate its quantized copies where no text is at hand");
  auto flags = std::make_shared<Flags>();
  flags->chunks = 16;
  command->add_option("MODEL", flags->model, "GGUF file, Hugging Face folder or hf:ORG/NAME")->required();
  command->add_option("-o,--output", flags->out, "file for the token ids, one window a line (default: stdout)");
  command->add_option("--windows", flags->chunks, "windows")->capture_default_str()->check(CLI::Range(1, 1 << 20));
  command->add_option("--ctx", flags->context, "tokens per window")
      ->capture_default_str()
      ->check(CLI::Range(2, 1 << 24));
  command->add_option("--seed", flags->seed, "seed of the random numbers")->capture_default_str();
  flags->load.add_to(*command);
  command->callback([flags, &action] { action = [flags] { return run_sample(*flags); }; });
}

}  // namespace nibble::cli
