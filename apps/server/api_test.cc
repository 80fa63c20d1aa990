// What requests ask for and are answered, by the empty model.
#include "api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>
#include <utility>

#include "base/json.h"
#include "testing/local_server.h"

namespace nibble::server {
namespace {

using ::testing::HasSubstr;

class ApiTest : public ::testing::Test {
 protected:
  explicit ApiTest(const ServerOptions& options = local_options()) : server_({}, options) {}

  ResponseReader ask(std::string_view path, const Json& body) const {
    LocalClient client(server_.port());
    return client.ask(post_of(path, body.dump()));
  }
  Json answer(std::string_view path, const Json& body) const {
    const ResponseReader reader = ask(path, body);
    EXPECT_EQ(reader.status(), 200) << reader.body();
    return parse_untrusted(reader.body(), "answer").value();
  }
  /// The error of a request that is refused with 400.
  Json refusal(std::string_view path, const Json& body) const {
    const ResponseReader reader = ask(path, body);
    EXPECT_EQ(reader.status(), 400) << body << reader.body();
    const Json error = parse_untrusted(reader.body(), "error").value();
    return error.contains("error") ? error["error"] : Json::object();
  }

  LocalServer server_;
};

/// An answer that does not keep to what was asked for is worse than none.
TEST_F(ApiTest, WhatWouldConstrainAnAnswerIsKeptOrRefused) {
  const Json chat = {{"messages", {{{"role", "user"}, {"content", "x"}}}}};
  const Json text = {{"prompt", "x"}};
  const auto with = [](Json body, const char* more) {
    body.update(parse_untrusted(more, "test").value());
    return body;
  };
  for (const auto& [path, body] : {std::pair("/v1/chat/completions", chat), std::pair("/v1/completions", text)}) {
    for (const char* field :
         {R"("guided_choice": ["a"])", R"("guided_regex": "a")", R"("guided_grammar": "root ::= x")",
          R"("grammar": "root ::= x")", R"("bad_words": ["a"])", R"("allowed_token_ids": [1])",
          R"("continue_final_message": true)", R"("structured_outputs": {"regex": "a"})",
          R"("structured_outputs": {"choice": ["a"]})",
          R"("json_schema": {"type": 7}, "guided_json": {"type": "object"})", R"("guided_json": "{")",
          R"("json_schema": "{}")", R"("stop_token_ids": [257])", R"("n_predict": 0)",
          R"("guided_json": {"type": "object"}, "response_format": {"type": "json_object"})"}) {
      const Json error = refusal(path, with(body, ("{" + std::string(field) + "}").c_str()));
      EXPECT_FALSE(error["param"].is_null()) << field << error;
    }
    for (const char* field :
         {R"("guided_choice": [], "guided_regex": "", "grammar": null, "bad_words": null, "allowed_token_ids": [])",
          R"("continue_final_message": false, "structured_outputs": {"regex": null, "json_object": false})",
          R"("guided_json": {"type": "object"})", R"("guided_json": "{\"type\": \"object\"}")",
          R"("json_schema": {"type": "object"})", R"("structured_outputs": {"json": {"type": "object"}})",
          R"("response_format": {"type": "json_object", "schema": {"type": "object"}})", R"("stop_token_ids": [1])"})
      answer(path, with(body, ("{" + std::string(field) + "}").c_str()));
    EXPECT_EQ(answer(path, with(body, R"({"n_predict": 1})"))["usage"]["completion_tokens"], 1);
  }
}

TEST_F(ApiTest, EmbeddingsOfManyTexts) {
  Json body = {{"input", std::vector<std::string>(2048, "ab")}};
  const Json floats = answer("/v1/embeddings", body);
  ASSERT_EQ(floats["data"].size(), 2048u);
  EXPECT_EQ(floats["data"][2047]["index"], 2047);
  EXPECT_EQ(floats["data"][2047]["embedding"].size(), 8u);
  EXPECT_EQ(floats["usage"]["prompt_tokens"], 4096);
  body["encoding_format"] = "base64";
  EXPECT_EQ(answer("/v1/embeddings", body)["data"][0]["embedding"].get<std::string>().size(), 44u);
  body["input"].push_back("ab");
  EXPECT_THAT(refusal("/v1/embeddings", body)["message"].get<std::string>(), HasSubstr("at most 2048"));
}

ServerOptions few_logprobs() {
  ServerOptions options = local_options();
  options.api.defaults.max_whole_logprobs = 100;
  return options;
}

class FewLogprobs : public ApiTest {
 protected:
  FewLogprobs() : ApiTest(few_logprobs()) {}
};

TEST_F(ApiTest, PathsWithoutAVersion) {
  EXPECT_EQ(answer("/completions", {{"prompt", "ab"}})["choices"][0]["text"], "ab");
  EXPECT_EQ(answer("/chat/completions", {{"messages", {{{"role", "user"}, {"content", "x"}}}}})["object"],
            "chat.completion");
  EXPECT_EQ(answer("/embeddings", {{"input", "ab"}})["data"].size(), 1u);
}

/// What a client that went away has cost is in the log.
TEST(AccessLog, TokensOfAbortedRequests) {
  std::promise<std::string> logged;
  ServerOptions options = local_options();
  options.api.access_log = [&logged](const std::string& line) { logged.set_value(line); };
  EmptyModelOptions model;
  model.step_time = std::chrono::milliseconds(5);
  const LocalServer server(model, options);
  {
    LocalClient client(server.port());
    client.say(
        post_of("/v1/completions", R"({"prompt": "abc", "ignore_eos": true, "max_tokens": -1, "stream": true})"));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  auto line = logged.get_future();
  ASSERT_EQ(line.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  const Json json = parse_untrusted(line.get(), "log").value();
  EXPECT_EQ(json["status"], 499);
  EXPECT_EQ(json["prompt_tokens"], 3);
  EXPECT_GT(json["completion_tokens"], 0);
}

TEST_F(FewLogprobs, WholeAnswersAreBounded) {
  Json body = {{"prompt", "abcdefghij"}, {"logprobs", 4}, {"max_tokens", 10}, {"n", 2}};
  EXPECT_EQ(answer("/v1/completions", body)["choices"][1]["logprobs"]["tokens"].size(), 10u);
  body["max_tokens"] = 11;
  const Json error = refusal("/v1/completions", body);
  EXPECT_EQ(error["param"], "logprobs");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("stream"));
  // Its end is not known beforehand.
  body["max_tokens"] = -1;
  EXPECT_EQ(answer("/v1/completions", body)["choices"][1]["logprobs"]["tokens"].size(), 10u);
  body["prompt"] = "abcdefghijk";
  EXPECT_THAT(refusal("/v1/completions", body)["message"].get<std::string>(), HasSubstr("at most 100"));
  body["stream"] = true;
  EXPECT_EQ(ask("/v1/completions", body).status(), 200);
  Json chat = {{"messages", {{{"role", "user"}, {"content", "x"}}}}, {"logprobs", true}, {"max_tokens", 101}};
  EXPECT_EQ(refusal("/v1/chat/completions", chat)["param"], "logprobs");
  chat["max_tokens"] = 100;
  EXPECT_EQ(answer("/v1/chat/completions", chat)["choices"][0]["logprobs"]["content"].size(), 8u);
}

/// Two workers, and large texts that are not done before the small requests were answered.
TEST(Api, SmallRequestsPassLargeOnes) {
  constexpr std::size_t kLarge = 200'000;
  std::promise<void> small_ones_answered;
  const std::shared_future<void> answered = small_ones_answered.get_future().share();
  std::promise<void> large_one_begun;
  EmptyModelOptions model;
  model.on_tokenize = [&, begun = false](std::string_view text) mutable {  // one large text at a time
    if (text.size() < kLarge) return;
    if (!std::exchange(begun, true)) large_one_begun.set_value();
    answered.wait();
  };
  const LocalServer server(model);
  const std::string text(kLarge, 'x');
  LocalClient large[4] = {LocalClient(server.port()), LocalClient(server.port()), LocalClient(server.port()),
                          LocalClient(server.port())};
  for (int i = 0; i < 4; ++i)
    large[i].say(i % 2 == 0 ? post_of("/tokenize", Json{{"content", text}}.dump())
                            : post_of("/v1/completions", Json{{"prompt", text}}.dump()));
  large_one_begun.get_future().wait();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(LocalClient(server.port()).ask(post_of("/tokenize", R"({"content": "x"})")).status(), 200);
    EXPECT_EQ(LocalClient(server.port()).ask(post_of("/v1/completions", R"({"prompt": "x"})")).status(), 200);
  }
  small_ones_answered.set_value();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(large[i].ask("").status(), i % 2 == 0 ? 200 : 400);
}

}  // namespace
}  // namespace nibble::server
