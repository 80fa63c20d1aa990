// The files of the web page, kept in the program. Generated at build time by web/embed.py from web/ and from the
// libraries that the system's packages hold.
#pragma once

#include <span>
#include <string_view>

namespace nibble::server {

/// One file as it is sent. The views are of static data and valid for as long as the program runs.
struct WebAsset {
  std::string_view path;          ///< as requested: "/" for the page, "/js/main.js"
  std::string_view content_type;  ///< with its charset where it is text
  std::string_view etag;          ///< with its quotes; changes when the body does
  std::string_view body;
  bool gzip;  ///< body is compressed and must be sent with "Content-Encoding: gzip"
};

/// All files, ascending by path.
std::span<const WebAsset> web_assets();

}  // namespace nibble::server
