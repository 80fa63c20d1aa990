// nibble/bench.h: texts written through the engine, one alone and several at once.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/result.h"
#include "nibble/bench.h"
#include "nibble/engine.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

/// Some texts under way: when each began and ended to write.
struct Texts {
  std::mutex mutex;
  std::condition_variable changed;
  std::int64_t begun = 0;
  std::int64_t ended = 0;
  std::int64_t tokens = 0;  ///< of all
  Clock::time_point all_begun;
  Clock::time_point last_event;
  std::int64_t tokens_before = 0;  ///< when all had begun
  std::optional<Error> error;
};

std::vector<std::int32_t> prompt_of(std::int64_t size, std::int64_t stream, std::int64_t vocab) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<std::int32_t>((i * 7919 + static_cast<std::size_t>(stream) * 104729 + 11) %
                                          static_cast<std::size_t>(vocab));
  return tokens;
}

EventSink sink_into(const std::shared_ptr<Texts>& shared, std::int64_t streams) {
  auto begun = std::make_shared<bool>(false);
  return [shared, streams, begun](const Event& event) {
    Texts& texts = *shared;
    const std::lock_guard lock(texts.mutex);
    texts.tokens += std::ssize(event.tokens);
    texts.last_event = Clock::now();
    if (!*begun && !event.tokens.empty()) {
      *begun = true;
      if (++texts.begun == streams) {
        texts.all_begun = texts.last_event;
        texts.tokens_before = texts.tokens;
      }
    }
    if (!event.outcome) return;
    if (event.outcome->error && !texts.error) texts.error = event.outcome->error;
    ++texts.ended;
    texts.changed.notify_all();
  };
}

/// Tokens per second of all texts together, from when all write until the last ends.
Result<double> write_texts(Engine& engine, const EngineBenchOptions& options, std::int64_t streams,
                           std::int64_t vocab) {
  const auto shared = std::make_shared<Texts>();
  Texts& texts = *shared;
  for (std::int64_t s = 0; s < streams; ++s) {
    Request request;
    request.prompt = prompt_of(options.depth, s, vocab);
    request.options.max_tokens = options.decode + 1;
    request.options.ignore_eos = true;
    request.options.sampling = options.sampling;
    request.options.sampling.seed = static_cast<std::uint64_t>(s);
    const Result<RequestId> id = engine.submit(std::move(request), sink_into(shared, streams));
    if (id.ok()) continue;
    const std::lock_guard lock(texts.mutex);
    texts.error = id.error();
    ++texts.ended;
  }
  std::unique_lock lock(texts.mutex);
  texts.changed.wait(lock, [&] { return texts.ended == streams; });
  if (texts.error) return *texts.error;
  return static_cast<double>(texts.tokens - texts.tokens_before) /
         std::chrono::duration<double>(texts.last_event - texts.all_begun).count();
}

}  // namespace

Result<EngineBenchReport> bench_engine(const EngineBenchOptions& options) {
  NIBBLE_TRY(const std::shared_ptr<Model> model, Model::load(options.model, options.load));
  EngineOptions engine_options;
  engine_options.max_running = static_cast<int>(options.streams);
  engine_options.max_waiting = options.streams;
  engine_options.reuse_prefixes = false;
  NIBBLE_TRY(const std::shared_ptr<Engine> engine, Engine::create(model, engine_options));
  const std::int64_t vocab = model->vocab_size();
  EngineBenchReport report;
  std::vector<std::pair<std::int64_t, std::vector<double>*>> runs{{1, &report.one_tps}, {options.streams, &report.tps}};
  for (int r = -1; r < options.repetitions; ++r) {  // the first pages in the weights
    for (const auto& [streams, rates] : runs) {
      const EngineStats before = engine->stats();
      NIBBLE_TRY(const double rate, write_texts(*engine, options, streams, vocab));
      while (engine->stats().running > 0) std::this_thread::yield();  // the step's own numbers come after its events
      const EngineStats after = engine->stats();
      if (r < 0) continue;
      rates->push_back(rate);
      if (streams != options.streams) continue;
      report.steps += after.steps - before.steps;
      report.step_seconds += after.step_seconds - before.step_seconds;
      report.model_seconds += after.model_seconds - before.model_seconds;
      report.sampling_seconds += after.sampling_seconds - before.sampling_seconds;
    }
    if (r >= 0 && options.load.progress &&
        !options.load.progress("measuring", static_cast<std::uint64_t>(r + 1),
                               static_cast<std::uint64_t>(options.repetitions), "runs"))
      return Error{ErrorCode::kCancelled, "the measurement was stopped"};
  }
  return report;
}

}  // namespace nibble
