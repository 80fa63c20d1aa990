// Windows of text that a model writes itself, where there is no other text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/model_files.h"
#include "nibble/model.h"

namespace nibble {

struct WrittenWindows {
  std::int64_t windows = 0;
  std::int64_t context = 0;  ///< tokens of each, BOS included
  std::uint64_t seed = 0;
  std::int64_t at_once =
      0;  ///< written together, each with its own keys and values; what is written does not depend on it
};

/// How many of the windows can be written at once while the process holds `max_memory` bytes at most (0: no bound), all
/// of the model among them. kInvalidArgument, with what one window takes, where that is more; `flag` gives a text
/// instead.
Result<std::int64_t> windows_at_once(const ModelFiles& files, const WrittenWindows& wanted, std::uint64_t max_memory,
                                     std::string_view flag);

/// Loads the model and lets it write, each window from its own random stream. Ids, window after window.
Result<std::vector<std::int32_t>> write_windows(const std::string& model, const WrittenWindows& wanted,
                                                const LoadOptions& options);

}  // namespace nibble
