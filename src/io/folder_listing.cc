// Listing a folder.
#include "io/folder_listing.h"

#include <algorithm>

#include "base/utf8.h"

namespace nibble {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (!name.empty() && name.front() != '.') names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> names_below(const fs::path& folder, std::string_view suffix) {
  constexpr int kMaxDepth = 2;  // subfolders of subfolders
  constexpr std::size_t kMaxNames = 10000;
  std::vector<std::string> names;
  std::error_code error;
  std::size_t seen = 0;
  fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error);
  for (const fs::recursive_directory_iterator end; !error && it != end && seen < kMaxNames;
       it.increment(error), ++seen) {
    const std::string name = it->path().filename().string();
    if (name.starts_with('.') || it.depth() == kMaxDepth) it.disable_recursion_pending();
    if (it.depth() > 0 && !name.starts_with('.') && name.ends_with(suffix))
      names.push_back(it->path().lexically_relative(folder).string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> names_ending(const std::vector<std::string>& names, std::string_view suffix) {
  std::vector<std::string> found;
  std::copy_if(names.begin(), names.end(), std::back_inserter(found),
               [&](const std::string& name) { return name.ends_with(suffix); });
  return found;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return printable(text);
}

}  // namespace nibble
