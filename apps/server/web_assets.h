// The files of the web page, compiled into the program.
#pragma once

#include <span>
#include <string_view>

namespace nibble::server {

struct WebAsset {
  std::string_view path;  ///< "/", "/app.js"
  std::string_view content_type;
  std::string_view etag;
  std::string_view body;
  bool gzip = false;
};

std::span<const WebAsset> web_assets();

}  // namespace nibble::server
