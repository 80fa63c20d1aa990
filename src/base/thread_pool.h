// The thread pool: one team of workers that runs loops in dynamic chunks and meets at a spin-then-sleep barrier.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace nibble {

/// A callable taken by reference, without allocation. The callee must not outlive the call.
class LoopBody {
 public:
  template <typename F>
  LoopBody(F& body)  // NOLINT: implicit on purpose
      : object_(const_cast<void*>(static_cast<const void*>(&body))),
        call_([](void* object, std::size_t begin, std::size_t end, int worker) {
          (*static_cast<F*>(object))(begin, end, worker);
        }) {}
  void operator()(std::size_t begin, std::size_t end, int worker) const { call_(object_, begin, end, worker); }

 private:
  void* object_;
  void (*call_)(void*, std::size_t, std::size_t, int);
};

/// A fixed team of `threads` workers, the caller being worker 0. Not re-entrant: a body may not call run() again.
///
/// Work is handed out in chunks from an atomic counter, so a core that the machine takes away delays one chunk only.
/// Which worker runs a chunk is not determined; results must not depend on it.
class ThreadPool {
 public:
  /// `threads` < 1 means the number of processors this process may use.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const noexcept;

  /// Calls body(begin, end, worker) over [0, count) in chunks of at most `grain` items, most of a worker's one after
  /// the other; returns when all are done.
  /// An exception in a body is rethrown here after the others finished; so may be Interrupted (base/interruption.h).
  template <typename F>
  void run(std::size_t count, std::size_t grain, F&& body) {
    run_loop(count, grain, LoopBody(body));
  }

 private:
  void run_loop(std::size_t count, std::size_t grain, LoopBody body);
  struct State;
  std::unique_ptr<State> state_;
};

/// Processors this process may run on.
int available_processors();

}  // namespace nibble
