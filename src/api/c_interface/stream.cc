// Text in the C interface: requests to the model's engine, read event by event.
#include "api/c_interface/event_queue.h"
#include "api/c_interface/handles.h"
#include "api/c_interface/options.h"

struct nibble_stream {
  std::shared_ptr<nibble::c::SharedModel> shared;  ///< before the request, which needs it longer
  std::unique_ptr<nibble::c::RunningRequest> request;
  nibble::Event event;  ///< what the last event that was given points into, as do these
  std::vector<std::vector<nibble_logprob>> tops;
  std::vector<nibble_token> tokens;
  std::optional<nibble::Outcome> outcome;
};

namespace nibble::c {
namespace {

constexpr int kLookMs = 40;  ///< a callback that may cancel is called so often

nibble_logprob plain(const TokenLogprob& from) { return {from.id, from.logprob, from.bytes.data(), from.bytes.size()}; }

void point_to_tokens(nibble_stream& stream) {
  stream.tokens.clear();
  stream.tops.assign(stream.event.tokens.size(), {});
  for (std::size_t i = 0; i < stream.event.tokens.size(); ++i) {
    const GeneratedToken& from = stream.event.tokens[i];
    for (const TokenLogprob& top : from.top) stream.tops[i].push_back(plain(top));
    nibble_token token{};
    token.id = from.id;
    token.has_logprob = from.logprob ? 1 : 0;
    if (from.logprob) token.chosen = plain(*from.logprob);
    token.top = stream.tops[i].data();
    token.top_count = stream.tops[i].size();
    stream.tokens.push_back(token);
  }
}

Result<std::unique_ptr<nibble_stream>> start(nibble_model* model, const int32_t* prompt, size_t count,
                                             const nibble_generate_options* options) {
  NIBBLE_TRY_STATUS(need(model, "model"));
  NIBBLE_TRY(const std::span<const std::int32_t> ids, span_of(prompt, count, "prompt"));
  NIBBLE_TRY(const nibble_generate_options plain_options, read_generate_options(options));
  Request request;
  request.prompt.assign(ids.begin(), ids.end());
  request.logprobs = plain_options.logprobs;
  NIBBLE_TRY(request.options, generate_options(plain_options));
  NIBBLE_TRY(std::shared_ptr<Engine> engine, model->shared->engine());
  auto stream = std::make_unique<nibble_stream>();
  stream->shared = model->shared;
  NIBBLE_TRY(stream->request, RunningRequest::start(std::move(engine), std::move(request)));
  return stream;
}

/// Makes the next event the stream's; false: nothing came. A failed text fails every time.
Result<bool> advance(nibble_stream& stream, int timeout_ms) {
  if (stream.outcome) {
    stream.event = {};
  } else {
    std::optional<Event> event = stream.request->next(timeout_ms);
    if (!event) return false;
    stream.event = std::move(*event);
    stream.outcome = stream.event.outcome;
  }
  if (stream.outcome && stream.outcome->error) return *stream.outcome->error;
  point_to_tokens(stream);
  return true;
}

nibble_stop_reason number_of(StopReason reason) {
  switch (reason) {
    case StopReason::kEnd:
      return NIBBLE_STOP_END;
    case StopReason::kStopString:
      return NIBBLE_STOP_STRING;
    case StopReason::kMaxTokens:
      return NIBBLE_STOP_MAX_TOKENS;
    case StopReason::kContextFull:
      return NIBBLE_STOP_CONTEXT_FULL;
    case StopReason::kCancelled:
      break;
  }
  return NIBBLE_STOP_CANCELLED;
}

nibble_report report_of(const Outcome& outcome) {
  nibble_report report{};
  report.reason = number_of(outcome.reason);
  report.prompt_tokens = outcome.prompt_tokens;
  report.cached_tokens = outcome.cached_tokens;
  report.generated_tokens = outcome.generated_tokens;
  report.queue_seconds = outcome.queue_seconds;
  report.prompt_seconds = outcome.prompt_seconds;
  report.decode_seconds = outcome.decode_seconds;
  return report;
}

/// Reads a stream to its end; once the callback asks to stop, what still comes is not shown to it.
Status read_all(nibble_stream& stream, nibble_text_callback callback, void* user) {
  bool stopped = false;
  while (!stream.outcome) {
    NIBBLE_TRY(const bool came, advance(stream, kLookMs));
    const std::string& text = stream.event.text;
    if (stopped || callback == nullptr) continue;
    if (callback(user, came ? text.c_str() : "", came ? text.size() : 0) == 0) continue;
    stopped = true;
    stream.request->cancel();
  }
  if (stopped) stream.outcome->reason = StopReason::kCancelled;  // also when the text ended at that moment
  return {};
}

}  // namespace
}  // namespace nibble::c

using nibble::Result;
using nibble::Status;
using namespace nibble::c;  // NOLINT: the functions of this file are the interface

nibble_status nibble_stream_start(nibble_model* model, const int32_t* prompt, size_t count,
                                  const nibble_generate_options* options, nibble_stream** stream) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(stream, "stream"));
    NIBBLE_TRY(std::unique_ptr<nibble_stream> started, start(model, prompt, count, options));
    *stream = started.release();
    return {};
  });
}

nibble_status nibble_stream_next(nibble_stream* stream, int32_t timeout_ms, nibble_event* event) {
  bool came = true;
  const nibble_status status = guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(stream, "stream"));
    NIBBLE_TRY_STATUS(need(event, "event"));
    NIBBLE_TRY(came, advance(*stream, timeout_ms));
    nibble_event out{};
    if (came) {
      out.text = stream->event.text.c_str();
      out.length = stream->event.text.size();
      out.tokens = stream->tokens.data();
      out.token_count = stream->tokens.size();
      out.done = stream->outcome ? 1 : 0;
    }
    return give_sized(event, out, "nibble_event");
  });
  return status == NIBBLE_OK && !came ? NIBBLE_TIMEOUT : status;
}

nibble_status nibble_stream_get_report(const nibble_stream* stream, nibble_report* report) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(stream, "stream"));
    if (!stream->outcome) return nibble::fail(nibble::ErrorCode::kBusy, "the text has not ended, or not been read");
    return give_sized(report, report_of(*stream->outcome), "nibble_report");
  });
}

void nibble_stream_cancel(nibble_stream* stream) {
  (void)guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(stream, "stream"));
    stream->request->cancel();
    return {};
  });
}

void nibble_stream_free(nibble_stream* stream) { delete stream; }

nibble_status nibble_generate(nibble_model* model, const int32_t* prompt, size_t count,
                              const nibble_generate_options* options, nibble_text_callback callback, void* user,
                              nibble_report* report) {
  return guarded([&]() -> Status {
    NIBBLE_TRY(const std::unique_ptr<nibble_stream> stream, start(model, prompt, count, options));
    NIBBLE_TRY_STATUS(read_all(*stream, callback, user));
    if (report == nullptr) return {};
    return give_sized(report, report_of(*stream->outcome), "nibble_report");
  });
}
