#include "base/interruption.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/thread_pool.h"

namespace nibble {
namespace {

void sleep_a_little() { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }

TEST(Interruption, EndsALoopOfThePool) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    std::atomic<int> chunks{0};
    const auto work = [&](std::size_t, std::size_t, int) {
      ++chunks;
      sleep_a_little();
    };
    {
      int asked = 0;
      const InterruptionScope scope([&] { return ++asked < 2; });
      EXPECT_THROW(pool.run(1000000, 1, work), Interrupted);
      EXPECT_EQ(asked, 2);
      EXPECT_LT(chunks, 10000);
      pool.run(300, 1, work);  // what destructors do after it is not interrupted again
      EXPECT_EQ(asked, 2);
    }
    chunks = 0;
    pool.run(100, 1, work);
    EXPECT_EQ(chunks, 100);
  }
}

TEST(Interruption, IsOfTheThreadThatAskedForIt) {
  const InterruptionScope scope([] { return false; });
  std::thread([] {
    EXPECT_EQ(interruption_scope(), nullptr);
    ThreadPool pool(2);
    pool.run(100, 1, [](std::size_t, std::size_t, int) { sleep_a_little(); });
  }).join();
  {
    const InterruptionScope inner([] { return true; });
    EXPECT_EQ(interruption_scope(), &inner);
  }
  EXPECT_EQ(interruption_scope(), &scope);
}

}  // namespace
}  // namespace nibble
