// The cache's layout.
#include "hub/hub_cache.h"

#include <unistd.h>

#include <algorithm>

#include "base/atomic_output.h"
#include "base/mapped_file.h"

namespace nibble {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMaxRefBytes = 1000;

std::string folder_name(const std::string& repo) {
  const std::size_t slash = repo.find('/');
  if (slash == std::string::npos) return "models--" + repo;
  return "models--" + repo.substr(0, slash) + "--" + repo.substr(slash + 1);
}

}  // namespace

HubCache::HubCache(const fs::path& root, const std::string& repo)
    : folder_(root / folder_name(repo)), locks_(root / ".locks" / folder_name(repo)) {}

std::optional<std::string> HubCache::commit_of(const std::string& revision) const {
  if (is_commit(revision)) return revision;
  const auto text = read_text_file(folder_ / "refs" / revision, kMaxRefBytes);
  if (!text.ok()) return std::nullopt;
  const std::string commit = text->substr(0, text->find_last_not_of(" \r\n") + 1);
  return is_commit(commit) ? std::optional(commit) : std::nullopt;
}

Status HubCache::write_ref(const std::string& revision, const std::string& commit) const {
  if (is_commit(revision) || commit_of(revision) == commit) return {};
  const fs::path path = folder_ / "refs" / revision;
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  NIBBLE_TRY(AtomicFile file, AtomicFile::create(path));
  NIBBLE_TRY_STATUS(file.append(std::as_bytes(std::span(commit))));
  return file.commit();
}

Status HubCache::link(const std::string& commit, const std::string& path, const std::string& etag) const {
  const fs::path place = snapshot(commit) / path;
  fs::path target = "../..";
  for (const char c : path)
    if (c == '/') target /= "..";
  target = target / "blobs" / etag;
  std::error_code error;
  if (fs::is_symlink(place, error) && fs::read_symlink(place, error) == target) return {};
  fs::create_directories(place.parent_path(), error);
  const fs::path temporary = place.string() + "." + std::to_string(getpid()) + ".tmp";
  fs::remove(temporary, error);
  fs::create_symlink(target, temporary, error);
  if (!error) fs::rename(temporary, place, error);
  if (error)
    return fail(ErrorCode::kIo, "{}: cannot make a link to the blob {}: {}", place.string(), etag, error.message());
  return {};
}

Result<fs::path> find_snapshot(const HubEnvironment& environment, const HubModel& model) {
  const HubCache cache(environment.cache, model.repo);
  const std::optional<std::string> commit = cache.commit_of(model.revision);
  std::error_code error;
  if (commit && fs::is_directory(cache.snapshot(*commit), error)) return cache.snapshot(*commit);
  return fail(ErrorCode::kNotFound, "{}: is not in the cache ({}); download it with: nibble pull {}", model.text(),
              environment.cache.string(), model.text());
}

bool is_blob_name(const std::string& etag) {
  return !etag.empty() && etag.size() <= 128 && etag.front() != '.' &&
         std::all_of(etag.begin(), etag.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                  c == '.';
         });
}

}  // namespace nibble
