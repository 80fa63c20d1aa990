// nibble serve
#include "server/serve.h"

#include <fmt/format.h>

#include <fstream>

#include "commands.h"
#include "environment.h"
#include "load_flags.h"
#include "sampling_flags.h"
#include "terminal.h"

namespace nibble::cli {
namespace {

struct Flags {
  server::ServeOptions options;
  std::string api_key_file;
  std::string access_log = "-";
  bool no_access_log = false;
  bool no_prefix_cache = false;
  LoadFlags load;
};

/// One key per line.
Status read_keys(const std::string& path, std::vector<std::string>& keys) {
  std::ifstream file(path);
  if (!file) return Error{ErrorCode::kNotFound, "--api-key-file " + path + ": cannot be read"};
  for (std::string line; std::getline(file, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) keys.push_back(line);
  }
  if (keys.empty()) return Error{ErrorCode::kInvalidArgument, "--api-key-file " + path + ": holds no key"};
  return {};
}

int run(Flags flags) {
  server::ServeOptions& options = flags.options;
  if (!flags.api_key_file.empty())
    if (const Status status = read_keys(flags.api_key_file, options.api_keys); !status.ok())
      return report_error(status.error());
  const std::int64_t context = options.load.context;
  options.load = flags.load.options(progress_display());
  options.load.context = context;
  options.access_log = flags.no_access_log ? "" : flags.access_log;
  options.engine.reuse_prefixes = !flags.no_prefix_cache;
  const Status status = server::serve(options);
  return status.ok() ? kExitDone : report_error(status.error());
}

void add_address(CLI::App& command, Flags& flags, Environment& environment) {
  server::ServeOptions& o = flags.options;
  const auto also = [&](CLI::Option* option, std::vector<const char*> names) {
    environment.emplace_back(option, std::move(names));
    return option;
  };
  also(command.add_option("--host", o.host, "address to listen on; others than this machine need an API key")
           ->capture_default_str(),
       {"NIBBLE_HOST", "LLAMA_ARG_HOST"});
  also(
      command.add_option("--port", o.port, "port; 0: any free one")->capture_default_str()->check(CLI::Range(0, 65535)),
      {"NIBBLE_PORT", "LLAMA_ARG_PORT"});
  also(command.add_option("--api-key", o.api_keys, "key that requests must give; repeatable")->allow_extra_args(false),
       {"NIBBLE_API_KEY", "LLAMA_API_KEY", "VLLM_API_KEY"});
  also(command.add_option("--api-key-file", flags.api_key_file, "file of keys, one per line"),
       {"NIBBLE_API_KEY_FILE", "LLAMA_ARG_API_KEY_FILE"});
  command.add_option("--allowed-host", o.allowed_hosts, "further name by which the server may be called; repeatable")
      ->allow_extra_args(false);
  command
      .add_option("--cors-origin,--allowed-origins", o.cors_origins,
                  "origin whose pages may use the server, https://example.org, or *; repeatable")
      ->allow_extra_args(false);
}

void add_limits(CLI::App& command, Flags& flags, Environment& environment) {
  server::ServeOptions& o = flags.options;
  environment.emplace_back(
      command.add_option("--parallel,--max-num-seqs", o.engine.max_running, "answers that are written at once")
          ->capture_default_str()
          ->check(CLI::Range(1, 4096)),
      std::vector<const char*>{"NIBBLE_PARALLEL", "LLAMA_ARG_N_PARALLEL"});
  command.add_option("--queue", o.engine.max_waiting, "requests that may wait; more are refused with 503")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command.add_option("--queue-tokens", o.engine.max_waiting_tokens, "tokens of their prompts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 30));
  command.add_option("--batch-size,--max-num-batched-tokens", o.engine.step_tokens, "prompt tokens in a step")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command.add_option("--kv-memory", o.engine.kv_memory, "memory for keys and values, e.g. 2G (default: by --parallel)")
      ->transform(CLI::AsSizeValue(true));
  command.add_flag("--no-prefix-cache,--no-enable-prefix-caching", flags.no_prefix_cache,
                   "compute beginnings that requests share for each of them");
  command.add_option("--max-body", o.max_body_bytes, "largest request")
      ->transform(CLI::AsSizeValue(true))
      ->capture_default_str();
  command.add_option("--max-connections", o.max_connections, "open connections")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command
      .add_option("--max-connections-per-client", o.max_connections_per_client,
                  "open connections of one address (default: a quarter of --max-connections; from this machine any)")
      ->check(CLI::Range(1, 1 << 20));
  environment.emplace_back(
      command.add_option("--timeout", o.timeout_seconds, "seconds that a client may take to send or to read on")
          ->capture_default_str()
          ->check(CLI::Range(0.1, 1e6)),
      std::vector<const char*>{"NIBBLE_TIMEOUT", "LLAMA_ARG_TIMEOUT"});
  command
      .add_option("--drain-timeout", o.drain_seconds,
                  "seconds that requests under way may take after SIGTERM or Ctrl-C; a second signal ends them")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e6));
  command.add_option("--access-log", flags.access_log, "file for a line of JSON per answer; -: stderr")
      ->capture_default_str();
  command.add_flag("--no-access-log", flags.no_access_log, "none");
  command.add_flag("--log-prompts", o.log_bodies, "the access log also holds what clients sent");
}

}  // namespace

void add_serve(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("serve", "answer OpenAI's HTTP interface, and a chat page, on a port");
  auto flags = std::make_shared<Flags>();
  auto environment = std::make_shared<Environment>();
  server::ServeOptions& o = flags->options;
  CLI::Option* model = command->add_option("-m,--model,MODEL", o.models,
                                           "GGUF files, Hugging Face folders or hf:ORG/NAME; all are served");
  environment->emplace_back(model, std::vector<const char*>{"NIBBLE_MODEL", "LLAMA_ARG_MODEL"});
  environment->emplace_back(
      command->add_option("-a,--alias,--served-model-name", o.names, "their names, in the same order; repeatable")
          ->allow_extra_args(false),
      std::vector<const char*>{"NIBBLE_ALIAS", "LLAMA_ARG_ALIAS"});
  environment->emplace_back(command
                                ->add_option("-c,--ctx,--ctx-size,--max-model-len", o.load.context,
                                             "context size in tokens (default: what the model was made for)")
                                ->check(CLI::Range(1, 1 << 24)),
                            std::vector<const char*>{"NIBBLE_CTX", "LLAMA_ARG_CTX_SIZE"});
  add_address(*command, *flags, *environment);
  add_limits(*command, *flags, *environment);
  environment->emplace_back(
      command
          ->add_option("-n,--predict", o.generate.max_tokens,
                       "tokens of an answer where a request does not say (default: until the model ends)")
          ->check(CLI::NonNegativeNumber),
      std::vector<const char*>{"NIBBLE_PREDICT", "LLAMA_ARG_N_PREDICT"});
  add_sampling_flags(*command, o.generate.sampling);
  flags->load.add_to(*command);
  environment->emplace_back(command->get_option("--threads"),
                            std::vector<const char*>{"NIBBLE_THREADS", "LLAMA_ARG_THREADS"});
  command->callback([flags, environment, &action] {
    read_environment(*environment);
    if (flags->options.models.empty()) throw CLI::RequiredError("MODEL");
    action = [flags] { return run(*flags); };
  });
}

}  // namespace nibble::cli
