// The pool of blocks: what is made ready is what is taken next.
#include "run/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace nibble {
namespace {

TEST(KvBlockPool, BlocksAreMadeReadyUpToTheNumberAskedFor) {
  KvBlockPool pool(10'000, 0);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(pool.prepare(5)) << i;
  EXPECT_FALSE(pool.prepare(5));
  EXPECT_EQ(pool.blocks_in_use(), 0u);
  // Each that is taken makes room for another; what comes back is ready.
  std::byte* first = *pool.take();
  std::byte* second = *pool.take();
  ASSERT_NE(first, second);
  EXPECT_TRUE(pool.prepare(5));
  pool.give_back(first);
  EXPECT_FALSE(pool.prepare(5));
  EXPECT_TRUE(pool.prepare(6));
  pool.give_back(second);
  EXPECT_FALSE(pool.prepare(7));
  EXPECT_EQ(pool.blocks_in_use(), 0u);
}

TEST(KvBlockPool, NoMoreBlocksAreMadeReadyThanThereMayBe) {
  constexpr std::size_t kMost = 6;
  KvBlockPool pool(100, kMost);
  std::size_t ready = 0;
  while (pool.prepare(100)) ++ready;
  EXPECT_EQ(ready, kMost);
  std::set<std::byte*> taken;
  for (std::size_t i = 0; i < kMost; ++i) {
    auto block = pool.take();
    ASSERT_TRUE(block.ok());
    std::fill_n(*block, 100, std::byte{1});
    EXPECT_TRUE(taken.insert(*block).second);
    EXPECT_FALSE(pool.prepare(100));
  }
  EXPECT_FALSE(pool.take().ok());
  for (std::byte* block : taken) pool.give_back(block);
  EXPECT_FALSE(pool.prepare(kMost));
}

TEST(KvBlockPool, TakingAndMakingReadyInAnyOrderNeverGivesABlockTwice) {
  KvBlockPool pool(64, 40);
  std::vector<std::byte*> held;
  unsigned random = 1;
  for (int step = 0; step < 20'000; ++step) {
    random = random * 1664525 + 1013904223;
    const unsigned choice = random >> 24;
    if (choice < 80) pool.prepare(choice % 50);
    if (choice >= 80 && choice < 170 && held.size() < 40) {
      auto block = pool.take();
      ASSERT_TRUE(block.ok());
      ASSERT_EQ(std::count(held.begin(), held.end(), *block), 0);
      held.push_back(*block);
    }
    if (choice >= 170 && !held.empty()) {
      std::swap(held[choice % held.size()], held.back());
      pool.give_back(held.back());
      held.pop_back();
    }
    ASSERT_EQ(pool.blocks_in_use(), held.size());
  }
}

}  // namespace
}  // namespace nibble
