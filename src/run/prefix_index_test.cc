// The index against a list of what it should know, and what it gives up when blocks run out.
#include "run/prefix_index.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "run/tiny_model_test_support.h"

namespace nibble {
namespace {

constexpr std::int64_t kBlock = kernel::KvBlockLayout::kTokens;

class Prefixes : public testing::TestWithParam<int> {
 protected:
  /// Room for so many blocks: of codes where the cache packs, with floats enough; else of floats.
  void make(std::size_t blocks, std::size_t floats = 100) {
    const bool packs = GetParam() > 0;
    cache_ = std::make_shared<KvCache>(plain_config(97), KvCacheOptions{kernel::KvType::kF16, GetParam(),
                                                                        packs ? floats : blocks, packs ? blocks : 0});
    index_ = std::make_unique<PrefixIndex>(cache_);
  }
  KvBlockPool& pool() { return GetParam() > 0 ? cache_->packed_blocks() : cache_->blocks(); }

  /// A sequence of these tokens, with what is known of them; returns how many were.
  std::int64_t begin(std::unique_ptr<Sequence>& sequence, const std::vector<std::int32_t>& tokens) {
    sequence = std::make_unique<Sequence>(cache_);
    const std::int64_t known = index_->adopt(*sequence, tokens);
    EXPECT_EQ(known, sequence->length());
    while (sequence->length() < std::ssize(tokens)) {
      const std::int64_t step = std::min<std::int64_t>(kBlock, std::ssize(tokens) - sequence->length());
      EXPECT_TRUE(sequence->reserve(step).ok());
      sequence->advance(step);
    }
    index_->insert(*sequence, tokens);
    return known;
  }
  std::int64_t known(const std::vector<std::int32_t>& tokens) {
    Sequence sequence(cache_);
    return index_->adopt(sequence, tokens);
  }
  static std::vector<std::int32_t> text(std::size_t size, unsigned seed) { return random_tokens(size, seed, 97); }

  std::shared_ptr<KvCache> cache_;
  std::unique_ptr<PrefixIndex> index_;
};

TEST_P(Prefixes, FullBlocksAreFoundByTheirTokens) {
  make(100);
  std::vector<std::int32_t> tokens = text(300, 1);
  std::unique_ptr<Sequence> first;
  EXPECT_EQ(begin(first, tokens), 0);
  std::vector<const std::byte*> blocks;
  for (std::size_t b = 0; b < 4; ++b)
    blocks.push_back(GetParam() > 0 ? first->full_block(b).packed : first->full_block(b).floats);
  first.reset();
  EXPECT_EQ(pool().blocks_in_use(), 4u);
  EXPECT_EQ(pool().blocks_only_kept(), 4u);

  std::unique_ptr<Sequence> second;
  EXPECT_EQ(begin(second, tokens), 256);
  EXPECT_EQ(pool().blocks_only_kept(), 0u);
  for (std::size_t b = 0; b < 4; ++b)
    EXPECT_EQ(GetParam() > 0 ? second->full_block(b).packed : second->full_block(b).floats, blocks[b]);
  // The last token is computed again, for its logits.
  EXPECT_EQ(known({tokens.begin(), tokens.begin() + 256}), GetParam() > 0 ? 0 : 192);
  EXPECT_EQ(known({tokens.begin(), tokens.begin() + 257}), 256);
  EXPECT_EQ(known({tokens.begin(), tokens.begin() + 64}), 0);
  // Another token early on, and the rest is another text.
  std::vector<std::int32_t> other = tokens;
  other[70] ^= 1;
  EXPECT_EQ(known(other), GetParam() == 0 ? 64 : 0);
  other = tokens;
  other[0] ^= 1;
  EXPECT_EQ(known(other), 0);
  // The same block after other tokens is not the same.
  EXPECT_EQ(known({tokens.begin() + 64, tokens.end()}), 0);
  second.reset();
  index_.reset();
  EXPECT_EQ(pool().blocks_in_use(), 0u);
  EXPECT_EQ(cache_->blocks().blocks_in_use(), 0u);
}

TEST_P(Prefixes, BeginningsOfBlocksAreCopied) {
  make(100);
  std::vector<std::vector<std::int32_t>> texts;
  for (unsigned i = 0; i < 20; ++i) {  // all begin with the same 64 tokens, then some with the same few
    std::vector<std::int32_t> tokens = text(64, 1);
    const std::vector<std::int32_t> rest = text(8 + i % 5 * 9, 2 + i % 3);
    tokens.insert(tokens.end(), rest.begin(), rest.end());
    const std::vector<std::int32_t> own = text(100, 50 + i);
    tokens.insert(tokens.end(), own.begin(), own.end());
    std::unique_ptr<Sequence> sequence;
    begin(sequence, tokens);
    texts.push_back(tokens);
  }
  std::mt19937 random(3);
  int copied = 0;
  for (int round = 0; round < 200; ++round) {
    std::vector<std::int32_t> tokens = texts[random() % texts.size()];
    tokens.resize(66 + random() % (tokens.size() - 66));
    for (std::size_t i = 64 + random() % (tokens.size() - 64); i < tokens.size(); ++i) tokens[i] = 96 - tokens[i] % 7;
    // What any text has in common with these, in the second block.
    std::size_t most = 0;
    for (const std::vector<std::int32_t>& known : texts) {
      std::size_t same = 64;
      while (same < tokens.size() && same < known.size() && known[same] == tokens[same]) ++same;
      most = std::max(most, same - 64);
    }
    most = std::min({most, std::size_t{63}, tokens.size() - 65});
    Sequence sequence(cache_);
    if (index_->adopt(sequence, tokens) != 64) continue;  // more, or none where the floats are gone
    EXPECT_EQ(index_->adopt_beginning(sequence, tokens), most >= 8 ? static_cast<std::int64_t>(most) : 0);
    EXPECT_EQ(sequence.length(), most >= 8 ? 64 + static_cast<std::int64_t>(most) : 64);
    if (most >= 8) {
      ++copied;
      EXPECT_FALSE(cache_->blocks().is_shared(sequence.blocks()[1]));
    }
  }
  if (GetParam() == 0) {  // else few blocks still have their floats
    EXPECT_GT(copied, 50);
  }
  EXPECT_EQ(pool().blocks_in_use(), pool().blocks_only_kept());
  index_.reset();
  EXPECT_EQ(cache_->blocks().blocks_in_use(), 0u);
}

/// The copy's room is made by giving up others, not the block that is copied.
TEST_P(Prefixes, AFullPoolStillCopies) {
  make(2, 2);
  std::unique_ptr<Sequence> first;
  begin(first, text(64, 1));
  first.reset();
  begin(first, text(64, 2));
  first.reset();
  std::vector<std::int32_t> tokens = text(64, 1);
  tokens[40] ^= 1;
  Sequence sequence(cache_);
  EXPECT_EQ(index_->adopt_beginning(sequence, tokens), 40);
  EXPECT_EQ(cache_->blocks().blocks_in_use(), 2u);
}

TEST_P(Prefixes, TheLeastRecentlyUsedGoesFirstAndNoneInUse) {
  const std::size_t blocks = GetParam() > 0 ? 10 : 13;  // those of floats hold unfinished blocks too
  make(blocks);
  std::unique_ptr<Sequence> a;
  std::unique_ptr<Sequence> b;
  std::unique_ptr<Sequence> c;
  begin(a, text(200, 1));  // 3 full blocks
  begin(b, text(200, 2));
  b.reset();
  begin(c, text(130, 3));  // 2
  c.reset();
  EXPECT_EQ(known(text(200, 2)), 192);  // now b's are more recent than c's
  std::unique_ptr<Sequence> d;
  begin(d, text(230, 4));
  std::unique_ptr<Sequence> e;
  begin(e, text(190, 5));
  EXPECT_EQ(known(text(130, 3)), 0);
  EXPECT_EQ(known(text(200, 1)), 192);  // in use: kept
  EXPECT_EQ(known(text(230, 4)), 192);
  // Leaves go before what they stand on.
  EXPECT_LT(known(text(200, 2)), 192);
  a.reset();
  d.reset();
  e.reset();
  EXPECT_EQ(pool().blocks_in_use(), pool().blocks_only_kept());
  EXPECT_EQ(pool().available(), blocks);
}

TEST_P(Prefixes, AFullPoolOfBlocksInUseIsAnError) {
  make(4);
  Sequence sequence(cache_);
  EXPECT_TRUE(sequence.reserve(4 * kBlock).ok());
  sequence.advance(4 * kBlock);
  index_->insert(sequence, text(4 * kBlock, 1));
  EXPECT_EQ(pool().available(), 0u);
  const Status more = sequence.reserve(kBlock);
  ASSERT_FALSE(more.ok());
  EXPECT_EQ(more.error().code, ErrorCode::kOutOfMemory);
}

/// Sequences come, share, and go in random order; every count is checked against theirs.
TEST_P(Prefixes, RandomTextsKeepTheCounts) {
  make(40, 60);
  std::mt19937 random(5);
  std::vector<std::unique_ptr<Sequence>> live;
  std::int64_t adopted = 0;
  for (int round = 0; round < 2000; ++round) {
    if (live.size() < 6 && random() % 2 == 0) {
      std::vector<std::int32_t> tokens = text(64 * (1 + random() % 2), static_cast<unsigned>(random() % 4));
      const std::vector<std::int32_t> rest = text(random() % 200, 100 + static_cast<unsigned>(random() % 5));
      tokens.insert(tokens.end(), rest.begin(), rest.end());
      live.emplace_back();
      adopted += begin(live.back(), tokens);
    } else if (!live.empty()) {
      const std::size_t at = random() % live.size();
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
    }
    std::set<const std::byte*> held;
    for (const auto& sequence : live) {
      const auto blocks = static_cast<std::size_t>((sequence->length() + kBlock - 1) / kBlock);
      for (std::size_t b = 0; b < blocks; ++b) {
        const std::byte* block = GetParam() > 0
                                     ? (b < sequence->full_blocks() ? sequence->full_block(b).packed : nullptr)
                                     : sequence->blocks()[b];
        if (block != nullptr) held.insert(block);
      }
    }
    ASSERT_EQ(pool().blocks_in_use() - pool().blocks_only_kept(), held.size());
  }
  EXPECT_GT(adopted, 64 * 500);
  live.clear();
  index_.reset();
  EXPECT_EQ(pool().blocks_in_use(), 0u);
  EXPECT_EQ(cache_->blocks().blocks_in_use(), 0u);
}

/// With packed blocks: where floats of the last block are gone, fewer blocks are adopted.
TEST_P(Prefixes, FloatsGoBeforeCodes) {
  if (GetParam() == 0) GTEST_SKIP() << "for packed caches";
  make(50, 6);
  std::unique_ptr<Sequence> a;
  begin(a, text(64 * 4 + 10, 1));
  a.reset();
  EXPECT_EQ(known(text(64 * 4 + 10, 1)), 256);
  Sequence other(cache_);
  EXPECT_TRUE(other.reserve(6 * kBlock).ok());  // takes all floats
  EXPECT_EQ(known(text(64 * 4 + 10, 1)), 0);
  EXPECT_EQ(index_->size(), 4u);
}

/// A block that is cut in its middle and goes on is copied first.
TEST_P(Prefixes, TruncatedSequencesDoNotWriteSharedBlocks) {
  make(20);
  std::unique_ptr<Sequence> a;
  begin(a, text(200, 1));
  ASSERT_TRUE(a->truncate(150).ok());
  EXPECT_NE(a->blocks()[2], nullptr);
  EXPECT_FALSE(cache_->blocks().is_shared(a->blocks()[2]));
  EXPECT_EQ(known(text(200, 1)), 192);
}

INSTANTIATE_TEST_SUITE_P(All, Prefixes, testing::Values(0, 8),
                         [](const auto& i) { return i.param == 0 ? std::string("floats") : std::string("packed"); });

}  // namespace
}  // namespace nibble
