// The engine through the public interface: a whole model from disk, 32 requests at once, and what Session says alone.
#include "nibble/engine.h"

#include <gtest/gtest.h>

#include <future>

#include "chat_model_test.h"

namespace nibble {
namespace {

class EngineTest : public ChatModelTest {
 protected:
  std::shared_ptr<Model> load(int kv_bits = 0) {
    LoadOptions options;
    options.threads = 2;
    options.kv_bits = kv_bits;
    options.context = 600;
    return Model::load((root_ / "m").string(), options).value();
  }

  static GenerateOptions options(unsigned i) {
    GenerateOptions o;
    o.max_tokens = 10 + i;
    o.sampling.temperature = i % 2 == 0 ? 0.0f : 1.0f;
    o.sampling.seed = i;
    if (i % 5 == 0) o.stop = {"A", "b"};
    return o;
  }
};

TEST_F(EngineTest, TextsAmong32AreThoseOfASession) {
  for (const int kv_bits : {0, 8}) {
    const auto model = load(kv_bits);
    const auto engine = Engine::create(model, {}).value();
    const std::string common = random_text(150);
    struct Answer {
      std::string text;
      std::promise<Outcome> outcome;
    };
    std::vector<std::vector<std::int32_t>> prompts;
    std::vector<Answer> answers(32);
    for (unsigned i = 0; i < 32; ++i) {
      prompts.push_back(
          model->tokenize(i % 3 == 0 ? common + std::to_string(i) : std::to_string(i) + common, true, false).value());
      Request request;
      request.prompt = prompts.back();
      request.options = options(i);
      Answer& answer = answers[i];
      ASSERT_TRUE(engine
                      ->submit(std::move(request),
                               [&answer](Event event) {
                                 answer.text += event.text;
                                 if (event.outcome) answer.outcome.set_value(*event.outcome);
                               })
                      .ok());
    }
    for (unsigned i = 0; i < 32; ++i) {
      const Outcome outcome = answers[i].outcome.get_future().get();
      std::string alone;
      const auto report = model->new_session()->generate(prompts[i], options(i), [&](std::string_view piece) {
        alone += piece;
        return true;
      });
      EXPECT_EQ(answers[i].text, alone) << i;
      EXPECT_EQ(outcome.reason, report.value().reason) << i;
      EXPECT_EQ(outcome.generated_tokens, report.value().generated_tokens) << i;
    }
    EXPECT_TRUE(engine->drain(60));
    EXPECT_GT(engine->stats().cached_tokens, 0);
    EXPECT_EQ(engine->stats().kv_blocks_used, 0);
  }
}

TEST_F(EngineTest, MemoryForKeysAndValuesIsBounded) {
  const auto model = load();
  EngineOptions options;
  options.kv_memory = 1000;
  const auto too_little = Engine::create(model, options);
  ASSERT_FALSE(too_little.ok());
  EXPECT_NE(too_little.error().message.find("keys and values"), std::string::npos);
  options.kv_memory = 0;
  options.max_running = 3;
  EXPECT_EQ(Engine::create(model, options).value()->stats().kv_blocks, 3 * 10);  // 600 positions each
  options.max_running = 0;
  EXPECT_FALSE(Engine::create(model, options).ok());
}

TEST_F(EngineTest, ABoundOnMemoryIsThatOfItsTextsToo) {
  LoadOptions load;
  load.context = 600;
  load.memory = std::uint64_t{4} << 30;
  load.pack_folder = (root_ / "packs").string();
  load.kv_bits = 8;
  const auto model = Model::load((root_ / "m").string(), load).value();
  EXPECT_GT(Engine::create(model, {}).value()->stats().kv_blocks, 0) << "fewer texts at once, but it runs";
  EngineOptions options;
  options.kv_memory = std::uint64_t{1} << 30;
  const auto more = Engine::create(model, options);
  ASSERT_FALSE(more.ok());
  EXPECT_NE(more.error().message.find("bound on memory"), std::string::npos) << more.error().message;
}

TEST_F(EngineTest, SessionsOfOneModelRunOnSeveralThreads) {
  const auto model = load(8);
  const auto prompt = model->tokenize(random_text(200), true, false).value();
  const auto text_of = [&](Session& session) {
    std::string text;
    EXPECT_TRUE(session.generate(prompt, options(2), [&](std::string_view piece) { return text += piece, true; }).ok());
    return text;
  };
  const std::string alone = text_of(*model->new_session());
  std::vector<std::future<void>> threads;
  for (int t = 0; t < 3; ++t)
    threads.push_back(std::async(std::launch::async, [&] {
      for (int round = 0; round < 6; ++round) {
        const auto session = model->new_session();
        for (int answer = 0; answer < 3; ++answer) EXPECT_EQ(text_of(*session), alone);
      }
    }));
}

TEST_F(EngineTest, LogprobsDoNotDependOnTheTemperature) {
  const auto model = load();
  const auto engine = Engine::create(model, {}).value();
  const auto prompt = model->tokenize("Hello", true, false).value();
  std::vector<std::vector<GeneratedToken>> said;
  for (const float temperature : {0.0f, 0.01f}) {
    Request request;
    request.prompt = prompt;
    request.options.max_tokens = 4;
    request.options.ignore_eos = true;
    request.options.sampling.temperature = temperature;
    request.logprobs = 3;
    std::vector<GeneratedToken> tokens;
    std::promise<void> done;
    ASSERT_TRUE(engine
                    ->submit(std::move(request),
                             [&](Event event) {
                               for (GeneratedToken& token : event.tokens) tokens.push_back(std::move(token));
                               if (event.outcome) done.set_value();
                             })
                    .ok());
    done.get_future().get();
    ASSERT_EQ(tokens.size(), 4u);
    for (const GeneratedToken& token : tokens) {
      ASSERT_TRUE(token.logprob);
      ASSERT_EQ(token.top.size(), 3u);
      EXPECT_EQ(token.top[0].id, token.id);  // the likeliest was chosen
      EXPECT_EQ(token.top[0].logprob, token.logprob->logprob);
      EXPECT_LT(token.logprob->logprob, 0.0f);
      EXPECT_EQ(model->detokenize({token.id}), token.logprob->bytes);
    }
    said.push_back(tokens);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(said[0][i].id, said[1][i].id);
    EXPECT_EQ(said[0][i].logprob->logprob, said[1][i].logprob->logprob);
  }
}

}  // namespace
}  // namespace nibble
