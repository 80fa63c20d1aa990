// Many threads at one engine: limits of the queue, cancellation, draining, and that nothing is lost or said twice.
#include "run/engine_loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "base/testing/costs.h"
#include "run/tiny_model_test_support.h"

namespace nibble {
namespace {

constexpr std::int64_t kVocab = kByteVocab;

class Loop : public testing::Test {
 protected:
  void SetUp() override {
    pool_ = std::make_shared<ThreadPool>(2);
    model_ = CpuModel::load(std::make_shared<TinyWeights>(plain_config(kVocab), true, false), {}, *pool_).value();
  }

  std::unique_ptr<EngineLoop> make(const EngineOptions& options = {}, std::size_t blocks = 64) {
    CpuExecutor::Options run;
    run.max_kv_blocks = blocks;
    return std::make_unique<EngineLoop>(nullptr, std::make_unique<CpuExecutor>(model_, pool_, run), byte_tokenizer(),
                                        options);
  }

  static Request request(std::size_t size, unsigned seed, std::int64_t max_tokens) {
    Request r;
    r.prompt = random_tokens(size, seed % 20, 256);
    r.options.max_tokens = max_tokens;
    r.options.ignore_eos = true;
    r.options.sampling.seed = seed;
    return r;
  }

  /// The answer, when it is whole.
  struct Waiting {
    std::string text;
    std::int64_t tokens = 0;
    std::promise<Outcome> promise;
    std::future<Outcome> outcome = promise.get_future();
    EventSink sink() {
      return [this](Event event) {
        text += event.text;
        tokens += std::ssize(event.tokens);
        if (event.outcome) promise.set_value(*event.outcome);
      };
    }
  };

  std::shared_ptr<ThreadPool> pool_;
  CpuModel::Ptr model_;
};

TEST_F(Loop, AnswersRequests) {
  const auto engine = make();
  Waiting first;
  Waiting second;
  ASSERT_TRUE(engine->submit(nullptr, request(100, 1, 20), first.sink()).ok());
  const Outcome outcome = first.outcome.get();
  EXPECT_EQ(outcome.reason, StopReason::kMaxTokens);
  EXPECT_EQ(outcome.prompt_tokens, 100);
  EXPECT_EQ(outcome.cached_tokens, 0);
  EXPECT_EQ(outcome.generated_tokens, 20);
  EXPECT_EQ(first.tokens, 20);
  EXPECT_GT(outcome.prompt_seconds, 0);
  EXPECT_GT(outcome.decode_seconds, 0);
  ASSERT_TRUE(engine->submit(nullptr, request(100, 1, 20), second.sink()).ok());
  EXPECT_EQ(second.outcome.get().cached_tokens, 64);
  EXPECT_EQ(second.text, first.text);
  EXPECT_TRUE(engine->drain(10));
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.requests_finished, 2);
  EXPECT_EQ(stats.generated_tokens, 40);
  EXPECT_EQ(stats.prompt_tokens, 200);
  EXPECT_EQ(stats.kv_blocks_used, 0);
  EXPECT_EQ(stats.running + stats.waiting, 0);
}

TEST_F(Loop, TheQueueIsBoundedInRequestsAndTokens) {
  EngineOptions options;
  options.max_running = 1;
  options.max_waiting = 3;
  options.max_waiting_tokens = 200;
  const auto engine = make(options);
  Waiting running;
  const auto id = engine->submit(nullptr, request(10, 1, 1000), running.sink());
  ASSERT_TRUE(id.ok());
  while (engine->stats().running == 0) std::this_thread::yield();

  Waiting waiting[4];
  ASSERT_TRUE(engine->submit(nullptr, request(90, 2, 5), waiting[0].sink()).ok());
  auto place = engine->reserve(100);
  ASSERT_TRUE(place.ok());
  EXPECT_EQ(engine->stats().waiting, 2);
  EXPECT_EQ(engine->stats().waiting_tokens, 190);
  const auto too_long = engine->submit(nullptr, request(11, 3, 5), waiting[1].sink());
  ASSERT_FALSE(too_long.ok());
  EXPECT_EQ(too_long.error().code, ErrorCode::kBusy);
  EXPECT_NE(too_long.error().message.find("tokens"), std::string::npos);
  ASSERT_TRUE(engine->submit(nullptr, request(10, 3, 5), waiting[1].sink()).ok());
  const auto too_many = engine->reserve(0);
  ASSERT_FALSE(too_many.ok());
  EXPECT_EQ(too_many.error().code, ErrorCode::kBusy);
  EXPECT_NE(too_many.error().message.find("3 requests"), std::string::npos);
  // The place is used, and a place that was not used is free again.
  ASSERT_TRUE(engine->submit(std::move(*place), request(80, 4, 5), waiting[2].sink()).ok());
  EXPECT_EQ(engine->stats().waiting_tokens, 180);
  EXPECT_FALSE(engine->reserve(0).ok());
  engine->cancel(*id);
  EXPECT_EQ(running.outcome.get().reason, StopReason::kCancelled);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(waiting[i].outcome.get().reason, StopReason::kMaxTokens);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(engine->reserve(150).ok());
  EXPECT_EQ(engine->stats().requests_refused, 3);
  // What could never run is refused as such, in a full queue or not.
  const auto never = engine->submit(nullptr, request(2000, 3, 5), waiting[3].sink());
  ASSERT_FALSE(never.ok());
  EXPECT_EQ(never.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(Loop, PlacesOutliveTheEngine) {
  auto engine = make();
  auto place = engine->reserve(5).value();
  engine.reset();
  Waiting answer;
  const auto elsewhere = make()->submit(std::move(place), request(5, 1, 1), answer.sink());
  ASSERT_FALSE(elsewhere.ok());
  EXPECT_EQ(elsewhere.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(Loop, DrainsThenRefuses) {
  const auto engine = make();
  Waiting answers[5];
  for (unsigned i = 0; i < 5; ++i) ASSERT_TRUE(engine->submit(nullptr, request(30 + i, i, 40), answers[i].sink()).ok());
  EXPECT_TRUE(engine->drain(60));
  for (Waiting& answer : answers) EXPECT_EQ(answer.outcome.get().reason, StopReason::kMaxTokens);
  Waiting late;
  const auto refused = engine->submit(nullptr, request(30, 1, 4), late.sink());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
}

TEST_F(Loop, ShutdownCancelsWhatDrainCouldNotWaitFor) {
  EngineOptions options;
  options.max_running = 2;
  auto engine = make(options);
  Waiting answers[5];
  for (unsigned i = 0; i < 5; ++i)
    ASSERT_TRUE(engine->submit(nullptr, request(30 + i, i, 900), answers[i].sink()).ok());
  EXPECT_FALSE(engine->drain(0.001));
  engine->shutdown();
  for (Waiting& answer : answers) EXPECT_EQ(answer.outcome.get().reason, StopReason::kCancelled);
  engine->shutdown();
  engine.reset();
}

/// A sink may submit and cancel.
TEST_F(Loop, SinksMayCallTheEngine) {
  const auto engine = make();
  Waiting second;
  std::promise<Outcome> first;
  RequestId id = 0;
  std::atomic<bool> ready{false};
  const auto submitted = engine->submit(nullptr, request(10, 1, 500), [&](const Event& event) {
    while (!ready) std::this_thread::yield();
    if (event.outcome) return first.set_value(*event.outcome);
    if (second.tokens > 0 || event.tokens.empty()) return;
    engine->cancel(id);
  });
  id = submitted.value();
  ready = true;
  EXPECT_EQ(first.get_future().get().reason, StopReason::kCancelled);
  ASSERT_TRUE(engine->submit(nullptr, request(10, 1, 5), second.sink()).ok());
  EXPECT_EQ(second.outcome.get().reason, StopReason::kMaxTokens);
}

/// 200 requests of four threads, some cancelled at some time, in a cache that is too small for all.
TEST_F(Loop, RandomRequestsAndCancellations) {
  EngineOptions options;
  options.max_running = 8;
  options.max_waiting = 40;
  options.step_tokens = 64;
  options.slice_tokens = 16;
  options.slice_seconds = 0;
  const auto engine = make(options, 12);
  constexpr int kThreads = 4;
  constexpr int kEach = 50;
  std::atomic<int> accepted{0};
  std::atomic<int> ended{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t) + 1);
      std::vector<RequestId> ids;
      for (int i = 0; i < kEach;) {
        auto place = random() % 2 == 0 ? engine->reserve(200) : Result<std::unique_ptr<QueuePlace>>(nullptr);
        if (place.ok() && random() % 10 != 0) {
          const std::size_t size = 1 + random() % 150;
          const std::int64_t most = 1 + static_cast<std::int64_t>(random() % 60);
          auto said = std::make_shared<std::int64_t>(0);
          const auto id = engine->submit(std::move(*place), request(size, static_cast<unsigned>(random()), most),
                                         [&, most, said](Event event) {
                                           *said += std::ssize(event.tokens);
                                           if (!event.outcome) return;
                                           EXPECT_FALSE(event.outcome->error);
                                           EXPECT_EQ(event.outcome->generated_tokens, *said);
                                           if (event.outcome->reason != StopReason::kCancelled) {
                                             EXPECT_EQ(*said, most);
                                           }
                                           ++ended;
                                         });
          if (id.ok()) {
            ++accepted;
            ++i;
            ids.push_back(*id);
          } else {
            EXPECT_EQ(id.error().code, ErrorCode::kBusy);
            ++refused;
          }
        }
        if (!ids.empty() && random() % 3 == 0) engine->cancel(ids[random() % ids.size()]);
        if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
        (void)engine->stats();
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(engine->drain(300));
  EXPECT_EQ(accepted, kThreads * kEach);
  EXPECT_EQ(ended, kThreads * kEach);
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.requests_accepted, kThreads * kEach);
  EXPECT_EQ(stats.requests_finished + stats.requests_cancelled, kThreads * kEach);
  EXPECT_EQ(stats.requests_failed, 0);
  EXPECT_EQ(stats.kv_blocks_used, 0);
  EXPECT_EQ(stats.waiting, 0);
  EXPECT_EQ(stats.waiting_tokens, 0);
}

/// Two executors of one model from two threads: the engine's, and another.
TEST_F(Loop, OthersMayRunTheModelMeanwhile) {
  const auto engine = make();
  Waiting answer;
  ASSERT_TRUE(engine->submit(nullptr, request(50, 1, 60), answer.sink()).ok());
  CpuExecutor other(model_, pool_, {});
  const std::vector<std::int32_t> tokens = random_tokens(100, 3, 256);
  for (int i = 0; i < 20; ++i) {
    const auto sequence = other.new_sequence();
    const BatchItem item{sequence.get(), tokens, BatchItem::Logits::kLast};
    EXPECT_TRUE(other.forward({&item, 1}, [](std::size_t, std::int64_t, std::int64_t, const float*) {}).ok());
  }
  EXPECT_EQ(answer.outcome.get().reason, StopReason::kMaxTokens);
}

}  // namespace
}  // namespace nibble
