// Resolving MODEL arguments.
#include "api/model_path.h"

#include <cstdlib>
#include <filesystem>

#include "hub/hub_cache.h"

namespace nibble {

Result<std::string> model_path(const std::string& model) {
  std::error_code error;
  if (!is_hub_name(model) || std::filesystem::exists(model, error)) return model;
  NIBBLE_TRY(const HubModel name, parse_hub_name(model));
  NIBBLE_TRY(const HubEnvironment environment, read_hub_environment([](const char* key) { return std::getenv(key); }));
  NIBBLE_TRY(const std::filesystem::path path, find_snapshot(environment, name));
  return path.string();
}

}  // namespace nibble
