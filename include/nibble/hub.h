// Models of the Hugging Face hub, through the cache that its own tools use.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nibble/progress.h"
#include "nibble/result.h"

namespace nibble {

struct PullOptions {
  std::vector<std::string> include;  ///< patterns of file names; empty: what the model needs
  Progress progress;
};

struct PullReport {
  std::string path;  ///< the snapshot: a folder that is a MODEL
  std::string commit;
  std::vector<std::string> files;
  std::uint64_t bytes = 0;       ///< of the files
  std::uint64_t downloaded = 0;  ///< of those, what came over the network now
};

/// Downloads "hf:org/name[@revision]" into the Hugging Face cache; takes what is there already and goes on where an
/// earlier download stopped. Cache, endpoint and token come from the environment variables of huggingface_hub
/// (docs/hub.md).
Result<PullReport> pull(const std::string& model, const PullOptions& options);

}  // namespace nibble
