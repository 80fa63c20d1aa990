#include "empty_model.h"

#include <gtest/gtest.h>

#include <future>

namespace nibble::server {
namespace {

struct Told {
  std::string text;
  int events = 0;
  std::vector<GeneratedToken> tokens;
  std::vector<float> embedding;
  Outcome outcome;
};

/// Asks and waits for the end.
Told ask(const ServedModel& served, Request request) {
  auto told = std::make_shared<Told>();
  auto ended = std::make_shared<std::promise<void>>();
  const auto id = served.engine->submit(std::move(request), [told, ended](Event event) {
    ++told->events;
    told->text += event.text;
    for (GeneratedToken& token : event.tokens) told->tokens.push_back(std::move(token));
    if (!event.embedding.empty()) told->embedding = std::move(event.embedding);
    if (!event.outcome) return;
    told->outcome = std::move(*event.outcome);
    ended->set_value();
  });
  EXPECT_TRUE(id.ok()) << id.error().message;
  if (id.ok()) ended->get_future().wait();
  return *told;
}

Request request_of(const ServedModel& served, const std::string& text, std::int64_t max_tokens = 0) {
  Request request;
  request.prompt = *served.model->tokenize(text, true, true);
  request.options.max_tokens = max_tokens;
  return request;
}

class EmptyModelTest : public testing::TestWithParam<bool> {
 protected:
  ServedModel served_ = empty_model("empty", [] {
    EmptyModelOptions options;
    options.synchronous = GetParam();
    options.context = 64;
    return options;
  }());
};

TEST_P(EmptyModelTest, SaysThePromptAgain) {
  const Told told = ask(served_, request_of(served_, "so it goes \xC3\xA9"));
  EXPECT_EQ(told.text, "so it goes \xC3\xA9");
  EXPECT_EQ(told.events, 13);
  EXPECT_EQ(told.outcome.reason, StopReason::kEnd);
  EXPECT_EQ(told.outcome.generated_tokens, 13);
}

TEST_P(EmptyModelTest, KeepsTheLimits) {
  EXPECT_EQ(ask(served_, request_of(served_, "abcdef", 4)).text, "abcd");
  Request on = request_of(served_, "abc", 8);
  on.options.ignore_eos = true;
  const Told told = ask(served_, std::move(on));
  EXPECT_EQ(told.text, "abcabcab");
  EXPECT_EQ(told.outcome.reason, StopReason::kMaxTokens);
  Request full = request_of(served_, std::string(60, 'x'));
  EXPECT_EQ(ask(served_, std::move(full)).outcome.reason, StopReason::kContextFull);
  EXPECT_FALSE(served_.engine->submit(request_of(served_, std::string(64, 'x')), {}).ok());
}

TEST_P(EmptyModelTest, StopsBeforeAString) {
  Request request = request_of(served_, "one two three");
  request.options.stop = {"three", "tw"};
  const Told told = ask(served_, std::move(request));
  EXPECT_EQ(told.text, "one ");
  EXPECT_EQ(told.outcome.reason, StopReason::kStopString);
  EXPECT_EQ(told.outcome.stop_string, "tw");
}

TEST_P(EmptyModelTest, GivesLogprobsAndEmbeddings) {
  Request request = request_of(served_, "ab");
  request.logprobs = 2;
  const Told told = ask(served_, std::move(request));
  ASSERT_EQ(told.tokens.size(), 2U);
  EXPECT_EQ(told.tokens[1].logprob->bytes, "b");
  EXPECT_EQ(told.tokens[1].top.size(), 2U);
  Request vector = request_of(served_, "a");
  vector.kind = Request::Kind::kEmbedding;
  EXPECT_EQ(ask(served_, std::move(vector)).embedding, (std::vector<float>{0, 1, 0, 0, 0, 0, 0, 0}));
}

INSTANTIATE_TEST_SUITE_P(Both, EmptyModelTest, testing::Bool());

TEST(EmptyEngine, RefusesBeyondTheQueueAndCancels) {
  EmptyModelOptions options;
  options.engine.max_running = 1;
  options.engine.max_waiting = 1;
  options.step_time = std::chrono::milliseconds(20);
  const ServedModel served = empty_model("empty", options);
  auto place = served.engine->reserve(1);
  ASSERT_TRUE(place.ok());
  EXPECT_EQ(served.engine->reserve(1).error().code, ErrorCode::kBusy);
  std::promise<Outcome> ended;
  const auto id =
      served.engine->submit(std::move(*place), request_of(served, std::string(1000, 'x')), [&](Event event) {
        if (event.outcome) ended.set_value(*event.outcome);
      });
  ASSERT_TRUE(id.ok());
  served.engine->cancel(*id);
  EXPECT_EQ(ended.get_future().get().reason, StopReason::kCancelled);
  EXPECT_TRUE(served.engine->drain(10));
  EXPECT_EQ(served.engine->reserve(1).error().code, ErrorCode::kBusy);
  EXPECT_EQ(served.engine->stats().waiting, 0);
}

}  // namespace
}  // namespace nibble::server
