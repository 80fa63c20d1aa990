// What is always true of the executor, for every kind of architecture and arithmetic: a prompt at once is the prompt
// token by token, a batch is its members alone, threads and cuts change nothing; all to the bit.
#include "run/cpu_executor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "run/tiny_model_test_support.h"

namespace nibble {
namespace {

constexpr std::int64_t kVocab = 97;

class Executor : public testing::TestWithParam<TinyKind> {
 protected:
  std::unique_ptr<CpuExecutor> make(int threads, std::int64_t max_batch = 512) const {
    const auto pool = std::make_shared<ThreadPool>(threads);
    const auto weights = std::make_shared<TinyWeights>(GetParam().rich ? rich_config(kVocab) : plain_config(kVocab),
                                                       GetParam().int4, GetParam().rich);
    auto model = CpuModel::load(weights, {}, *pool);
    EXPECT_TRUE(model.ok());
    CpuExecutor::Options options;
    options.compute = GetParam().compute;
    options.max_batch_tokens = max_batch;
    options.kv_bits = GetParam().kv_bits;
    return std::make_unique<CpuExecutor>(*model, pool, options);
  }

  /// Logits of every token of the sequences, fed as one batch.
  static std::vector<std::vector<float>> feed(CpuExecutor& executor, const std::vector<Sequence*>& sequences,
                                              const std::vector<std::vector<std::int32_t>>& tokens) {
    std::vector<std::vector<float>> logits(tokens.size());
    std::vector<BatchItem> batch;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      logits[i].resize(tokens[i].size() * kVocab);
      batch.push_back({sequences[i], tokens[i], BatchItem::Logits::kAll});
    }
    const Status status = executor.forward(batch, [&](std::size_t item, std::int64_t first, std::int64_t rows,
                                                      const float* data) {
      std::memcpy(logits[item].data() + first * kVocab, data, static_cast<std::size_t>(rows * kVocab) * sizeof(float));
    });
    EXPECT_TRUE(status.ok());
    return logits;
  }

  static std::vector<float> feed(CpuExecutor& executor, Sequence& sequence, const std::vector<std::int32_t>& tokens) {
    return feed(executor, std::vector<Sequence*>{&sequence}, {tokens}).front();
  }

  static std::vector<std::int32_t> tokens(std::size_t count, unsigned seed) {
    return random_tokens(count, seed, kVocab);
  }

  static bool same(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  }
};

/// 300 tokens: past several cache blocks of 64 and a chunk of 256 positions.
TEST_P(Executor, PromptAtOnceIsTokenByTokenAndInAnyCut) {
  const auto executor = make(1);
  const std::vector<std::int32_t> prompt = tokens(300, 1);
  const auto whole_sequence = executor->new_sequence();
  const std::vector<float> whole = feed(*executor, *whole_sequence, prompt);
  for (const float v : whole) ASSERT_TRUE(std::isfinite(v));
  const auto single = executor->new_sequence();
  std::vector<float> one_by_one;
  for (const std::int32_t token : prompt) {
    const std::vector<float> row = feed(*executor, *single, {token});
    one_by_one.insert(one_by_one.end(), row.begin(), row.end());
  }
  EXPECT_TRUE(same(whole, one_by_one));
  const auto cutting = make(1, 7);
  const auto cut = cutting->new_sequence();
  EXPECT_TRUE(same(whole, feed(*cutting, *cut, prompt)));
}

TEST_P(Executor, BatchIsItsMembersAlone) {
  const auto executor = make(2);
  std::vector<std::vector<std::int32_t>> texts{tokens(130, 2), tokens(1, 3), tokens(65, 4), tokens(9, 5)};
  std::vector<std::unique_ptr<Sequence>> owned;
  std::vector<Sequence*> sequences;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    owned.push_back(executor->new_sequence());
    sequences.push_back(owned.back().get());
  }
  const auto together = feed(*executor, sequences, texts);
  const auto more = feed(*executor, sequences, {tokens(1, 6), tokens(1, 7), tokens(3, 8), tokens(70, 9)});
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto alone = executor->new_sequence();
    EXPECT_TRUE(same(together[i], feed(*executor, *alone, texts[i]))) << i;
    EXPECT_TRUE(same(more[i], feed(*executor, *alone,
                                   i == 0   ? tokens(1, 6)
                                   : i == 1 ? tokens(1, 7)
                                   : i == 2 ? tokens(3, 8)
                                            : tokens(70, 9))))
        << i;
  }
}

TEST_P(Executor, ThreadsChangeNothing) {
  const std::vector<std::int32_t> prompt = tokens(150, 10);
  std::vector<float> expected;
  for (const int threads : {1, 2, 3}) {
    const auto executor = make(threads);
    const auto sequence = executor->new_sequence();
    std::vector<float> logits = feed(*executor, *sequence, prompt);
    const std::vector<float> next = feed(*executor, *sequence, {5});
    logits.insert(logits.end(), next.begin(), next.end());
    if (expected.empty()) expected = logits;
    EXPECT_TRUE(same(expected, logits)) << threads;
  }
}

TEST_P(Executor, TruncatedSequencesContinueAsFreshOnes) {
  const auto executor = make(1);
  const auto sequence = executor->new_sequence();
  const std::vector<std::int32_t> prompt = tokens(100, 11);
  feed(*executor, *sequence, prompt);
  ASSERT_TRUE(sequence->truncate(61).ok());  // its blocks are all recent
  const std::vector<float> continued = feed(*executor, *sequence, tokens(20, 12));
  const auto fresh = executor->new_sequence();
  feed(*executor, *fresh, {prompt.begin(), prompt.begin() + 61});
  EXPECT_TRUE(same(continued, feed(*executor, *fresh, tokens(20, 12))));
}

/// What a sequence holds once its older blocks are packed, and what is left when it is cut and gone.
TEST_P(Executor, PackedSequencesHoldLess) {
  if (GetParam().kv_bits == 0) GTEST_SKIP() << "for packed caches";
  const auto executor = make(2);
  auto sequence = executor->new_sequence();
  const std::vector<std::int32_t> prompt = tokens(1000, 14);
  const std::vector<float> before = feed(*executor, *sequence, prompt);
  // Positions 1000 and later see two blocks of floats, and the 15 that are full packed; of each of the three layers.
  const bool f32 = GetParam().compute == kernel::Compute::kF32;
  const kernel::KvBlockLayout floats{2, 16, f32 ? kernel::KvType::kF32 : kernel::KvType::kF16};
  const kernel::KvPackedLayout packed{2, 16, GetParam().kv_bits};
  EXPECT_EQ(executor->kv_bytes(), 3 * (2 * floats.block_bytes() + 15 * packed.block_bytes()));
  // Cut where only packed blocks are, floats are made of them: nearly what was there, and no more memory than needed.
  ASSERT_TRUE(sequence->truncate(400).ok());
  const std::vector<float> again = feed(*executor, *sequence, {prompt.begin() + 400, prompt.begin() + 500});
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < again.size(); ++i) {
    ASSERT_TRUE(std::isfinite(again[i]));
    difference += std::pow(static_cast<double>(again[i] - before[400 * kVocab + i]), 2);
    size += std::pow(static_cast<double>(again[i]), 2);
  }
  EXPECT_LT(std::sqrt(difference / size), GetParam().kv_bits == 8 ? 0.05 : 0.4);
  sequence.reset();
  EXPECT_EQ(executor->kv_bytes(), 0u);
}

TEST_P(Executor, HiddenStatesDependOnTheTextAlone) {
  const auto executor = make(2, 7);
  const std::vector<std::int32_t> text = tokens(100, 15);
  const std::int64_t width = executor->model().config().hidden_size;
  const auto states_of = [&](CpuExecutor& run, bool beside_another) {
    const auto sequence = run.new_sequence();
    const auto other = run.new_sequence();
    std::vector<BatchItem> batch{{sequence.get(), text, BatchItem::Logits::kHiddenStates}};
    if (beside_another) batch.insert(batch.begin(), {other.get(), text, BatchItem::Logits::kAll});
    std::vector<float> states;
    const Status status = run.forward(batch, OutputSink([&](std::span<const OutputRows> outputs) {
                                        for (const OutputRows& o : outputs)
                                          if (o.item + 1 == batch.size())
                                            states.insert(states.end(), o.values, o.values + o.rows * width);
                                      }));
    EXPECT_TRUE(status.ok());
    return states;
  };
  const std::vector<float> states = states_of(*executor, false);
  ASSERT_EQ(states.size(), text.size() * static_cast<std::size_t>(width));
  for (const float v : states) ASSERT_TRUE(std::isfinite(v));
  EXPECT_TRUE(same(states, states_of(*make(1), true)));
}

TEST_P(Executor, RefusesWhatDoesNotFit) {
  const auto executor = make(1);
  const auto sequence = executor->new_sequence();
  const auto ignore = [](std::size_t, std::int64_t, std::int64_t, const float*) {};
  for (const std::int32_t bad : {-1, static_cast<std::int32_t>(kVocab)}) {
    const BatchItem item{sequence.get(), {&bad, 1}, BatchItem::Logits::kLast};
    const Status status = executor->forward({&item, 1}, ignore);
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.error().message.find("vocabulary"), std::string::npos);
  }
  const std::vector<std::int32_t> long_text = tokens(1025, 13);
  const BatchItem item{sequence.get(), long_text, BatchItem::Logits::kLast};
  const Status status = executor->forward({&item, 1}, ignore);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("context"), std::string::npos);
  EXPECT_EQ(sequence->length(), 0);
}

INSTANTIATE_TEST_SUITE_P(All, Executor,
                         testing::Values(TinyKind{"plain_f32", false, false, kernel::Compute::kF32},
                                         TinyKind{"plain_int4", false, true, kernel::Compute::kInt8},
                                         TinyKind{"rich_f32", true, false, kernel::Compute::kF32},
                                         TinyKind{"rich_int4", true, true, kernel::Compute::kInt8},
                                         TinyKind{"plain_kv8", false, false, kernel::Compute::kF32, 8},
                                         TinyKind{"plain_int4_kv4", false, true, kernel::Compute::kInt8, 4},
                                         TinyKind{"rich_kv8", true, true, kernel::Compute::kInt8, 8}),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace nibble
