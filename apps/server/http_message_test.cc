#include "http_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nibble::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(HttpMessage, Escapes) {
  EXPECT_EQ(percent_decoded("/a%2Fb%20c", false), "/a/b c");
  EXPECT_EQ(percent_decoded("a+b%2B", true), "a b+");
  EXPECT_EQ(percent_decoded("a+b", false), "a+b");
  for (const char* broken : {"%", "%2", "%zz", "a%"}) EXPECT_EQ(percent_decoded(broken, false), broken);
}

TEST(HttpMessage, ParametersOfTheQuery) {
  HttpRequest request;
  request.query = "x=1&model=a%26b&empty=&flag&model=second";
  EXPECT_EQ(request.parameter("model"), "a&b");
  EXPECT_EQ(request.parameter("x"), "1");
  EXPECT_EQ(request.parameter("empty"), "");
  EXPECT_EQ(request.parameter("flag"), "");
  EXPECT_EQ(request.parameter("none"), "");
}

TEST(HttpMessage, HeadersInAnyCase) {
  HttpRequest request;
  request.headers = {{"HOST", "a"}, {"host", "b"}, {"X", "y"}};
  EXPECT_EQ(request.header("Host"), "a");
  EXPECT_EQ(request.count("Host"), 2);
  EXPECT_EQ(request.header("none"), "");
}

TEST(HttpMessage, Heads) {
  HttpReply reply;
  reply.headers = {{"Retry-After", "1"}};
  EXPECT_THAT(head_of(reply, 5, true),
              HasSubstr("Content-Length: 5\r\nRetry-After: 1\r\nConnection: keep-alive\r\n\r\n"));
  EXPECT_THAT(head_of(reply, -1, true), HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(head_of(reply, -2, false), Not(HasSubstr("Content-Length")));
  reply.status = 304;
  EXPECT_THAT(head_of(reply, 5, true), Not(HasSubstr("Content-")));
}

}  // namespace
}  // namespace nibble::server
