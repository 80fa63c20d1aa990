// What is no request, on a real socket: the server answers with an error object or ends the connection, and goes on.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "testing/local_server.h"
#include "testing/malformed.h"
#include "testing/stream_check.h"
#include "token_requests.h"

namespace nibble::server {
namespace {

const std::string kFolder = NIBBLE_SOURCE_DIR "/tests/corrupt/http/";

EmptyModelOptions small_model() {
  EmptyModelOptions options;
  options.context = 256;
  return options;
}

/// One server for all of a suite.
class Malformed : public testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = std::make_unique<LocalServer>(small_model()); }
  static void TearDownTestSuite() {
    expect_well();
    server_.reset();
  }

  static int port() { return server_->port(); }

  /// A good request is answered.
  static void expect_well() {
    LocalClient client(port());
    const ResponseReader good = client.ask(post_of(endpoints()[1].path, endpoints()[1].body));
    EXPECT_EQ(good.status(), 200) << good.problem() << good.body();
    EXPECT_NE(good.body().find("\"so it\""), std::string::npos) << good.body();
  }

 private:
  static std::unique_ptr<LocalServer> server_;
};

std::unique_ptr<LocalServer> Malformed::server_;

void expect_refused(const ResponseReader& answer, const std::string& expected) {
  ASSERT_TRUE(answer.is_done() && answer.problem().empty()) << answer.problem();
  if (expected == "4xx") {
    EXPECT_TRUE(answer.status() >= 400 && answer.status() < 500) << answer.status();
  } else {
    EXPECT_EQ(std::to_string(answer.status()), expected);
  }
  EXPECT_TRUE(is_error_object(answer.body())) << answer.body();
}

TEST_F(Malformed, RequestsAreRefused) {
  for (const MalformedRequest& request : read_requests(kFolder + "requests.txt")) {
    SCOPED_TRACE(request.name);
    const std::size_t plus = request.expected.find('+');
    const std::string expected = request.expected.substr(0, plus);
    LocalClient client(port());
    ASSERT_TRUE(client.is_open());
    const ResponseReader answer = client.ask(request.bytes);
    if (expected == "none") {
      EXPECT_EQ(answer.status(), 0) << answer.body();
    } else {
      expect_refused(answer, expected);
    }
    if (plus != std::string::npos || expected == "none") {
      EXPECT_TRUE(client.ends());
    }
  }
}

TEST_F(Malformed, BodiesAreRefused) {
  for (const Endpoint& endpoint : endpoints()) {
    LocalClient client(port());
    for (const MalformedRequest& body : read_bodies(kFolder + "bodies.txt")) {
      SCOPED_TRACE(endpoint.path + " " + body.name);
      expect_refused(client.ask(post_of(endpoint.path, body.bytes)), "400");
      ASSERT_TRUE(client.is_open());
    }
  }
}

TEST_F(Malformed, FieldsAreRefused) {
  for (const Endpoint& endpoint : endpoints()) {
    LocalClient client(port());
    for (const MalformedRequest& body : wrong_fields(endpoint)) {
      SCOPED_TRACE(endpoint.path + " " + body.name + " " + body.bytes);
      expect_refused(client.ask(post_of(endpoint.path, body.bytes)), "400");
      ASSERT_TRUE(client.is_open());
    }
  }
}

/// NIBBLE_FUZZ_REQUESTS says how many; NIBBLE_FUZZ_SEED, from where.
TEST_F(Malformed, MutatedBodiesAreAnswered) {
  const auto number = [](const char* name, int otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::atoi(text);
  };
  const int seed = number("NIBBLE_FUZZ_SEED", 1);
  std::mt19937_64 random(static_cast<std::uint64_t>(seed));
  auto client = std::make_unique<LocalClient>(port());
  int answered = 0;
  for (int i = number("NIBBLE_FUZZ_REQUESTS", 5000); i > 0; --i) {
    const Endpoint& endpoint = endpoints()[random() % endpoints().size()];
    const std::string body = mutated(endpoint, random);
    SCOPED_TRACE("seed " + std::to_string(seed) + " " + endpoint.path + " " + body);
    const ResponseReader answer = client->ask(post_of(endpoint.path, body));
    if (answer.status() != 200) {
      expect_refused(answer, "4xx");
      ASSERT_TRUE(client->is_open());
      continue;
    }
    ++answered;
    ASSERT_TRUE(answer.is_done() && answer.problem().empty()) << answer.problem();
    if (answer.header("content-type") == "application/json") {
      ASSERT_TRUE(parse_untrusted(answer.body(), "answer").ok()) << answer.body();
      continue;
    }
    StreamCheck check(endpoint.path == endpoints()[0].path);
    check.feed(answer.body());
    ASSERT_EQ(check.finish(), "") << answer.body();
  }
  EXPECT_GT(answered, 0);
}

/// Bodies that are large together are refused, also while they are read, and counted until they are gone.
TEST(Connections, BodiesAreBoundedTogether) {
  ServerOptions options = local_options();
  options.limits.all_body_bytes = 3000;
  LocalServer server(small_model(), options);
  const std::string large = R"({"content": ")" + std::string(2000, 'x') + R"("})";
  for (int i = 0; i < 5; ++i) EXPECT_EQ(LocalClient(server.port()).ask(post_of("/tokenize", large)).status(), 200);
  LocalClient slow(server.port());
  slow.say(post_of("/tokenize", large + std::string(1000, ' ')).substr(0, 2300));
  // Until the server has read that much of the slow one, it has room.
  int status = 200;
  for (int i = 0; i < 1000 && status == 200; ++i)
    status = LocalClient(server.port()).ask(post_of("/tokenize", large)).status();
  EXPECT_EQ(status, 503);
  EXPECT_EQ(LocalClient(server.port()).ask(post_of("/tokenize", R"({"content": "x"})")).status(), 200);
}

TEST(Connections, OfOneClientAreBounded) {
  const std::string health = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const LocalServer unbounded(small_model());
  ServerOptions options = local_options();
  options.max_connections_per_client = 2;
  const LocalServer server(small_model(), options);
  LocalClient first(server.port());
  EXPECT_EQ(first.ask(health).status(), 200);
  {
    LocalClient second(server.port());
    EXPECT_EQ(second.ask(health).status(), 200);
    const ResponseReader refused = LocalClient(server.port()).ask("");
    EXPECT_EQ(refused.status(), 503);
    EXPECT_NE(refused.body().find("from this address"), std::string::npos) << refused.body();
    EXPECT_EQ(second.ask(health).status(), 200) << "who was there before stays";
  }
  int status = 503;
  for (int i = 0; i < 1000 && status == 503; ++i) status = LocalClient(server.port()).ask(health).status();
  EXPECT_EQ(status, 200) << "the second has gone";
  // Without the option this machine may have any number: a proxy speaks for others.
  std::vector<std::unique_ptr<LocalClient>> many;
  for (int i = 0; i < 20; ++i) {
    many.push_back(std::make_unique<LocalClient>(unbounded.port()));
    EXPECT_EQ(many.back()->ask(health).status(), 200);
  }
}

TEST(Embeddings, MayBeOfMoreTextsThanTheQueueHasPlaces) {
  EmptyModelOptions model = small_model();
  model.engine.max_running = 2;
  model.engine.max_waiting = 3;
  const LocalServer server(model);
  Json input = Json::array();
  for (int i = 0; i < 200; ++i) input.push_back(std::string(1, static_cast<char>('a' + i % 7)));
  const ResponseReader answer =
      LocalClient(server.port()).ask(post_of("/v1/embeddings", Json{{"input", input}}.dump()));
  ASSERT_EQ(answer.status(), 200) << answer.body();
  const Json body = Json::parse(answer.body());
  ASSERT_EQ(body["data"].size(), 200u);
  for (std::size_t i = 0; i < 200; ++i) {
    EXPECT_EQ(body["data"][i]["index"], i);
    EXPECT_EQ(body["data"][i]["embedding"], body["data"][i % 7]["embedding"]) << "in the order of the texts";
  }
  EXPECT_NE(body["data"][0]["embedding"], body["data"][1]["embedding"]);
}

TEST(Completions, MayHaveMoreAnswersThanTheQueueHasPlaces) {
  EmptyModelOptions model = small_model();
  model.engine.max_running = 2;
  model.engine.max_waiting = 3;
  const LocalServer server(model);
  Json request = {{"prompt", {"ab", "cd", "ef"}}, {"n", 7}, {"max_tokens", 4}};
  const ResponseReader whole = LocalClient(server.port()).ask(post_of("/v1/completions", request.dump()));
  ASSERT_EQ(whole.status(), 200) << whole.body();
  const Json choices = Json::parse(whole.body())["choices"];
  ASSERT_EQ(choices.size(), 21u);
  for (std::size_t i = 0; i < choices.size(); ++i) EXPECT_EQ(choices[i]["text"], request["prompt"][i / 7]);
  request["stream"] = true;
  const ResponseReader stream = LocalClient(server.port()).ask(post_of("/v1/completions", request.dump()));
  ASSERT_EQ(stream.status(), 200);
  StreamCheck check(false);
  check.feed(stream.body());
  EXPECT_EQ(check.finish(), "") << stream.body();
}

TEST(TokenRequests, MoreTokensThanAreListedAreRefused) {
  const ServedModel model = empty_model("empty", {});
  const std::size_t most = std::size_t{1} << 20;
  EXPECT_EQ(tokenize_reply({{"content", std::string(most, 'x')}, {"with_pieces", true}}, model).status, 200);
  const HttpReply refused = tokenize_reply({{"content", std::string(most + 1, 'x')}}, model);
  EXPECT_EQ(refused.status, 400);
  EXPECT_TRUE(is_error_object(refused.body)) << refused.body;
}

TEST(TokenRequests, ListsAreJson) {
  const ServedModel model = empty_model("empty", {});
  const auto tokens_of = [&](const Json& body) { return Json::parse(tokenize_reply(body, model).body)["tokens"]; };
  EXPECT_EQ(tokens_of({{"content", ""}}), Json::array());
  EXPECT_EQ(tokens_of({{"content", "ab"}}), (Json{97, 98}));
  EXPECT_EQ(tokens_of({{"content", "\""}, {"with_pieces", true}}), Json::array({{{"id", 34}, {"piece", "\""}}}));
}

}  // namespace
}  // namespace nibble::server
