// Pulling: the list of files, the small ones, the weights that they ask for.
#include "hub/pull.h"

#include <algorithm>
#include <map>

#include "base/log.h"
#include "hub/download.h"
#include "hub/file_selection.h"
#include "io/weight_index.h"

namespace nibble {
namespace {

class Pull {
 public:
  Pull(const HubEnvironment& environment, const HubModel& model, const PullOptions& options, const RetryPolicy& policy)
      : model_(model),
        options_(options),
        cache_(environment.cache, model.repo),
        client_(environment, policy, [this] { return show_progress(); }) {}

  Result<PullReport> run() {
    NIBBLE_TRY(listing_, client_.list(model_));
    for (const HubListing::File& file : listing_.files) size_of_[file.path] = file.size.value_or(0);
    NIBBLE_TRY(std::vector<std::string> selected, select_files(listing_, options_.include, model_.text()));
    NIBBLE_TRY_STATUS(get(selected));
    if (options_.include.empty()) {
      std::vector<std::string> indexed;
      if (const std::string index = weight_index_of(selected); !index.empty()) {
        NIBBLE_TRY(indexed, files_of_weight_index(cache_.snapshot(listing_.commit) / index));
      }
      NIBBLE_TRY(const std::vector<std::string> weights, select_weights(listing_, indexed, model_.text()));
      NIBBLE_TRY_STATUS(get(weights));
    }
    NIBBLE_TRY_STATUS(cache_.write_ref(model_.revision, listing_.commit));
    report_.path = cache_.snapshot(listing_.commit).string();
    report_.commit = listing_.commit;
    return report_;
  }

 private:
  Status get(const std::vector<std::string>& paths) {
    for (const std::string& path : paths) total_ += size_of_[path];
    for (const std::string& path : paths) {
      const auto present = [&](std::uint64_t bytes) {
        current_ = bytes;
        show_progress();
      };
      NIBBLE_TRY(const std::uint64_t received, download(client_, cache_, model_, listing_.commit, path, present));
      report_.files.push_back(path);
      report_.bytes += current_;
      report_.downloaded += received;
      done_ += current_;
      current_ = 0;
    }
    return {};
  }

  bool show_progress() {
    if (!options_.progress) return true;
    const std::uint64_t done = done_ + current_;
    // Never complete before the end: the small files come first and say which others there are.
    return options_.progress("downloading", done, std::max(total_, done) + 1, "bytes");
  }

  const HubModel& model_;
  const PullOptions& options_;
  HubCache cache_;
  HubClient client_;
  HubListing listing_;
  std::map<std::string, std::uint64_t> size_of_;
  PullReport report_;
  std::uint64_t total_ = 0;
  std::uint64_t done_ = 0;     // of finished files
  std::uint64_t current_ = 0;  // of the file that is being downloaded
};

}  // namespace

Result<PullReport> pull_into_cache(const HubEnvironment& environment, const HubModel& model, const PullOptions& options,
                                   const RetryPolicy& policy) {
  if (environment.offline) {
    const auto snapshot = find_snapshot(environment, model);
    if (!snapshot.ok())
      return fail(ErrorCode::kNotFound, "{}: is not in the cache ({}), and HF_HUB_OFFLINE forbids to download it",
                  model.text(), environment.cache.string());
    log_info("HF_HUB_OFFLINE is set: the snapshot in the cache is used as it is");
    PullReport report;
    report.path = snapshot->string();
    report.commit = snapshot->filename().string();
    return report;
  }
  return Pull(environment, model, options, policy).run();
}

}  // namespace nibble
