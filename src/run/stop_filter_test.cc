// Stop strings that come whole, in pieces, and not quite.
#include "run/stop_filter.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

/// What passes when `text` comes in pieces of `size` bytes.
std::string passed(const std::vector<std::string>& stops, std::string_view text, std::size_t size) {
  StopFilter filter(stops);
  std::string out;
  for (std::size_t at = 0; at < text.size() && !filter.stopped(); at += size) out += filter.feed(text.substr(at, size));
  return out + (filter.stopped() ? "|" + filter.stop_string() : filter.finish());
}

TEST(StopFilter, StopsAtTheFirstHoweverItComes) {
  for (std::size_t size = 1; size < 30; ++size) {
    EXPECT_EQ(passed({}, "any text", size), "any text");
    EXPECT_EQ(passed({""}, "any text", size), "any text");
    EXPECT_EQ(passed({"END"}, "one EN EEND two", size), "one EN E|END");
    EXPECT_EQ(passed({"two", "one"}, "of one, of two", size), "of |one");
    EXPECT_EQ(passed({"END"}, "one EN", size), "one EN");
    EXPECT_EQ(passed({"aab"}, "aaaab", size), "aa|aab");
  }
}

TEST(StopFilter, SaysNothingOnceStopped) {
  StopFilter filter({"x"});
  EXPECT_EQ(filter.feed("ax"), "a");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.feed("b"), "");
  EXPECT_EQ(filter.finish(), "");
}

}  // namespace
}  // namespace nibble
