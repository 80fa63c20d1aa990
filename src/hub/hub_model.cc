// Parsing hub names. The characters allowed are the hub's own, which also keeps them fit for paths and URLs.
#include "hub/hub_model.h"

#include <algorithm>

#include "base/relative_path.h"
#include "base/utf8.h"

namespace nibble {
namespace {

constexpr std::string_view kPrefix = "hf:";
constexpr std::size_t kMaxPart = 96;
constexpr std::size_t kMaxRevision = 200;

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/// "--" would be mistaken for the slash in the cache's folder names.
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxPart && std::all_of(text.begin(), text.end(), is_name_character) &&
         text.front() != '-' && text.front() != '.' && text.back() != '-' && text.back() != '.' &&
         text.find("--") == std::string_view::npos && text.find("..") == std::string_view::npos;
}

bool is_revision(std::string_view text) {
  return text.size() <= kMaxRevision && text.find(' ') == std::string_view::npos && is_utf8(text) &&
         is_path_below(std::string(text));
}

}  // namespace

std::string HubModel::text() const {
  return std::string(kPrefix) + repo + (revision == "main" ? std::string() : "@" + revision);
}

bool is_hub_name(std::string_view model) { return model.starts_with(kPrefix); }

Result<HubModel> parse_hub_name(std::string_view model) {
  HubModel out;
  const std::string_view name = model.substr(std::min(model.size(), kPrefix.size()));
  const std::size_t at = name.find('@');
  out.repo = std::string(name.substr(0, at));
  if (at != std::string_view::npos) out.revision = std::string(name.substr(at + 1));
  const std::size_t slash = out.repo.find('/');
  const bool named = slash == std::string::npos
                         ? is_name(out.repo)
                         : is_name(out.repo.substr(0, slash)) && is_name(out.repo.substr(slash + 1));
  if (!is_hub_name(model) || !named || !is_revision(out.revision))
    return fail(ErrorCode::kInvalidArgument,
                "\"{}\": not a model on the hub; expected hf:ORG/NAME or hf:ORG/NAME@REVISION", printable(model));
  return out;
}

bool is_commit(std::string_view text) {
  return text.size() == 40 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace nibble
