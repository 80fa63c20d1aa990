// nibble-serve-empty: the server with the empty model (apps/server/empty_model.h), for measuring what is the server's
// own. Limits have the flags of `nibble serve`.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "nibble/log.h"
#include "server/empty_model.h"
#include "server/serve.h"

int main(int argc, char** argv) {
  using namespace nibble::server;
  ServeOptions o;
  EmptyModelOptions model;
  std::int64_t step_us = 0;
  o.models = {"empty"};
  o.port = 8080;
  CLI::App app("serves the empty model");
  app.add_option("--port", o.port, "port; 0: any free one")->capture_default_str();
  app.add_option("--parallel", model.engine.max_running, "answers that are written at once")->capture_default_str();
  app.add_option("--queue", model.engine.max_waiting, "requests that may wait")->capture_default_str();
  app.add_option("--queue-tokens", model.engine.max_waiting_tokens, "tokens of their prompts")->capture_default_str();
  app.add_option("--max-body", o.max_body_bytes, "largest request")->capture_default_str();
  app.add_option("--max-connections", o.max_connections, "open connections")->capture_default_str();
  app.add_option("--timeout", o.timeout_seconds, "seconds that a client may take")->capture_default_str();
  app.add_option("--drain-timeout", o.drain_seconds, "seconds after SIGTERM")->capture_default_str();
  app.add_option("--access-log", o.access_log, "file; -: stderr (default: none)");
  app.add_option("--context", model.context, "positions")->capture_default_str();
  app.add_option("--step-us", step_us, "microseconds in which each running request gets a token (0: none)");
  CLI11_PARSE(app, argc, argv);
  model.step_time = std::chrono::microseconds(step_us);
  nibble::set_log_sink(
      [](nibble::LogLevel, std::string_view message) { std::fprintf(stderr, "%s\n", std::string(message).c_str()); });
  const nibble::Status status = serve(o, [&](const ModelSource& source, const std::atomic<bool>&) {
    return nibble::Result<ServedModel>(empty_model(source.id, model));
  });
  if (status.ok()) return 0;
  std::fprintf(stderr, "nibble-serve-empty: %s\n", status.error().message.c_str());
  return 1;
}
