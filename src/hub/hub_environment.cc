// Reading the variables (huggingface_hub/constants.py says which come first).
#include "hub/hub_environment.h"

#include <algorithm>
#include <string_view>

#include "base/mapped_file.h"
#include "base/utf8.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxTokenBytes = 4096;

class Variables {
 public:
  explicit Variables(const GetVariable& get) : get_(get) {}

  /// The first of these that is set, else empty.
  std::string first(std::initializer_list<const char*> names) const {
    for (const char* name : names) {
      const char* value = get_(name);
      if (value != nullptr && *value != '\0') return value;
    }
    return {};
  }

  /// A path; "~" is the home folder.
  fs::path path(std::initializer_list<const char*> names) const {
    const std::string text = first(names);
    if (text == "~" || text.starts_with("~/"))
      return fs::path(first({"HOME"})) / text.substr(std::min<std::size_t>(2, text.size()));
    return text;
  }

  bool flag(const char* name) const {
    std::string value = first({name});
    std::transform(value.begin(), value.end(), value.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
  }

 private:
  const GetVariable& get_;
};

std::string trimmed(const std::string& text) {
  const char* space = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(space);
  return begin == std::string::npos ? std::string() : text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

/// A token goes into a header line.
Result<std::string> checked_token(const std::string& text, const std::string& source) {
  std::string token = trimmed(text);
  if (token.size() > kMaxTokenBytes ||
      !std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7F; }))
    return fail(ErrorCode::kInvalidArgument, "{}: does not hold a token: it has spaces or control characters", source);
  return token;
}

}  // namespace

Result<HubEnvironment> read_hub_environment(const GetVariable& get) {
  const Variables variables(get);
  HubEnvironment out;
  if (const std::string endpoint = variables.first({"HF_ENDPOINT"}); !endpoint.empty()) out.endpoint = endpoint;
  while (out.endpoint.ends_with('/')) out.endpoint.pop_back();
  if (!out.endpoint.starts_with("https://") && !out.endpoint.starts_with("http://"))
    return fail(ErrorCode::kInvalidArgument, "HF_ENDPOINT is \"{}\", expected an address that begins with https://",
                printable(out.endpoint));
  fs::path home = variables.path({"HF_HOME"});
  if (home.empty()) {
    const fs::path caches = variables.path({"XDG_CACHE_HOME"});
    const std::string user = variables.first({"HOME"});
    if (caches.empty() && user.empty())
      return fail(ErrorCode::kInvalidArgument, "neither HOME nor HF_HOME is set, so there is no place for the cache");
    home = (caches.empty() ? fs::path(user) / ".cache" : caches) / "huggingface";
  }
  out.cache = variables.path({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"});
  if (out.cache.empty()) out.cache = home / "hub";
  out.offline = variables.flag("HF_HUB_OFFLINE") || variables.flag("TRANSFORMERS_OFFLINE");
  std::string token = variables.first({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"});
  std::string source = "HF_TOKEN";
  if (token.empty()) {
    fs::path file = variables.path({"HF_TOKEN_PATH"});
    if (file.empty()) file = home / "token";
    source = file.string();
    std::error_code error;
    if (fs::is_regular_file(file, error)) {
      NIBBLE_TRY(token, read_text_file(file, kMaxTokenBytes));
    }
  }
  NIBBLE_TRY(out.token, checked_token(token, source));
  return out;
}

}  // namespace nibble
