// Results as JSON on stdout, for machines.
#pragma once

#include <nlohmann/json.hpp>

#include "nibble/bench.h"
#include "nibble/hub.h"
#include "nibble/imatrix.h"
#include "nibble/pack_cache.h"
#include "nibble/statistics.h"

namespace nibble::cli {

using Json = nlohmann::ordered_json;

Json to_json(const PullReport& report);
Json to_json(const ImatrixReport& report);
Json to_json(const StatisticsReport& report);
Json to_json(const BenchReport& report);
Json to_json(const EngineBenchReport& report);
Json to_json(const std::vector<PackInfo>& packs);
/// "current", "stale", "damaged"
std::string_view pack_state_name(PackState state);
void print_json(const Json& json);

}  // namespace nibble::cli
