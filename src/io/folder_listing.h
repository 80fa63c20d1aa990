// What lies in a folder: the readers of sharded containers choose their files from it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

/// Names in a folder, sorted, hidden ones left out. Empty when it cannot be listed.
std::vector<std::string> names_in(const std::filesystem::path& folder);

/// Paths relative to `folder` of what lies in its subfolders and ends so, sorted. Looks a few levels deep, at a bounded
/// number of names, and not into hidden folders.
std::vector<std::string> names_below(const std::filesystem::path& folder, std::string_view suffix);

/// The names that end so.
std::vector<std::string> names_ending(const std::vector<std::string>& names, std::string_view suffix);

/// "a, b, c", fit for a message.
std::string joined(const std::vector<std::string>& names);

}  // namespace nibble
