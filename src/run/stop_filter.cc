// Stop strings: the first that begins in the text counts, of two that begin together the first of the list.
#include "run/stop_filter.h"

#include <algorithm>
#include <utility>

namespace nibble {

StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) { std::erase(stops_, ""); }

std::string StopFilter::feed(std::string_view text) {
  if (stopped_) return {};
  if (stops_.empty()) return std::string(text);
  held_ += text;
  std::size_t first = std::string::npos;
  for (const std::string& stop : stops_) {
    const std::size_t found = held_.find(stop);
    if (found >= first) continue;
    first = found;
    stop_string_ = stop;
  }
  if (first != std::string::npos) {
    stopped_ = true;
    return std::exchange(held_, {}).substr(0, first);
  }
  std::size_t keep = 0;  // the longest end of the text that begins a stop string
  for (const std::string& stop : stops_)
    for (std::size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n)
      if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, n))) keep = n;
  std::string passed = held_.substr(0, held_.size() - keep);
  held_.erase(0, passed.size());
  return passed;
}

std::string StopFilter::finish() { return std::exchange(held_, {}); }

}  // namespace nibble
