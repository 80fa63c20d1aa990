// Choosing files by name.
#include "hub/file_selection.h"

#include <fnmatch.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "base/utf8.h"
#include "io/gguf_format.h"
#include "io/pytorch.h"

namespace nibble {
namespace {

constexpr std::size_t kMaxListed = 40;

bool is_at_root(const std::string& path) { return path.find('/') == std::string::npos; }

bool is_companion(const std::string& path) {
  if (path.starts_with("additional_chat_templates/") && path.ends_with(".jinja")) return true;
  if (!is_at_root(path) || path.ends_with(".index.json")) return false;
  for (const char* suffix : {".json", ".jinja", ".model", ".tiktoken", ".txt"})
    if (path.ends_with(suffix)) return true;
  return false;
}

std::vector<std::string> at_root_ending(const std::vector<std::string>& paths, std::string_view suffix) {
  std::vector<std::string> found;
  for (const std::string& path : paths)
    if (is_at_root(path) && path.ends_with(suffix)) found.push_back(path);
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<std::string> paths_of(const HubListing& listing) {
  std::vector<std::string> paths;
  for (const HubListing::File& file : listing.files) paths.push_back(file.path);
  return paths;
}

/// Weights at the root: of the first kind that is there.
std::vector<std::string> root_weights(const HubListing& listing) {
  const std::vector<std::string> paths = paths_of(listing);
  std::vector<std::string> found = at_root_ending(paths, ".safetensors");
  if (found.size() > 1)  // a second copy of the same weights in the vendor's own names
    std::erase_if(found, [](const std::string& name) { return name.starts_with("consolidated"); });
  for (const char* suffix : {".bin", ".pth", ".pt"}) {
    if (!found.empty()) break;
    found = at_root_ending(paths, suffix);
    std::erase_if(found, [](const std::string& name) { return !is_pytorch_name(name); });  // a trainer's
  }
  for (const char* whole : {"model.safetensors", "pytorch_model.bin"})
    if (std::find(found.begin(), found.end(), whole) != found.end()) return {whole};
  return found;
}

/// What the shards of one GGUF model share.
std::string gguf_model(const std::string& path) {
  const auto shard = parse_gguf_shard_name(path);
  return shard ? shard->prefix.string() : path;
}

std::string listed(const HubListing& listing, std::string_view suffix) {
  std::string text;
  std::size_t count = 0;
  for (const HubListing::File& file : listing.files) {
    if (!file.path.ends_with(suffix)) continue;
    if (++count > kMaxListed) continue;
    text += "\n  " + printable(file.path);
    if (file.size) text += fmt::format("  ({:.2f} GB)", static_cast<double>(*file.size) / 1e9);
  }
  if (count > kMaxListed) text += fmt::format("\n  and {} more", count - kMaxListed);
  return text;
}

}  // namespace

Result<std::vector<std::string>> select_files(const HubListing& listing, const std::vector<std::string>& include,
                                              const std::string& what) {
  std::vector<std::string> selected;
  const std::string index = weight_index_of(paths_of(listing));
  for (const HubListing::File& file : listing.files) {
    const bool matches = std::any_of(include.begin(), include.end(), [&](const std::string& pattern) {
      return fnmatch(pattern.c_str(), file.path.c_str(), 0) == 0;
    });
    if (include.empty() ? is_companion(file.path) || file.path == index : matches) selected.push_back(file.path);
  }
  if (selected.empty() && !include.empty())
    return fail(ErrorCode::kNotFound, "{}: no file matches --include; there are:{}", what, listed(listing, ""));
  return selected;
}

std::string weight_index_of(const std::vector<std::string>& paths) {
  for (const auto& [stem, suffix] : {std::pair("model", ".safetensors"), std::pair("pytorch_model", ".bin")}) {
    const auto has = [&](const std::string& name) {
      return std::find(paths.begin(), paths.end(), name) != paths.end();
    };
    const std::string whole = std::string(stem) + suffix;
    if (has(whole + ".index.json")) return whole + ".index.json";
    const std::vector<std::string> others = at_root_ending(paths, std::string(suffix) + ".index.json");
    if (others.size() == 1 && !has(whole)) return others.front();
    if (!at_root_ending(paths, suffix).empty()) return {};
  }
  return {};
}

Result<std::vector<std::string>> select_weights(const HubListing& listing, const std::vector<std::string>& indexed,
                                                const std::string& what) {
  std::set<std::string> present;
  for (const HubListing::File& file : listing.files) present.insert(file.path);
  const bool safetensors = !indexed.empty() && indexed.front().ends_with(".safetensors");
  const bool left_over =
      present.contains(safetensors ? "model.safetensors" : "pytorch_model.bin") &&
      std::none_of(indexed.begin(), indexed.end(), [&](const std::string& name) { return present.contains(name); });
  if (!indexed.empty() && left_over)
    log_warning("{}: the repository holds none of the files that its index lists; the index is ignored", what);
  if (!indexed.empty() && !left_over) {
    for (const std::string& name : indexed)
      if (!present.contains(name))
        return fail(ErrorCode::kNotFound, "{}: its index lists \"{}\", which the repository does not hold", what,
                    printable(name));
    return indexed;
  }
  if (std::vector<std::string> found = root_weights(listing); !found.empty()) return found;
  std::set<std::string> models;
  std::vector<std::string> ggufs;
  for (const HubListing::File& file : listing.files) {
    if (!file.path.ends_with(".gguf")) continue;
    ggufs.push_back(file.path);
    models.insert(gguf_model(file.path));
  }
  if (models.size() == 1) return ggufs;
  if (models.size() > 1)
    return fail(ErrorCode::kInvalidArgument,
                "{}: holds several GGUF models; choose with --include, for example --include '{}'; there are:{}", what,
                printable(ggufs.front()), listed(listing, ".gguf"));
  return fail(ErrorCode::kNotFound,
              "{}: holds no safetensors, PyTorch or GGUF weights; choose with --include what to download; there are:{}",
              what, listed(listing, ""));
}

}  // namespace nibble
