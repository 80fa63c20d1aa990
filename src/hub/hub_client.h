// The questions a hub answers: which files a revision has, what a file is, and its bytes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "hub/http.h"
#include "hub/hub_environment.h"
#include "hub/hub_model.h"
#include "hub/retry.h"

namespace nibble {

struct HubListing {
  struct File {
    std::string path;                   ///< below the repository; checked by is_path_below()
    std::optional<std::uint64_t> size;  ///< not every server says
  };
  std::string commit;
  std::vector<File> files;
};

/// A file as the hub stores it.
struct HubFile {
  std::string path;
  std::string etag;  ///< without quotes; fit to be a blob's name
  std::uint64_t size = 0;
};

/// Talks to one endpoint. The token goes to that origin only, not to where it redirects. Failures that may pass are
/// tried again. Errors say what to do: kNotFound for repositories, revisions and files that do not exist; kIo for
/// refused access (a gated or private repository) and for servers that stay out of reach; kCorrupt for answers that
/// make no sense.
class HubClient {
 public:
  HubClient(HubEnvironment environment, RetryPolicy policy, KeepGoing keep_going);

  Result<HubListing> list(const HubModel& model);
  Result<HubFile> describe(const HubModel& model, const std::string& commit, const std::string& path);

  /// Requests a file's bytes from `begin` on, following redirects; one try. The sink gets bodies of status 200 and 206
  /// only. Errors: the sink's, refused access, kCancelled.
  Result<HttpResponse> read(const HubModel& model, const std::string& commit, const std::string& path,
                            std::uint64_t begin, const BodySink& sink);

  Retry retry() const { return Retry(policy_, keep_going_); }
  const KeepGoing& keep_going() const { return keep_going_; }

 private:
  std::string file_url(const HubModel& model, const std::string& commit, const std::string& path) const;
  Result<HttpResponse> send(HttpRequest request, const BodySink& sink, bool until_described);
  Error refusal(const HubModel& model, const std::string& what, const HttpResponse& response) const;

  HubEnvironment environment_;
  RetryPolicy policy_;
  KeepGoing keep_going_;
  HttpSession session_;
};

}  // namespace nibble
