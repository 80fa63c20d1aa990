#include "serve.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cstdio>
#include <ctime>
#include <memory>

#include "base/log.h"
#include "server.h"

namespace nibble::server {
namespace {

/// Each connection is a file, and the usual limit is 1,024.
void raise_file_limit(int connections) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = static_cast<rlim_t>(connections) + 256;
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  setrlimit(RLIMIT_NOFILE, &limit);
}

bool is_loopback(const std::string& host) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  return host == "localhost" || (!error && address.is_loopback());
}

Result<std::vector<ModelSource>> sources_of(const ServeOptions& options) {
  if (options.names.size() > options.models.size())
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{} names for {} models", options.names.size(), options.models.size())};
  std::vector<ModelSource> sources;
  for (std::size_t i = 0; i < options.models.size(); ++i) {
    ModelSource source{i < options.names.size() ? options.names[i] : model_name(options.models[i]), options.models[i]};
    for (const ModelSource& other : sources)
      if (other.id == source.id)
        return Error{
            ErrorCode::kInvalidArgument,
            fmt::format("two models are named \"{}\"; --alias gives names, in the order of the models", source.id)};
    sources.push_back(std::move(source));
  }
  if (sources.empty()) return Error{ErrorCode::kInvalidArgument, "no model to serve"};
  if (sources.size() > 1 && options.load.memory > 0)
    return Error{ErrorCode::kInvalidArgument, "--memory bounds a process with one model; serve each by one of its own"};
  return sources;
}

Result<ServedModel> load_model_of(const ModelSource& source, const ServeOptions& options,
                                  const std::atomic<bool>& stop) {
  ServedModel served{source.id, source.path, nullptr, nullptr, nullptr, 0};
  LoadOptions load = options.load;
  load.progress = [&](std::string_view what, std::uint64_t done, std::uint64_t total, std::string_view unit) {
    return !stop && (!options.load.progress || options.load.progress(what, done, total, unit));
  };
  auto model = Model::load(source.path, load);
  if (!model.ok()) return model.error();
  served.model = std::move(*model);
  auto chat = Chat::of(served.model);
  if (!chat.ok()) return chat.error();
  served.chat = std::move(*chat);
  auto engine = Engine::create(served.model, options.engine);
  if (!engine.ok()) return engine.error();
  served.engine = std::move(*engine);
  served.loaded_at = std::time(nullptr);
  return served;
}

GateOptions gate_of(const ServeOptions& options) {
  GateOptions gate{options.api_keys, {}, options.cors_origins};
  // Without a key, a page that makes its own name point here must not get through.
  if (options.api_keys.empty()) gate.allowed_hosts = {"localhost", "127.0.0.1", "::1", host_name(options.host)};
  for (const std::string& name : options.allowed_hosts) gate.allowed_hosts.push_back(host_name(name));
  return gate;
}

Result<std::function<void(const std::string&)>> log_of(const std::string& path) {
  if (path.empty()) return std::function<void(const std::string&)>();
  std::FILE* out = path == "-" ? stderr : std::fopen(path.c_str(), "a");
  if (out == nullptr) return Error{ErrorCode::kIo, fmt::format("--access-log {}: cannot be written", path)};
  const std::shared_ptr<std::FILE> file(out, [](std::FILE* f) {
    if (f != stderr) std::fclose(f);
  });
  return std::function<void(const std::string&)>([file](const std::string& line) {
    std::fwrite((line + "\n").data(), 1, line.size() + 1, file.get());
    std::fflush(file.get());
  });
}

}  // namespace

Status serve(const ServeOptions& options) {
  return serve(options, [&options](const ModelSource& source, const std::atomic<bool>& stop) {
    return load_model_of(source, options, stop);
  });
}

Status serve(const ServeOptions& options, ModelLoader loader) {
  if (options.api_keys.empty() && !is_loopback(options.host))
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("--host {}: other machines are served only with an API key; set --api-key", options.host)};
  auto sources = sources_of(options);
  if (!sources.ok()) return sources.error();
  auto log = log_of(options.access_log);
  if (!log.ok()) return log.error();
  raise_file_limit(options.max_connections);

  ServerOptions server_options;
  server_options.host = options.host;
  server_options.port = options.port;
  server_options.max_connections = options.max_connections;
  server_options.max_connections_per_client = options.max_connections_per_client;
  server_options.drain_seconds = options.drain_seconds;
  ConnectionLimits& limits = server_options.limits;
  limits.body_bytes = options.max_body_bytes;
  const auto patience = std::chrono::milliseconds(static_cast<std::int64_t>(1e3 * options.timeout_seconds));
  limits.body_time = limits.write_time = limits.idle_time = patience;
  limits.header_time = std::min(limits.header_time, patience);
  server_options.api.gate = gate_of(options);
  server_options.api.defaults.generate = options.generate;
  server_options.api.access_log = std::move(*log);
  server_options.api.log_bodies = options.log_bodies;

  ServedModels models(std::move(*sources), std::move(loader));
  Server server(models, std::move(server_options));
  if (const Status status = server.listen(); !status.ok()) return status;
  log_message(LogLevel::kInfo, fmt::format("listening on {}, loading", server.url()));
  return server.run([] { log_message(LogLevel::kInfo, "ready; Ctrl-C ends"); });
}

}  // namespace nibble::server
