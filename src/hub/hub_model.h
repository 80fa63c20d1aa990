// The name of a model on a hub: hf:ORG/NAME[@REVISION].
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace nibble {

struct HubModel {
  std::string repo;               ///< "org/name", or "name" of the oldest models
  std::string revision = "main";  ///< branch, tag or commit

  /// "hf:org/name", with the revision where it is not main.
  std::string text() const;
};

/// Does this MODEL argument name a model on a hub (and not a path)?
bool is_hub_name(std::string_view model);

/// Errors: kInvalidArgument, with the form that is expected.
Result<HubModel> parse_hub_name(std::string_view model);

/// 40 hexadecimal digits, the name of a commit.
bool is_commit(std::string_view text);

}  // namespace nibble
