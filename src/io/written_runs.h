// Which bytes of a tensor a writer has been given, so that a file is not finished with holes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>

namespace nibble {

/// Disjoint runs [begin, end) of written bytes. Pieces in order keep it at one run.
class WrittenRuns {
 public:
  void add(std::uint64_t begin, std::uint64_t end) {
    if (begin == end) return;
    auto next = runs_.upper_bound(begin);
    if (next != runs_.begin() && std::prev(next)->second >= begin) {
      --next;
      begin = next->first;
    }
    while (next != runs_.end() && next->first <= end) {
      end = std::max(end, next->second);
      next = runs_.erase(next);
    }
    runs_.emplace(begin, end);
  }
  /// The first byte of [0, bytes) that is missing, or `bytes`.
  std::uint64_t first_missing(std::uint64_t bytes) const {
    if (bytes == 0 || runs_.empty() || runs_.begin()->first != 0) return 0;
    return runs_.begin()->second;
  }

 private:
  std::map<std::uint64_t, std::uint64_t> runs_;
};

}  // namespace nibble
