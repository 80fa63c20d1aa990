// What is always true of many requests at once: each gives what it gives alone, however prompts are cut, whatever is
// shared, cancelled or preempted; and blocks come back.
#include "run/scheduler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "run/generator.h"
#include "run/tiny_model_test_support.h"

namespace nibble {
namespace {

constexpr std::int64_t kVocab = kByteVocab;

/// What a request said.
struct Answer {
  std::string text;
  std::vector<std::int32_t> ids;
  std::vector<float> embedding;
  std::optional<Outcome> outcome;
  int events = 0;
};

class Schedule : public testing::TestWithParam<TinyKind> {
 protected:
  void SetUp() override {
    const TinyKind& kind = GetParam();
    pool_ = std::make_shared<ThreadPool>(2);
    const auto weights =
        std::make_shared<TinyWeights>(kind.rich ? rich_config(kVocab) : plain_config(kVocab), kind.int4, kind.rich);
    model_ = CpuModel::load(weights, {}, *pool_).value();
    tokenizer_ = byte_tokenizer();
    options_.step_tokens = 96;
    options_.slice_tokens = 24;
    options_.slice_seconds = 0;  // a step is the same on every machine
  }

  std::unique_ptr<CpuExecutor> executor(std::size_t blocks = 0) const {
    CpuExecutor::Options run;
    run.compute = GetParam().compute;
    run.kv_bits = GetParam().kv_bits;
    // With packed blocks those are bounded, and floats are at least what the texts at work need.
    run.max_kv_blocks = run.kv_bits == 0 || blocks == 0 ? blocks : blocks + 40;
    run.max_packed_kv_blocks = run.kv_bits == 0 ? 0 : blocks;
    return std::make_unique<CpuExecutor>(model_, pool_, run);
  }

  std::unique_ptr<Scheduler> scheduler(std::size_t blocks = 0) {
    auto run = executor(blocks);
    cache_ = run->cache();
    return std::make_unique<Scheduler>(std::move(run), tokenizer_, options_);
  }

  /// A prompt of `size` tokens, some of which all prompts of a `family` begin with.
  static Request request(std::size_t size, unsigned seed, std::int64_t max_tokens, unsigned family = 0,
                         std::size_t common = 0) {
    Request r;
    r.prompt = random_tokens(size, seed, 256);
    const std::vector<std::int32_t> beginning = random_tokens(common, 1000 + family, 256);
    std::copy_n(beginning.begin(), std::min(common, size), r.prompt.begin());
    r.options.max_tokens = max_tokens;
    r.options.sampling.temperature = seed % 2 == 0 ? 0.0f : 0.9f;
    r.options.sampling.seed = seed;
    return r;
  }

  static Request copy(const Request& from) {
    Request r;
    r.kind = from.kind;
    r.prompt = from.prompt;
    r.options = from.options;
    r.logprobs = from.logprobs;
    r.normalize = from.normalize;
    return r;
  }

  static EventSink into(Answer& answer) {
    return [&answer](Event event) {
      EXPECT_FALSE(answer.outcome) << "an event after the last";
      ++answer.events;
      answer.text += event.text;
      for (const GeneratedToken& token : event.tokens) answer.ids.push_back(token.id);
      if (!event.embedding.empty()) answer.embedding = event.embedding;
      answer.outcome = event.outcome;
    };
  }

  std::string alone(const Request& r) const {
    const auto run = executor();
    Generator generator(*run, tokenizer_);
    std::string text;
    const auto report = generator.generate(r.prompt, r.options, [&](std::string_view piece) {
      text += piece;
      return true;
    });
    EXPECT_TRUE(report.ok());
    return text;
  }

  /// Runs all, `per_step` of them joining before each step, and compares each with itself alone.
  std::vector<Answer> run_all(Scheduler& scheduler, const std::vector<Request>& requests, std::size_t per_step) {
    std::vector<Answer> answers(requests.size());
    std::size_t added = 0;
    for (int steps = 0; added < requests.size() || !scheduler.idle(); ++steps) {
      for (std::size_t i = 0; i < per_step && added < requests.size(); ++i, ++added) {
        EXPECT_TRUE(scheduler.check(requests[added]).ok());
        scheduler.add(added, copy(requests[added]), into(answers[added]), Job::Clock::now());
      }
      scheduler.step();
      if (steps > 20000) {
        ADD_FAILURE() << "no end";
        break;
      }
    }
    for (std::size_t i = 0; i < requests.size(); ++i) {
      EXPECT_TRUE(answers[i].outcome && !answers[i].outcome->error) << i;
      EXPECT_EQ(answers[i].text, alone(requests[i])) << i;
      EXPECT_LE(answers[i].events, requests[i].options.max_tokens + 1);
      if (answers[i].outcome) {
        EXPECT_EQ(answers[i].outcome->generated_tokens, std::ssize(answers[i].ids));
      }
    }
    return answers;
  }

  std::size_t blocks_in_use() const {
    return cache_->blocks().blocks_in_use() + cache_->packed_blocks().blocks_in_use();
  }
  static std::int64_t used(const Scheduler& s) { return s.stats().kv_blocks_used; }

  std::shared_ptr<ThreadPool> pool_;
  CpuModel::Ptr model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  EngineOptions options_;
  std::shared_ptr<KvCache> cache_;
};

TEST_P(Schedule, AmongOthersAsAlone) {
  std::vector<Request> requests;
  for (unsigned i = 0; i < 33; ++i) requests.push_back(request(1 + i * 37 % 190, i, 5 + i * 11 % 60));
  requests[3].options.stop = {"a", "\n"};
  requests[5].options.sampling.presence_penalty = 1.5f;
  requests[7].options.sampling.frequency_penalty = -0.5f;
  requests[9].options.sampling.logit_bias = {{65, 30.0f}, {66, -100.0f}};
  requests[11].options.min_tokens = 20;
  options_.reuse_prefixes = false;
  const auto schedule = scheduler();
  run_all(*schedule, requests, 2);
  EXPECT_EQ(blocks_in_use(), 0u);
  EXPECT_EQ(schedule->stats().preemptions, 0);
}

TEST_P(Schedule, StopTokensEndATextWithThem) {
  std::vector<Request> requests;
  requests.push_back(request(20, 2, 12));
  const std::vector<std::int32_t> ids = run_all(*scheduler(), requests, 1)[0].ids;
  ASSERT_EQ(ids.size(), 12u);
  requests[0].options.stop_tokens = {300, ids[4]};
  requests.push_back(copy(requests[0]));
  requests[1].options.min_tokens = 12;
  const auto answers = run_all(*scheduler(), requests, 2);
  const auto first = std::find(ids.begin(), ids.end(), ids[4]);
  EXPECT_EQ(answers[0].ids, std::vector<std::int32_t>(ids.begin(), first + 1));
  EXPECT_EQ(answers[0].outcome->reason, StopReason::kEnd);
  EXPECT_EQ(answers[1].ids.size(), 12u);
  EXPECT_EQ(std::count(answers[1].ids.begin(), answers[1].ids.end(), ids[4]), 0);
}

TEST_P(Schedule, SharedBeginningsChangeNothing) {
  std::vector<Request> requests;
  for (unsigned i = 0; i < 16; ++i) requests.push_back(request(150 + i * 17 % 100, i, 12, i % 3, 64 + 45 * (i % 4)));
  requests.push_back(copy(requests[2]));  // the same again, at once and later
  requests.push_back(copy(requests[2]));
  auto schedule = scheduler(60);
  std::vector<Answer> answers = run_all(*schedule, requests, 4);
  std::int64_t cached = 0;
  for (const Answer& answer : answers) cached += answer.outcome->cached_tokens;
  EXPECT_GE(cached, 16 * 64);
  EXPECT_EQ(schedule->stats().cached_tokens, cached);
  EXPECT_EQ(used(*schedule), 0);
  EXPECT_GT(schedule->stats().kv_blocks_cached, 0);
  // Conversations: the answers are part of the next prompts.
  std::vector<Request> next;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    next.push_back(copy(requests[i]));
    next.back().prompt.insert(next.back().prompt.end(), answers[i].ids.begin(), answers[i].ids.end());
    next.back().prompt.push_back(10);
  }
  answers = run_all(*schedule, next, 3);
  for (const Answer& answer : answers) EXPECT_GE(answer.outcome->cached_tokens, 64);
  schedule.reset();
  EXPECT_EQ(blocks_in_use(), 0u);
}

/// As prompts with one system message do: less than a block is the same.
TEST_P(Schedule, ShortBeginningsAreSharedToo) {
  std::vector<Request> first;
  first.push_back(request(90, 1, 4, 0, 30));
  std::vector<Request> later;
  for (unsigned i = 2; i < 6; ++i) later.push_back(request(40 + 30 * i, i, 4, 0, 30));
  later.push_back(request(20, 7, 4, 0, 30));  // all of it but the last token
  later.push_back(request(80, 8, 4, 0, 7));   // too little to copy
  const auto schedule = scheduler();
  EXPECT_EQ(run_all(*schedule, first, 1)[0].outcome->cached_tokens, 0);
  const std::vector<Answer> answers = run_all(*schedule, later, 2);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(answers[i].outcome->cached_tokens, 30) << i;
  EXPECT_EQ(answers[4].outcome->cached_tokens, 19);
  EXPECT_EQ(answers[5].outcome->cached_tokens, 0);
}

TEST_P(Schedule, TheSameAtOnceIsReadOnce) {
  std::vector<Request> requests;
  for (unsigned i = 0; i < 8; ++i) requests.push_back(request(140, 2, 4));
  options_.step_tokens = 512;
  const auto schedule = scheduler();
  const std::vector<Answer> answers = run_all(*schedule, requests, 8);
  EXPECT_EQ(schedule->stats().cached_tokens, 7 * 128);
  EXPECT_EQ(schedule->stats().prompt_tokens, 8 * 140);
  EXPECT_EQ(schedule->stats().prompt_tokens_computed, 140 + 7 * 12);
}

/// With no time at all for a slice, the smallest are read from the second step on.
TEST_P(Schedule, SlicesThatTakeTooLongBecomeSmaller) {
  options_.slice_seconds = 1e-9;
  options_.step_tokens = 96;
  const auto schedule = scheduler();
  std::vector<Request> requests;
  requests.push_back(request(24 + 10 * 16, 2, 1));
  run_all(*schedule, requests, 1);
  EXPECT_EQ(schedule->stats().steps, 11);
  EXPECT_EQ(schedule->stats().prompt_tokens_computed, 24 + 10 * 16);
}

TEST_P(Schedule, PreemptedTextsGoOnAsIfNothingHadBeen) {
  for (const bool reuse : {false, true}) {
    options_.reuse_prefixes = reuse;
    std::vector<Request> requests;
    for (unsigned i = 0; i < 7; ++i) requests.push_back(request(20 + 30 * i, i, 200, 0, reuse ? 70 : 0));
    for (Request& r : requests) r.options.ignore_eos = true;
    const auto schedule = scheduler(9);
    run_all(*schedule, requests, 7);
    EXPECT_GT(schedule->stats().preemptions, 0);
    EXPECT_EQ(used(*schedule), 0);
  }
}

TEST_P(Schedule, CancelledRequestsGiveTheirBlocksBack) {
  options_.reuse_prefixes = false;
  options_.max_running = 2;
  const auto schedule = scheduler(12);
  std::vector<Answer> answers(4);
  for (unsigned i = 0; i < 4; ++i)
    schedule->add(i, request(i == 1 ? 500 : 30, i + 2, 300), into(answers[i]), Job::Clock::now());
  for (int i = 0; i < 3; ++i) schedule->step();
  EXPECT_GT(used(*schedule), 0);
  EXPECT_GT(answers[0].ids.size(), 0u);  // it writes,
  EXPECT_EQ(answers[1].ids.size(), 0u);  // reads,
  schedule->cancel(3);                   // waits
  EXPECT_EQ(answers[3].outcome.value().reason, StopReason::kCancelled);
  schedule->cancel(1);
  EXPECT_EQ(answers[1].outcome.value().reason, StopReason::kCancelled);
  schedule->step();
  EXPECT_EQ(schedule->stats().running, 2);
  schedule->cancel(0);
  EXPECT_EQ(answers[0].outcome.value().reason, StopReason::kCancelled);
  EXPECT_EQ(answers[0].outcome->generated_tokens, std::ssize(answers[0].ids));
  schedule->cancel(77);
  schedule->step();
  schedule->cancel_all();
  EXPECT_TRUE(schedule->idle());
  EXPECT_EQ(blocks_in_use(), 0u);
  EXPECT_EQ(schedule->stats().requests_cancelled, 4);

  // One that gave its blocks back, and waits for others.
  options_.max_running = 8;
  const auto tight = scheduler(6);
  std::vector<Answer> more(3);
  for (unsigned i = 0; i < 3; ++i) {
    Request r = request(60, i, 250);
    r.options.ignore_eos = true;
    tight->add(i, std::move(r), into(more[i]), Job::Clock::now());
  }
  while (tight->stats().preemptions == 0 && !tight->idle()) tight->step();
  ASSERT_GT(tight->stats().waiting, 0);
  tight->cancel(2);
  EXPECT_EQ(more[2].outcome.value().reason, StopReason::kCancelled);
  EXPECT_GT(more[2].ids.size(), 0u);
  tight->cancel_all();
  EXPECT_EQ(blocks_in_use(), 0u);
}

/// While a long prompt is read, those that write get a token every step.
TEST_P(Schedule, LongPromptsAreReadInSlices) {
  const auto schedule = scheduler();
  Answer writing;
  Answer reading;
  schedule->add(1, request(10, 2, 200), into(writing), Job::Clock::now());
  schedule->step();
  ASSERT_EQ(writing.ids.size(), 1u);
  schedule->add(2, request(600, 4, 5), into(reading), Job::Clock::now());
  for (std::size_t step = 1; step <= 600 / 24; ++step) {
    schedule->step();
    if (writing.outcome) break;  // the model may end it
    EXPECT_EQ(writing.ids.size(), 1 + step);
  }
  EXPECT_EQ(reading.ids.size(), writing.outcome ? 0u : 1u);
  schedule->cancel_all();
}

TEST_P(Schedule, WhatCanNeverRunIsRefused) {
  const auto schedule = scheduler(4);  // 256 tokens
  EXPECT_TRUE(schedule->check(request(256, 1, 1000)).ok());
  const Status big = schedule->check(request(257, 1, 1));
  ASSERT_FALSE(big.ok());
  EXPECT_NE(big.error().message.find("memory"), std::string::npos);
  const Status longer = scheduler()->check(request(1025, 1, 1));
  ASSERT_FALSE(longer.ok());
  EXPECT_NE(longer.error().message.find("context"), std::string::npos);
  Request bad = request(5, 1, 1);
  bad.prompt[2] = kVocab;
  EXPECT_FALSE(schedule->check(bad).ok());
  bad.prompt[2] = -1;
  EXPECT_FALSE(schedule->check(bad).ok());
  bad.prompt.clear();
  EXPECT_FALSE(schedule->check(bad).ok());
  Request many = request(5, 1, 1);
  many.logprobs = 21;
  EXPECT_FALSE(schedule->check(many).ok());

  // What fits, but not its whole answer, ends where the room does.
  Answer answer;
  Request r = request(200, 2, 0);
  r.options.ignore_eos = true;
  schedule->add(1, std::move(r), into(answer), Job::Clock::now());
  while (!schedule->idle()) schedule->step();
  EXPECT_EQ(answer.outcome.value().reason, StopReason::kContextFull);
  EXPECT_EQ(answer.ids.size(), 57u);  // the last is not fed
}

TEST_P(Schedule, EmbeddingsAreMeansOfHiddenStates) {
  const auto schedule = scheduler();
  std::vector<Request> requests;
  for (unsigned i = 0; i < 4; ++i) {
    requests.push_back(request(30 + 70 * i, i, 8));
    if (i != 1) requests.back().kind = Request::Kind::kEmbedding;
    requests.back().normalize = i == 0;
  }
  std::vector<Answer> answers(4);
  for (unsigned i = 0; i < 4; ++i) schedule->add(i, copy(requests[i]), into(answers[i]), Job::Clock::now());
  while (!schedule->idle()) schedule->step();
  EXPECT_EQ(answers[1].text, alone(requests[1]));
  const auto width = static_cast<std::size_t>(model_->config().hidden_size);
  for (const unsigned i : {0u, 2u, 3u}) {
    const auto run = executor();
    const auto sequence = run->new_sequence();
    const BatchItem item{sequence.get(), requests[i].prompt, BatchItem::Logits::kHiddenStates};
    std::vector<double> mean(width);
    ASSERT_TRUE(run->forward({&item, 1},
                             [&](std::size_t, std::int64_t, std::int64_t rows, const float* values) {
                               for (std::size_t k = 0; k < static_cast<std::size_t>(rows) * width; ++k)
                                 mean[k % width] += values[k] / static_cast<double>(requests[i].prompt.size());
                             })
                    .ok());
    double square = 0;
    for (const double m : mean) square += m * m;
    ASSERT_EQ(answers[i].embedding.size(), width);
    for (std::size_t k = 0; k < width; ++k)
      EXPECT_NEAR(answers[i].embedding[k], i == 0 ? mean[k] / std::sqrt(square) : mean[k], 1e-6);
  }
  EXPECT_EQ(used(*schedule), 0);
}

/// One that has to give its blocks back begins its sum again.
TEST_P(Schedule, PreemptedEmbeddingsAreTheSame) {
  options_.slice_tokens = 8;
  Request embed = request(200, 9, 0);
  embed.kind = Request::Kind::kEmbedding;
  std::vector<std::vector<float>> embeddings;
  for (const std::size_t blocks : {0, 9}) {
    const auto schedule = scheduler(blocks);
    std::vector<Answer> answers(4);
    for (unsigned i = 0; i < 3; ++i) {
      Request r = request(60, i, 250);
      r.options.ignore_eos = true;
      schedule->add(i, std::move(r), into(answers[i]), Job::Clock::now());
    }
    schedule->add(3, copy(embed), into(answers[3]), Job::Clock::now());
    while (!answers[3].outcome && !schedule->idle()) schedule->step();
    // With packed blocks, 9 hold three texts and 200 tokens all the same.
    if (GetParam().kv_bits == 0) {
      EXPECT_EQ(schedule->stats().preemptions > 0, blocks > 0);
    }
    schedule->cancel_all();
    embeddings.push_back(answers[3].embedding);
  }
  ASSERT_FALSE(embeddings[0].empty());
  EXPECT_EQ(embeddings[0], embeddings[1]);
}

/// Only some letters, and the end after five of them.
class FewLetters final : public TokenConstraint {
 public:
  explicit FewLetters(std::vector<std::int32_t>* seen, bool never_ends = false)
      : seen_(seen), never_ends_(never_ends) {}
  Result<std::span<const std::uint64_t>> allowed() override {
    mask_.fill(0);
    if (seen_->size() == 5) {
      if (!never_ends_) mask_[4] = 2;  // token 257, the end
    } else {
      mask_[1] = std::uint64_t{0xFF} << ('A' - 64);
    }
    return std::span<const std::uint64_t>(mask_);
  }
  Status accept(std::int32_t id) override {
    seen_->push_back(id);
    return {};
  }

 private:
  std::vector<std::int32_t>* seen_;
  bool never_ends_;
  std::array<std::uint64_t, 5> mask_{};
};

TEST_P(Schedule, ConstraintsRestrictTokens) {
  const auto schedule = scheduler();
  std::vector<std::int32_t> seen;
  std::vector<std::int32_t> stuck;
  std::vector<Answer> answers(2);
  for (unsigned i = 0; i < 2; ++i) {
    Request r = request(20, 2 + i, 50);
    r.options.ignore_eos = true;  // a constraint ends the text all the same
    r.constraint = std::make_unique<FewLetters>(i == 0 ? &seen : &stuck, i == 1);
    schedule->add(i, std::move(r), into(answers[i]), Job::Clock::now());
  }
  while (!schedule->idle()) schedule->step();
  EXPECT_EQ(answers[0].outcome.value().reason, StopReason::kEnd);
  EXPECT_EQ(answers[0].ids, seen);
  EXPECT_EQ(answers[0].text.size(), 5u);
  for (const char c : answers[0].text) EXPECT_TRUE(c >= 'A' && c <= 'H') << answers[0].text;
  ASSERT_TRUE(answers[1].outcome.value().error);
  EXPECT_NE(answers[1].outcome->error->message.find("no token"), std::string::npos);
  EXPECT_EQ(answers[1].ids.size(), 5u);
}

TEST_P(Schedule, SinksThatThrowCancelTheirRequest) {
  const auto schedule = scheduler();
  Answer other;
  int calls = 0;
  schedule->add(
      1, request(10, 2, 50),
      [&](const Event&) {
        ++calls;
        throw std::runtime_error("the client is gone");
      },
      Job::Clock::now());
  const Request r = request(30, 3, 20);
  schedule->add(2, copy(r), into(other), Job::Clock::now());
  while (!schedule->idle()) schedule->step();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(other.text, alone(r));
  EXPECT_EQ(schedule->stats().requests_cancelled, 1);
  EXPECT_EQ(used(*schedule), 0);
}

INSTANTIATE_TEST_SUITE_P(All, Schedule,
                         testing::Values(TinyKind{"plain_f32", false, false, kernel::Compute::kF32},
                                         TinyKind{"rich_int4", true, true, kernel::Compute::kInt8},
                                         TinyKind{"plain_int4_kv8", false, true, kernel::Compute::kInt8, 8},
                                         TinyKind{"rich_kv4", true, false, kernel::Compute::kF32, 4}),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace nibble
