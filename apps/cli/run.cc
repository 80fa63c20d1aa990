// nibble run: one answer with -p, otherwise a conversation.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <random>

#include "commands.h"
#include "load_flags.h"
#include "nibble/model.h"
#include "sampling_flags.h"
#include "terminal.h"

namespace nibble::cli {
namespace {

struct Flags {
  std::string model;
  std::string prompt;
  bool has_prompt = false;
  std::string system;
  bool raw = false;
  bool stats = false;
  bool random_seed = true;
  std::int64_t context = 0;
  GenerateOptions generate;
  LoadFlags load;
};

bool print_text(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return std::fflush(stdout) == 0 && !interrupted();
}

void print_stats(const GenerateReport& r) {
  fmt::print(stderr, "[prompt: {} tokens, {:.1f} tokens/s; answer: {} tokens, {:.1f} tokens/s]\n", r.prompt_tokens,
             r.prompt_seconds > 0 ? static_cast<double>(r.prompt_tokens) / r.prompt_seconds : 0.0, r.generated_tokens,
             r.decode_seconds > 0 ? static_cast<double>(r.generated_tokens) / r.decode_seconds : 0.0);
}

/// One answer; adds it to the conversation.
int answer(Model& model, Session& session, std::vector<ChatMessage>& messages, const Flags& flags) {
  const Result<std::vector<std::int32_t>> prompt = model.chat_prompt(messages);
  if (!prompt.ok()) return report_error(prompt.error());
  std::string text;
  const Result<GenerateReport> report = session.generate(*prompt, flags.generate, [&](std::string_view piece) {
    text += piece;
    return print_text(piece);
  });
  fmt::print("\n");
  if (!report.ok()) return report_error(report.error());
  if (flags.stats) print_stats(*report);
  if (report->reason == StopReason::kContextFull)
    fmt::print(stderr, "note: the context of {} tokens is full; start again, or use --ctx\n", model.context());
  messages.push_back({"assistant", text});
  return kExitDone;
}

int run_plain(Model& model, const Flags& flags) {
  Result<std::vector<std::int32_t>> prompt = model.tokenize(flags.prompt, true, true);
  if (!prompt.ok()) return report_error(prompt.error());
  const auto session = model.new_session();
  const Result<GenerateReport> report = session->generate(*prompt, flags.generate, print_text);
  fmt::print("\n");
  if (!report.ok()) return report_error(report.error());
  if (flags.stats) print_stats(*report);
  return interrupted() ? interrupted_status() : kExitDone;
}

int chat(Model& model, const Flags& flags) {
  const bool terminal = isatty(STDIN_FILENO) != 0;
  std::vector<ChatMessage> messages;
  const auto begin = [&] {
    messages.clear();
    if (!flags.system.empty()) messages.push_back({"system", flags.system});
  };
  begin();
  const auto session = model.new_session();
  if (terminal)
    fmt::print(stderr, "Type a message. Ctrl-C stops an answer, /clear starts again, Ctrl-D or /exit leaves.\n");
  for (;;) {
    clear_interrupt();
    if (terminal) {
      fmt::print("> ");
      std::fflush(stdout);
    }
    std::string line;
    if (!read_line(line)) {
      if (interrupted() && terminal && !asked_to_end()) {
        fmt::print("\n");
        continue;
      }
      if (terminal) fmt::print("\n");
      return interrupted() ? interrupted_status() : kExitDone;
    }
    if (line == "/exit" || line == "/quit") return kExitDone;
    if (line == "/clear") {
      begin();
      continue;
    }
    if (line.empty()) continue;
    messages.push_back({"user", line});
    const std::size_t before = messages.size();
    if (const int status = answer(model, *session, messages, flags); status != kExitDone) {
      if (!terminal) return status;
      messages.resize(before - 1);
    }
    if (asked_to_end() || (interrupted() && !terminal)) return interrupted_status();
  }
}

int run(Flags flags) {
  if (flags.random_seed) flags.generate.sampling.seed = std::random_device{}();
  LoadOptions load = flags.load.options(progress_display());
  load.context = flags.context;
  const Result<std::shared_ptr<Model>> model = Model::load(flags.model, load);
  end_progress();
  if (!model.ok()) return report_error(model.error());
  if (!flags.has_prompt) {
    if (!(*model)->has_chat_template())
      return report_error(
          {ErrorCode::kInvalidArgument, flags.model + ": the model has no chat template; give a prompt with -p"});
    return chat(**model, flags);
  }
  if (flags.raw || !(*model)->has_chat_template()) return run_plain(**model, flags);
  std::vector<ChatMessage> messages;
  if (!flags.system.empty()) messages.push_back({"system", flags.system});
  messages.push_back({"user", flags.prompt});
  const auto session = (*model)->new_session();
  const int status = answer(**model, *session, messages, flags);
  return status == kExitDone && interrupted() ? interrupted_status() : status;
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("run", "answer a prompt, or chat when no -p is given");
  auto flags = std::make_shared<Flags>();
  Sampling& sampling = flags->generate.sampling;
  command->add_option("MODEL", flags->model, "GGUF file, Hugging Face folder or hf:ORG/NAME")->required();
  CLI::Option* prompt = command->add_option("-p,--prompt", flags->prompt,
                                            "the question; goes through the chat template where the model has one");
  CLI::Option* raw =
      command->add_flag("--raw", flags->raw, "continue the prompt as plain text, without the chat template");
  command->add_option("--system", flags->system, "system message")->excludes(raw);
  command
      ->add_option("-n,--predict", flags->generate.max_tokens,
                   "at most this many tokens (default: until the model ends)")
      ->check(CLI::NonNegativeNumber);
  command->add_option("-c,--ctx", flags->context, "context size in tokens (default: what the model was made for)")
      ->check(CLI::Range(1, 1 << 24));
  add_sampling_flags(*command, sampling);
  CLI::Option* seed =
      command->add_option("-s,--seed", sampling.seed, "seed of the random numbers (default: a new one each time)");
  command->add_option("--stop", flags->generate.stop, "end before this text; repeatable")->allow_extra_args(false);
  command->add_flag("--ignore-eos", flags->generate.ignore_eos, "go on past the model's end token");
  command->add_flag("--stats", flags->stats, "print speeds on stderr");
  flags->load.add_to(*command);
  command->callback([flags, prompt, seed, &action] {
    flags->has_prompt = prompt->count() > 0;
    flags->random_seed = seed->count() == 0;
    action = [flags] { return run(*flags); };
  });
}

}  // namespace nibble::cli
