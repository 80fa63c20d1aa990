// Stop strings in text that arrives in pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nibble {

/// Passes text on up to the first stop string; holds back what might still become one.
class StopFilter {
 public:
  explicit StopFilter(std::vector<std::string> stops);

  /// The text that can be passed on now. Once stopped, nothing more.
  std::string feed(std::string_view text);
  /// What is held back, at the end of the text.
  std::string finish();
  bool stopped() const { return stopped_; }
  /// The stop string that came.
  const std::string& stop_string() const { return stop_string_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  std::string stop_string_;
  bool stopped_ = false;
};

}  // namespace nibble
