// One file of a repository into the cache: resumed where an earlier try stopped, compared with its checksum, linked
// under its name.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "hub/hub_cache.h"
#include "hub/hub_client.h"

namespace nibble {

/// Called with the bytes of this file that are there.
using BytesPresent = std::function<void(std::uint64_t bytes)>;

/// Makes snapshots/COMMIT/PATH hold the file. Does nothing when it does already; takes the blob if another commit
/// brought it. Processes that want the same blob wait for each other. Returns the bytes that came over the network.
/// Errors: those of HubClient; kIo when the disk is full; kCorrupt when the content is not what its checksum says, even
/// anew.
Result<std::uint64_t> download(HubClient& client, const HubCache& cache, const HubModel& model,
                               const std::string& commit, const std::string& path, const BytesPresent& present);

}  // namespace nibble
