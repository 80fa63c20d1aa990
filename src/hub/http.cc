// libcurl's easy interface.
#include "hub/http.h"

#include <curl/curl.h>

#include <cstdlib>
#include <mutex>
#include <optional>

#include "base/check.h"
#include "base/utf8.h"

namespace nibble {
namespace {

constexpr long kConnectSeconds = 30;
constexpr long kStalledSeconds = 60;  // without a byte
constexpr std::size_t kMaxHeaders = 200;

/// A certificate authority of one's own, in the variables that curl, OpenSSL and Python's requests read.
const char* certificate_file() {
  for (const char* name : {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"})
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  return nullptr;
}

struct Url {
  CURLU* handle = curl_url();
  ~Url() { curl_url_cleanup(handle); }
  Url() = default;
  Url(const Url&) = delete;
  Url& operator=(const Url&) = delete;

  bool set(const std::string& text) {
    return handle != nullptr && curl_url_set(handle, CURLUPART_URL, text.c_str(), 0) == CURLUE_OK;
  }
  std::string part(CURLUPart which, unsigned flags = 0) const {
    char* text = nullptr;
    if (curl_url_get(handle, which, &text, flags) != CURLUE_OK) return {};
    std::string out(text);
    curl_free(text);
    return out;
  }
};

}  // namespace

struct HttpSession::Handle {
  CURL* curl = curl_easy_init();
  ~Handle() { curl_easy_cleanup(curl); }
  Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

/// What curl's callbacks work on. Exceptions must not pass through C code, so they wait here.
struct HttpSession::Transfer {
  HttpResponse response;
  CURL* curl;
  const BodySink& sink;
  const KeepGoing& keep_going;
  std::optional<Error> error;

  void read_status() {
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    response.status = static_cast<int>(status);
  }

  static std::size_t on_header(char* data, std::size_t, std::size_t size, void* self) {
    static_cast<Transfer*>(self)->take_header(std::string_view(data, size));
    return size;
  }

  void take_header(std::string_view line) {
    if (line.starts_with("HTTP/")) {  // of an interim response, or of the one that counts
      response.headers.clear();
      return;
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || response.headers.size() >= kMaxHeaders) return;
    std::string name(line.substr(0, colon));
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    line.remove_prefix(colon + 1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    while (!line.empty() && static_cast<unsigned char>(line.back()) <= ' ') line.remove_suffix(1);
    response.headers[name] = std::string(line);
  }

  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    transfer.read_status();
    try {
      const Status status = transfer.sink(transfer.response, std::as_bytes(std::span(data, size)));
      if (status.ok()) return size;
      transfer.error = status.error();
    } catch (const std::exception& e) {
      transfer.error = fail(ErrorCode::kOutOfMemory, "while downloading: {}", e.what());
    }
    return 0;  // ends the transfer
  }

  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    auto& transfer = *static_cast<Transfer*>(self);
    if (transfer.keep_going()) return 0;
    transfer.error = fail(ErrorCode::kCancelled, "the download was stopped; pull again, it goes on where it stopped");
    return 1;
  }
};

const std::string& HttpResponse::header(const std::string& name) const {
  static const std::string kAbsent;
  const auto found = headers.find(name);
  return found == headers.end() ? kAbsent : found->second;
}

HttpSession::HttpSession(KeepGoing keep_going) : keep_going_(std::move(keep_going)) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  handle_ = std::make_unique<Handle>();
  NIBBLE_CHECK(handle_->curl != nullptr);
}

HttpSession::~HttpSession() = default;

Result<HttpResponse> HttpSession::send(const HttpRequest& request, const BodySink& sink) {
  if (url_origin(request.url).empty())
    return fail(ErrorCode::kInvalidArgument, "\"{}\": is not an http or https address", printable(request.url));
  CURL* curl = handle_->curl;
  curl_easy_reset(curl);  // keeps the connection
  Transfer transfer{{}, curl, sink, keep_going_, {}};
  curl_slist* headers = nullptr;
  for (const std::string& header : request.headers) headers = curl_slist_append(headers, header.c_str());
  char message[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "nibble");
  curl_easy_setopt(curl, CURLOPT_NOBODY, request.head_only ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kStalledSeconds);
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 512L << 10);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  if (const char* file = certificate_file(); file != nullptr) curl_easy_setopt(curl, CURLOPT_CAINFO, file);
  const CURLcode code = curl_easy_perform(curl);
  transfer.read_status();
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);
  curl_slist_free_all(headers);
  if (transfer.error) return *transfer.error;
  if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)  // no other try would tell otherwise
    return fail(ErrorCode::kIo,
                "{}: the server's certificate is not accepted: {}; an authority of one's own goes into the file that "
                "SSL_CERT_FILE names",
                url_origin(request.url), *message != '\0' ? message : curl_easy_strerror(code));
  if (code != CURLE_OK) transfer.response.broken = *message != '\0' ? message : curl_easy_strerror(code);
  return transfer.response;
}

std::string url_origin(const std::string& url) {
  Url parsed;
  if (!parsed.set(url)) return {};
  const std::string scheme = parsed.part(CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return {};
  return scheme + "://" + parsed.part(CURLUPART_HOST) + ":" + parsed.part(CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

std::string url_resolve(const std::string& base, const std::string& location) {
  Url parsed;
  if (!parsed.set(base) || !parsed.set(location)) return {};
  const std::string url = parsed.part(CURLUPART_URL);
  return url_origin(url).empty() ? std::string() : url;
}

std::string url_encode(const std::string& text, bool keep_slashes) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~' || (c == '/' && keep_slashes);
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace nibble
