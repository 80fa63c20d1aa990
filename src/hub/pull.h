// A model from the hub into the cache.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "hub/hub_environment.h"
#include "hub/hub_model.h"
#include "hub/retry.h"
#include "nibble/hub.h"

namespace nibble {

/// What nibble::pull() promises, with the environment and the patience given.
Result<PullReport> pull_into_cache(const HubEnvironment& environment, const HubModel& model, const PullOptions& options,
                                   const RetryPolicy& policy = {});

}  // namespace nibble
