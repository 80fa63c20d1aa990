// Paths that come from outside and are meant to stay below a folder.
#pragma once

#include <string>

namespace nibble {

/// A relative path of a file that stays below the folder it is appended to: no "..", no root, no backslash, no control
/// character, no empty part.
bool is_path_below(const std::string& path);

}  // namespace nibble
