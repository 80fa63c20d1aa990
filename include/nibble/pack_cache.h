// Packs: weights in the layouts of the kernels, kept on disk so that a model loads in the time it takes to verify them.
// They are made and used when LoadOptions::pack_cache asks for it, and may be deleted at any time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nibble/result.h"

namespace nibble {

enum class PackState {
  kCurrent,  ///< it will be used
  kStale,    ///< made of another content of the model, or by another version; it will be made anew
  kDamaged,  ///< a size or a checksum is wrong; it will be made anew
};

struct PackInfo {
  std::string path;
  std::string name;  ///< "stored", or the scheme that the model is quantized to while loading
  std::uint64_t bytes = 0;
  PackState state = PackState::kCurrent;
  std::string why;  ///< what is wrong with it
};

/// The packs of a model, every byte verified. `folder`: where they lie when not beside the model.
Result<std::vector<PackInfo>> list_packs(const std::string& model, const std::string& folder);

/// Deletes them; returns how many bytes they had. Processes that run from one go on.
Result<std::uint64_t> delete_packs(const std::string& model, const std::string& folder);

}  // namespace nibble
