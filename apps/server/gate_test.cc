#include "gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nibble::server {
namespace {

HttpRequest request_with(Headers headers, std::string method = "GET") {
  HttpRequest request;
  request.method = std::move(method);
  request.headers = std::move(headers);
  return request;
}

int status_of(const Gate& gate, const HttpRequest& request, bool is_public = false) {
  const auto refusal = gate.refuse(request, is_public);
  return refusal ? refusal->status : 200;
}

TEST(Gate, NamesOfHosts) {
  EXPECT_EQ(host_name("LocalHost:8080"), "localhost");
  EXPECT_EQ(host_name("[::1]:8080"), "::1");
  EXPECT_EQ(host_name("::1"), "::1");
  EXPECT_EQ(host_name("["), "");
  EXPECT_EQ(host_name(""), "");
  for (const char* bad : {"[::1", "[::1]x", "localhost:80.evil", "localhost:x"}) EXPECT_EQ(host_name(bad), "") << bad;
}

TEST(Gate, OnlyItsOwnNames) {
  const Gate gate({{}, {"localhost", "127.0.0.1"}, {}});
  EXPECT_EQ(status_of(gate, request_with({{"Host", "localhost:1"}})), 200);
  EXPECT_EQ(status_of(gate, request_with({{"Host", "rebound.example"}})), 403);
  EXPECT_EQ(status_of(gate, request_with({{"Host", "localhost.evil.example"}})), 403);
  EXPECT_EQ(status_of(gate, request_with({})), 400);
  EXPECT_EQ(status_of(gate, request_with({{"Host", "localhost"}, {"Host", "localhost"}})), 400);
  EXPECT_EQ(status_of(Gate({}), request_with({{"Host", "any.example"}})), 200);
}

TEST(Gate, PagesOfOtherOrigins) {
  const Gate gate({{}, {}, {"https://app.example"}});
  const auto with = [](const char* origin) { return request_with({{"Host", "localhost:80"}, {"Origin", origin}}); };
  EXPECT_EQ(status_of(gate, with("http://localhost:80")), 200);
  EXPECT_EQ(status_of(gate, with("https://localhost:80")), 200);
  EXPECT_EQ(status_of(gate, with("https://app.example")), 200);
  for (const char* origin : {"null", "https://evil.example", "http://localhost:80.evil", "http://localhost",
                             "ftp://localhost:80", "https://app.example.evil", "http://"})
    EXPECT_EQ(status_of(gate, with(origin)), 403) << origin;
  HttpRequest preflight = with("https://app.example");
  preflight.method = "OPTIONS";
  const auto answer = gate.refuse(preflight, false);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 204);
  EXPECT_THAT(answer->headers,
              ::testing::Contains(::testing::Pair("Access-Control-Allow-Origin", "https://app.example")));
}

TEST(Gate, PreflightsAllowTheHeadersThatAreAskedFor) {
  const Gate gate({{}, {}, {"https://app.example"}});
  const auto allowed = [&](Headers more) {
    Headers headers = {{"Host", "localhost:80"}, {"Origin", "https://app.example"}};
    headers.insert(headers.end(), more.begin(), more.end());
    const auto answer = gate.refuse(request_with(std::move(headers), "OPTIONS"), false);
    for (const auto& [name, value] : answer ? answer->headers : Headers())
      if (name == "Access-Control-Allow-Headers") return value;
    return std::string();
  };
  EXPECT_EQ(allowed({}), "Authorization, Content-Type, X-Api-Key, X-Request-Id");
  EXPECT_EQ(allowed({{"Access-Control-Request-Headers", "authorization, content-type,x-stainless-os"}}),
            "authorization,content-type,x-stainless-os");
  EXPECT_EQ(allowed({{"Access-Control-Request-Headers", "a\t:\"<b>\xC3"}}), "ab");
  EXPECT_EQ(allowed({{"Access-Control-Request-Headers", std::string(9000, 'a')}}).size(), 2048u);
}

TEST(Gate, Keys) {
  const Gate gate({{"first", "second"}, {}, {}});
  const auto with = [](const char* name, const char* value) { return request_with({{"Host", "a"}, {name, value}}); };
  EXPECT_EQ(status_of(gate, with("Authorization", "Bearer first")), 200);
  EXPECT_EQ(status_of(gate, with("Authorization", "bearer second")), 200);
  EXPECT_EQ(status_of(gate, with("X-Api-Key", "second")), 200);
  EXPECT_EQ(status_of(gate, with("X", "")), 401);
  EXPECT_EQ(status_of(gate, with("X", ""), true), 200);
  for (const char* wrong : {"Bearer firs", "Bearer firstfirst", "Bearer ", "Bearer", "Basic first", "first", ""})
    EXPECT_EQ(status_of(gate, with("Authorization", wrong)), 401) << wrong;
}

TEST(Gate, ComparesWhole) {
  EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
  for (const char* other : {"", "ab", "abcd", "abd", "abcabc"}) EXPECT_FALSE(equal_in_constant_time(other, "abc"));
  EXPECT_TRUE(equal_in_constant_time("", ""));
  EXPECT_FALSE(equal_in_constant_time("a", ""));
}

}  // namespace
}  // namespace nibble::server
