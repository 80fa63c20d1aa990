// Thread pool. A loop costs about a microsecond when the workers are still spinning from the one before.
#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/interruption.h"

namespace nibble {
namespace {

/// Spins this many pauses before a waiting thread sleeps: long enough to bridge the serial work between two layers'
/// loops (tens of microseconds), short enough that an idle program costs nothing.
constexpr int kSpins = 20000;

constexpr std::size_t kCacheLine = 64;

inline void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

}  // namespace

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

struct ThreadPool::State {
  int threads = 1;
  std::vector<std::thread> workers;

  // One loop at a time. `generation` changes when a loop starts; it shares a cache line with what a worker then reads.
  alignas(kCacheLine) std::atomic<std::uint64_t> generation{0};
  std::size_t grain = 1;
  std::optional<LoopBody> body;
  std::atomic<bool> stop{false};
  alignas(kCacheLine) std::atomic<int> pending{0};  ///< workers still inside the loop

  /// A worker's part of a loop, neighbouring chunks: their data are neighbours too, and counting them disturbs nobody
  /// else. Who has finished its own takes chunks of the others.
  struct alignas(kCacheLine) Share {
    std::atomic<std::size_t> next{0};
    std::size_t end = 0;
  };
  std::vector<Share> shares;

  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<int> sleeping{0};
  std::mutex error_mutex;
  std::exception_ptr error;

  /// `scope`: the caller's, of worker 0 only.
  void work(int worker, InterruptionScope* scope = nullptr) {
    try {
      for (int i = 0; i < threads; ++i) {
        Share& share = shares[static_cast<std::size_t>((worker + i) % threads)];
        while (share.next.load(std::memory_order_relaxed) < share.end) {
          const std::size_t begin = share.next.fetch_add(grain, std::memory_order_relaxed);
          if (begin >= share.end) break;
          if (scope != nullptr) scope->look();
          (*body)(begin, std::min(begin + grain, share.end), worker);
        }
      }
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
      for (Share& share : shares) share.next.store(share.end, std::memory_order_relaxed);
    }
  }

  void wait_for_generation(std::uint64_t seen) {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (generation.load(std::memory_order_acquire) != seen) return;
      pause_briefly();
    }
    std::unique_lock lock(mutex);
    sleeping.fetch_add(1);
    wake.wait(lock, [&] { return generation.load() != seen; });
    sleeping.fetch_sub(1);
  }

  void worker_main(int worker) {
    std::uint64_t seen = 0;
    for (;;) {
      wait_for_generation(seen);
      seen = generation.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      work(worker);
      pending.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  void start_generation() {
    generation.fetch_add(1);  // sequentially consistent with `sleeping`, so no wake-up is lost
    if (sleeping.load() > 0) {
      const std::lock_guard lock(mutex);
      wake.notify_all();
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  state_->threads = threads < 1 ? available_processors() : threads;
  state_->shares = std::vector<State::Share>(static_cast<std::size_t>(state_->threads));
  for (int worker = 1; worker < state_->threads; ++worker)
    state_->workers.emplace_back([state = state_.get(), worker] { state->worker_main(worker); });
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true, std::memory_order_release);
  {
    const std::lock_guard lock(state_->mutex);
    state_->generation.fetch_add(1);
    state_->wake.notify_all();
  }
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::threads() const noexcept { return state_->threads; }

void ThreadPool::run_loop(std::size_t count, std::size_t grain, LoopBody body) {
  if (count == 0) return;
  State& s = *state_;
  grain = std::max<std::size_t>(grain, 1);
  InterruptionScope* const scope = interruption_scope();
  if (s.threads == 1 || count <= grain) {
    for (std::size_t begin = 0; begin < count; begin += grain) {
      if (scope != nullptr) scope->look();
      body(begin, std::min(begin + grain, count), 0);
    }
    return;
  }
  NIBBLE_CHECK(s.pending.load(std::memory_order_relaxed) == 0);
  s.grain = grain;
  s.body = body;
  const std::size_t chunks = (count + grain - 1) / grain;
  for (std::size_t i = 0; i < s.shares.size(); ++i) {
    s.shares[i].next.store(i * chunks / s.shares.size() * grain, std::memory_order_relaxed);
    s.shares[i].end = std::min((i + 1) * chunks / s.shares.size() * grain, count);
  }
  s.pending.store(s.threads - 1, std::memory_order_relaxed);
  s.start_generation();
  s.work(0, scope);
  // On a busy machine a worker may have lost its processor in the middle of its last piece: let it have this one.
  for (int spin = 0; s.pending.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpins)
      pause_briefly();
    else
      sched_yield();
  }
  if (s.error) {
    const std::exception_ptr error = std::exchange(s.error, nullptr);
    std::rethrow_exception(error);
  }
}

}  // namespace nibble
