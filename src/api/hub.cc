// nibble/hub.h
#include "nibble/hub.h"

#include <cstdlib>

#include "api/boundary.h"
#include "hub/pull.h"

namespace nibble {

Result<PullReport> pull(const std::string& model, const PullOptions& options) {
  return at_boundary([&]() -> Result<PullReport> {
    NIBBLE_TRY(const HubModel name, parse_hub_name(model));
    NIBBLE_TRY(const HubEnvironment environment,
               read_hub_environment([](const char* key) { return std::getenv(key); }));
    return pull_into_cache(environment, name, options);
  });
}

}  // namespace nibble
