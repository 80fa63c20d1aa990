// The cache that huggingface_hub, transformers and vLLM share: for each repository a folder of blobs named by their
// ETag, of snapshots that link to them under the files' own names, and of refs that say which commit a branch was at.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"
#include "hub/hub_environment.h"
#include "hub/hub_model.h"

namespace nibble {

/// Where things of one repository lie. The layout:
///   ROOT/models--ORG--NAME/blobs/ETAG               content; ETAG.incomplete while it is downloaded
///   ROOT/models--ORG--NAME/snapshots/COMMIT/PATH    -> ../../blobs/ETAG
///   ROOT/models--ORG--NAME/refs/REVISION            the commit, without a line feed
///   ROOT/.locks/models--ORG--NAME/ETAG.lock         held by whoever downloads that blob
class HubCache {
 public:
  HubCache(const std::filesystem::path& root, const std::string& repo);

  std::filesystem::path folder() const { return folder_; }
  std::filesystem::path blob(const std::string& etag) const { return folder_ / "blobs" / etag; }
  std::filesystem::path incomplete(const std::string& etag) const { return folder_ / "blobs" / (etag + ".incomplete"); }
  std::filesystem::path snapshot(const std::string& commit) const { return folder_ / "snapshots" / commit; }
  std::filesystem::path lock(const std::string& etag) const { return locks_ / (etag + ".lock"); }

  /// The commit that a revision was at when it was last downloaded, if it is known.
  std::optional<std::string> commit_of(const std::string& revision) const;
  Status write_ref(const std::string& revision, const std::string& commit) const;

  /// Makes snapshots/COMMIT/PATH a link to the blob, in one step.
  Status link(const std::string& commit, const std::string& path, const std::string& etag) const;

 private:
  std::filesystem::path folder_;
  std::filesystem::path locks_;
};

/// The folder of the model's snapshot. kNotFound, with the command that downloads it, when there is none.
Result<std::filesystem::path> find_snapshot(const HubEnvironment& environment, const HubModel& model);

/// May an ETag be the name of a blob?
bool is_blob_name(const std::string& etag);

}  // namespace nibble
