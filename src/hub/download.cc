// Downloading one file.
#include "hub/download.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/utf8.h"
#include "hub/partial_file.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

/// Where the body of a response begins in the file: "Content-Range: bytes BEGIN-END/SIZE" of a partial one.
std::optional<std::uint64_t> body_begin(const HttpResponse& response) {
  if (response.status == 200) return 0;
  const std::string& range = response.header("content-range");
  constexpr std::string_view kUnit = "bytes ";
  if (!range.starts_with(kUnit)) return std::nullopt;
  std::uint64_t begin = 0;
  const char* end = range.data() + range.size();
  const auto parsed = std::from_chars(range.data() + kUnit.size(), end, begin);
  if (parsed.ec != std::errc() || parsed.ptr == end || *parsed.ptr != '-') return std::nullopt;
  return begin;
}

class Download {
 public:
  Download(HubClient& client, const HubModel& model, const std::string& commit, const HubFile& file,
           const BytesPresent& present)
      : client_(client), model_(model), commit_(commit), file_(file), present_(present) {}

  /// Fills `partial`; tries again as long as it grows. Returns the bytes received.
  Result<std::uint64_t> fill(PartialFile& partial) {
    Retry tries = client_.retry();
    std::uint64_t furthest = partial.bytes();
    bool is_anew = furthest == 0;
    while (true) {
      present_(partial.bytes());
      if (partial.bytes() == file_.size) {
        if (partial.is_right()) return received_;
        NIBBLE_TRY_STATUS(partial.restart());
        if (is_anew) return wrong_content();
        is_anew = true;  // an earlier download may have left wrong bytes: once more from the beginning
        continue;
      }
      NIBBLE_TRY(HttpResponse response, request(partial));
      if (partial.bytes() == file_.size) continue;
      if (response.status == 416) NIBBLE_TRY_STATUS(partial.restart());
      if (partial.bytes() > furthest) tries.reset();
      furthest = std::max(furthest, partial.bytes());
      if (!may_pass(response)) response.broken = "the response is too short";
      NIBBLE_TRY_STATUS(tries.wait(what(), response));
    }
  }

 private:
  std::string what() const { return model_.text() + ": " + printable(file_.path); }

  Error wrong_content() const {
    return fail(
        ErrorCode::kCorrupt,
        "{}: the content does not match its checksum {}; it was thrown away. A proxy or mirror may have changed "
        "it: pull again, or from another HF_ENDPOINT",
        what(), file_.etag);
  }

  Result<HttpResponse> request(PartialFile& partial) {
    const std::uint64_t begin = partial.bytes();
    bool is_first = true;
    return client_.read(model_, commit_, file_.path, begin,
                        [&](const HttpResponse& response, std::span<const std::byte> bytes) -> Status {
                          if (std::exchange(is_first, false)) NIBBLE_TRY_STATUS(align(partial, response));
                          NIBBLE_TRY_STATUS(partial.append(bytes));
                          received_ += bytes.size();
                          present_(partial.bytes());
                          return {};
                        });
  }

  /// A server may ignore the range that was asked for: then the file begins again.
  Status align(PartialFile& partial, const HttpResponse& response) const {
    const auto begin = body_begin(response);
    if (begin == partial.bytes()) return {};
    if (begin == std::uint64_t{0}) return partial.restart();
    return fail(ErrorCode::kCorrupt, "{}: the server sends another part than bytes {} and on ({})", what(),
                partial.bytes(), printable(response.header("content-range")));
  }

  HubClient& client_;
  const HubModel& model_;
  const std::string& commit_;
  const HubFile& file_;
  const BytesPresent& present_;
  std::uint64_t received_ = 0;
};

Status check_room(const fs::path& folder, const HubFile& file, std::uint64_t present) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error || space.available >= file.size - present) return {};
  return fail(ErrorCode::kIo,
              "{}: disk full: {} needs {} bytes more, {} are free; make room, or set HF_HOME to another disk",
              folder.string(), printable(file.path), file.size - present, space.available);
}

bool is_whole(const fs::path& path, std::uint64_t size) {
  std::error_code error;
  return fs::is_regular_file(path, error) && fs::file_size(path, error) == size;
}

}  // namespace

Result<std::uint64_t> download(HubClient& client, const HubCache& cache, const HubModel& model,
                               const std::string& commit, const std::string& path, const BytesPresent& present) {
  std::error_code error;
  const fs::path place = cache.snapshot(commit) / path;
  if (fs::exists(place, error)) {  // through the link: a dangling one counts as absent
    present(fs::file_size(place, error));
    return std::uint64_t{0};
  }
  NIBBLE_TRY(const HubFile file, client.describe(model, commit, path));
  NIBBLE_TRY(const FileLock lock, FileLock::acquire(cache.lock(file.etag), client.keep_going()));
  std::uint64_t received = 0;
  const fs::path blob = cache.blob(file.etag);
  if (is_whole(blob, file.size)) {
    present(file.size);
  } else {
    NIBBLE_TRY(PartialFile partial, PartialFile::open(cache.incomplete(file.etag), file.etag, file.size));
    NIBBLE_TRY_STATUS(check_room(blob.parent_path(), file, partial.bytes()));
    NIBBLE_TRY(received, Download(client, model, commit, file, present).fill(partial));
    NIBBLE_TRY_STATUS(partial.finish(blob));
  }
  NIBBLE_TRY_STATUS(cache.link(commit, path, file.etag));
  return received;
}

}  // namespace nibble
