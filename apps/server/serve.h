// nibble serve: models behind HTTP until a signal ends it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/engine.h"
#include "nibble/model.h"
#include "nibble/result.h"
#include "served_models.h"

namespace nibble::server {

struct ServeOptions {
  std::vector<std::string> models;  ///< GGUF files, Hugging Face folders or hf:ORG/NAME; all are served
  std::vector<std::string> names;   ///< their names, in the same order; missing ones come from the path
  LoadOptions load;
  EngineOptions engine;
  GenerateOptions generate;  ///< for what a request does not say

  std::string host = "127.0.0.1";
  int port = 8080;                         ///< 0: any free one
  std::vector<std::string> api_keys;       ///< without any, only this machine is listened to
  std::vector<std::string> allowed_hosts;  ///< further names by which the server is called
  std::vector<std::string> cors_origins;
  std::uint64_t max_body_bytes = std::uint64_t{16} << 20;
  int max_connections = 4096;
  std::optional<int> max_connections_per_client;  ///< as ServerOptions says
  double timeout_seconds = 60;                    ///< for clients that are slow to write or read
  double drain_seconds = 30;                      ///< for requests under way, after the first SIGTERM or SIGINT
  std::string access_log;                         ///< file; "-": stderr; empty: none
  bool log_bodies = false;                        ///< the log holds what clients sent, prompts and all
};

/// Runs until SIGTERM or SIGINT; a second one does not wait for requests under way. Errors: what is wrong with the
/// options or a model, or a port that cannot be had.
Status serve(const ServeOptions& options);
/// The same with models from elsewhere.
Status serve(const ServeOptions& options, ModelLoader loader);

}  // namespace nibble::server
