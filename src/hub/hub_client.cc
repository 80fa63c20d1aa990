// The hub's HTTP interface, as huggingface_hub uses it: /api/models/REPO/revision/REVISION lists the files,
// /REPO/resolve/COMMIT/PATH describes (HEAD) and gives (GET) one. Large files are redirected to other hosts; the
// headers X-Repo-Commit, X-Linked-Etag and X-Linked-Size describe them before that.
#include "hub/hub_client.h"

#include <charconv>

#include "base/json.h"
#include "base/relative_path.h"
#include "base/utf8.h"
#include "hub/hub_cache.h"

namespace nibble {
namespace {

constexpr int kMaxRedirects = 10;
constexpr std::size_t kMaxListingBytes = std::size_t{64} << 20;

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// A size of decimal digits, and nothing else.
std::optional<std::uint64_t> parse_size(const std::string& text) {
  std::uint64_t size = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), size);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return size;
}

/// An ETag without the mark of weakness and the quotes.
std::string bare_etag(std::string etag) {
  if (etag.starts_with("W/")) etag.erase(0, 2);
  std::erase(etag, '"');
  return etag;
}

Result<HubListing> parse_listing(const std::string& text, const std::string& what) {
  NIBBLE_TRY(const Json document, parse_untrusted(text, what, {kMaxListingBytes, 64}));
  const JsonFields fields(document, what);
  NIBBLE_TRY(const auto commit, fields.string("sha"));
  const Json* siblings = fields.child("siblings");
  if (!commit || !is_commit(*commit) || siblings == nullptr || !siblings->is_array())
    return fail(ErrorCode::kCorrupt, "{}: \"sha\" or \"siblings\" is missing or wrong; is this a Hugging Face hub?",
                what);
  HubListing listing{*commit, {}};
  for (const Json& sibling : *siblings) {
    const JsonFields file(sibling, what);
    NIBBLE_TRY(const auto path, file.string("rfilename"));
    if (!path || !is_path_below(*path))
      return fail(ErrorCode::kCorrupt, "{}: the file name \"{}\" leaves its folder", what,
                  printable(path.value_or("")));
    NIBBLE_TRY(const auto size, file.integer("size"));
    listing.files.push_back(
        {*path, size && *size >= 0 ? std::optional(static_cast<std::uint64_t>(*size)) : std::nullopt});
  }
  return listing;
}

}  // namespace

HubClient::HubClient(HubEnvironment environment, RetryPolicy policy, KeepGoing keep_going)
    : environment_(std::move(environment)),
      policy_(policy),
      keep_going_(std::move(keep_going)),
      session_(keep_going_) {}

std::string HubClient::file_url(const HubModel& model, const std::string& commit, const std::string& path) const {
  return environment_.endpoint + "/" + model.repo + "/resolve/" + commit + "/" + url_encode(path, true);
}

/// Sends and follows redirects. With `until_described` it stops where the hub describes the file that it redirects to.
Result<HttpResponse> HubClient::send(HttpRequest request, const BodySink& sink, bool until_described) {
  const std::string origin = url_origin(request.url);
  const std::vector<std::string> headers = request.headers;
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    request.headers = headers;
    if (!environment_.token.empty() && url_origin(request.url) == origin)
      request.headers.push_back("Authorization: Bearer " + environment_.token);
    const BodySink of_file = [&](const HttpResponse& response, std::span<const std::byte> bytes) -> Status {
      return response.status == 200 || response.status == 206 ? sink(response, bytes) : Status{};
    };
    NIBBLE_TRY(HttpResponse response, session_.send(request, of_file));
    if (!response.broken.empty() || !is_redirect(response.status)) return response;
    if (until_described && !response.header("x-linked-etag").empty()) return response;
    const std::string next = url_resolve(request.url, response.header("location"));
    if (next.empty() || (request.url.starts_with("https:") && !next.starts_with("https:")))
      return fail(ErrorCode::kCorrupt, "{}: is redirected to \"{}\", which is not followed", printable(request.url),
                  printable(response.header("location")));
    request.url = next;
  }
  return fail(ErrorCode::kCorrupt, "{}: is redirected more than {} times", printable(request.url), kMaxRedirects);
}

Error HubClient::refusal(const HubModel& model, const std::string& what, const HttpResponse& response) const {
  const std::string& code = response.header("x-error-code");
  const std::string page = environment_.endpoint + "/" + model.repo;
  const char* token = environment_.token.empty()
                          ? "no token was found: set HF_TOKEN"
                          : "the token that was found (HF_TOKEN or the token file) may not read it";
  if (code == "GatedRepo")
    return fail(ErrorCode::kIo, "{}: is gated: accept its conditions at {}, then pull with your token; {}", what, page,
                token);
  if (response.status == 401)
    return fail(ErrorCode::kIo, "{}: does not exist on {}, or is private: check the name; {}", what,
                environment_.endpoint, token);
  if (response.status == 403) return fail(ErrorCode::kIo, "{}: access is refused (403); {}", what, token);
  if (response.status == 404 && code == "RevisionNotFound")
    return fail(ErrorCode::kNotFound, "{}: {} has no revision \"{}\"", what, page, printable(model.revision));
  if (response.status == 404)
    return fail(ErrorCode::kNotFound, "{}: does not exist on {}; check the name", what, environment_.endpoint);
  return fail(ErrorCode::kIo, "{}: {} answered {} {}", what, environment_.endpoint, response.status,
              printable(response.header("x-error-message")));
}

Result<HubListing> HubClient::list(const HubModel& model) {
  const std::string what = model.text();
  Retry tries = retry();
  while (true) {
    std::string text;
    const BodySink collect = [&](const HttpResponse&, std::span<const std::byte> bytes) -> Status {
      if (bytes.size() > kMaxListingBytes - text.size())
        return fail(ErrorCode::kCorrupt, "{}: the list of files is longer than {} bytes", what, kMaxListingBytes);
      text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return {};
    };
    const std::string url = environment_.endpoint + "/api/models/" + model.repo + "/revision/" +
                            url_encode(model.revision, false) + "?blobs=true";
    NIBBLE_TRY(const HttpResponse response, send({false, url, {"Accept: application/json"}}, collect, false));
    if (may_pass(response)) {
      NIBBLE_TRY_STATUS(tries.wait(what, response));
      continue;
    }
    if (response.status != 200) return refusal(model, what, response);
    return parse_listing(text, what + ": the list of files");
  }
}

Result<HubFile> HubClient::describe(const HubModel& model, const std::string& commit, const std::string& path) {
  const std::string what = model.text() + ": " + printable(path);
  Retry tries = retry();
  while (true) {
    const HttpRequest request{true, file_url(model, commit, path), {"Accept-Encoding: identity"}};
    NIBBLE_TRY(const HttpResponse response, send(
                                                request, [](const auto&, auto) { return Status{}; }, true));
    if (may_pass(response)) {
      NIBBLE_TRY_STATUS(tries.wait(what, response));
      continue;
    }
    if (response.status != 200 && !is_redirect(response.status)) return refusal(model, what, response);
    const bool linked = !response.header("x-linked-etag").empty();
    const auto size = parse_size(response.header(linked ? "x-linked-size" : "content-length"));
    HubFile file{path, bare_etag(response.header(linked ? "x-linked-etag" : "etag")), size.value_or(0)};
    if (!size || !is_blob_name(file.etag))
      return fail(ErrorCode::kCorrupt, "{}: the server gives no size or no ETag of it; is {} a Hugging Face hub?", what,
                  environment_.endpoint);
    if (const std::string& found = response.header("x-repo-commit"); !found.empty() && found != commit)
      return fail(ErrorCode::kCorrupt, "{}: the server gives it of commit {}, expected {}", what, printable(found),
                  commit);
    return file;
  }
}

Result<HttpResponse> HubClient::read(const HubModel& model, const std::string& commit, const std::string& path,
                                     std::uint64_t begin, const BodySink& sink) {
  HttpRequest request{false, file_url(model, commit, path), {"Accept-Encoding: identity"}};
  if (begin > 0) request.headers.push_back(fmt::format("Range: bytes={}-", begin));
  NIBBLE_TRY(HttpResponse response, send(request, sink, false));
  if (may_pass(response) || response.status == 200 || response.status == 206 || response.status == 416) return response;
  return refusal(model, model.text() + ": " + printable(path), response);
}

}  // namespace nibble
