#include "run/buffer_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace nibble {
namespace {

using Buffer = BufferPool::Buffer;

/// The values of a step of SmolLM2's shape, as the decoder takes them and gives them back; every one is written in
/// full.
void take_step(BufferPool& pool, std::size_t tokens, std::size_t texts) {
  const auto value = [&](std::size_t count) {
    const Buffer buffer = pool.take(count);
    EXPECT_GE(buffer.capacity, count);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data) % 64, 0u);
    std::fill_n(buffer.data, count, 1.0f);
    return buffer;
  };
  const std::size_t hidden = 576 * tokens;
  const std::size_t keys = 192 * tokens;
  const std::size_t wide = 1536 * tokens;
  const Buffer x = value(hidden);
  for (int layer = 0; layer < 2; ++layer) {
    const Buffer normed = value(hidden);
    std::vector<Buffer> qkv{value(hidden), value(keys), value(keys)};
    pool.give_back(normed);
    std::vector<Buffer> turned{value(hidden), value(keys)};
    for (const Buffer& b : {qkv[0], qkv[1]}) pool.give_back(b);
    const Buffer attention = value(hidden);
    for (const Buffer& b : {turned[0], turned[1], qkv[2]}) pool.give_back(b);
    const Buffer out = value(hidden);
    pool.give_back(attention);
    const Buffer gate = value(wide);
    const Buffer up = value(wide);
    const Buffer both = value(wide);
    for (const Buffer& b : {gate, up, out, both}) pool.give_back(b);
  }
  const Buffer logits = value(49152 * texts);
  pool.give_back(logits);
  pool.give_back(x);
}

TEST(BufferPool, StepsNoLargerThanOneBeforeTakeNoMoreMemory) {
  BufferPool pool;
  // Short ones first, as when a server has just begun.
  take_step(pool, 1, 1);
  take_step(pool, 8, 8);
  take_step(pool, 512, 4);
  take_step(pool, 512, 16);
  take_step(pool, 32, 32);
  const std::size_t bytes = pool.bytes();
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) {
    const auto texts = static_cast<std::size_t>(random() % 17);
    take_step(pool, 32 + random() % 480, texts + 1);
    EXPECT_EQ(pool.bytes(), bytes);
  }
}

TEST(BufferPool, ALargerStepTakesThePlaceOfSmallerOnes) {
  BufferPool pool;
  for (std::size_t tokens = 400; tokens <= 500; tokens += 5) take_step(pool, tokens, 1);
  BufferPool at_once;
  take_step(at_once, 500, 1);
  EXPECT_LT(pool.bytes(), at_once.bytes() * 4 / 3);
}

TEST(BufferPool, WhatIsTakenIsApart) {
  BufferPool pool;
  std::vector<Buffer> taken;
  for (std::size_t count = 1; count < 200000; count = 3 * count + 1) {
    taken.push_back(pool.take(count));
    std::fill_n(taken.back().data, count, static_cast<float>(count));
  }
  std::size_t count = 1;
  for (const Buffer& buffer : taken) {
    EXPECT_EQ(buffer.data[0], static_cast<float>(count));
    EXPECT_EQ(buffer.data[count - 1], static_cast<float>(count));
    count = 3 * count + 1;
  }
  for (const Buffer& buffer : taken) pool.give_back(buffer);
  const std::size_t bytes = pool.bytes();
  for (std::size_t again = 1; again < 200000; again = 3 * again + 1) {
    const Buffer buffer = pool.take(again);
    EXPECT_EQ(pool.bytes(), bytes);
    pool.give_back(buffer);
  }
}

}  // namespace
}  // namespace nibble
