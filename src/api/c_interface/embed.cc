// Embeddings in the C interface: many texts, some at once in the engine, in order out of it.
#include <algorithm>
#include <deque>

#include "api/c_interface/event_queue.h"
#include "api/c_interface/handles.h"
#include "api/c_interface/options.h"

namespace nibble::c {
namespace {

constexpr int kLookMs = 40;            ///< the client is asked so often whether to go on
constexpr std::size_t kUnderWay = 64;  ///< requests at once: enough for every batch, few enough for every queue

Status ask(const Progress& progress, std::size_t done, std::size_t total) {
  if (progress && !progress("embedding", done, total, "texts"))
    return fail(ErrorCode::kCancelled, "embedding was stopped");
  return {};
}

Result<std::vector<float>> wait_for(RunningRequest& request, const Progress& progress, std::size_t done,
                                    std::size_t total) {
  std::vector<float> embedding;
  for (;;) {
    std::optional<Event> event = request.next(kLookMs);
    NIBBLE_TRY_STATUS(ask(progress, done, total));
    if (!event) continue;
    if (!event->embedding.empty()) embedding = std::move(event->embedding);
    if (!event->outcome) continue;
    if (event->outcome->error) return with_context(*event->outcome->error, fmt::format("text {}", done));
    return embedding;
  }
}

struct Texts {
  std::span<const std::int32_t> ids;
  std::span<const std::size_t> lengths;
  bool normalize = true;
};

Result<std::vector<float>> embed(const std::shared_ptr<Engine>& engine, const Texts& texts, const Progress& progress) {
  std::deque<std::unique_ptr<RunningRequest>> under_way;
  std::vector<float> values;
  std::size_t begun = 0;
  std::size_t offset = 0;
  for (std::size_t done = 0; done < texts.lengths.size(); ++done) {
    while (begun < texts.lengths.size() && under_way.size() < kUnderWay) {
      Request request;
      request.kind = Request::Kind::kEmbedding;
      request.normalize = texts.normalize;
      const auto ids = texts.ids.subspan(offset, texts.lengths[begun]);
      request.prompt.assign(ids.begin(), ids.end());
      Result<std::unique_ptr<RunningRequest>> started = RunningRequest::start(engine, std::move(request));
      if (!started.ok() && started.error().code == ErrorCode::kBusy && !under_way.empty()) break;  // later
      if (!started.ok()) return with_context(started.error(), fmt::format("text {}", begun));
      under_way.push_back(std::move(*started));
      offset += texts.lengths[begun++];
    }
    NIBBLE_TRY(const std::vector<float> embedding, wait_for(*under_way.front(), progress, done, texts.lengths.size()));
    under_way.pop_front();
    values.reserve(embedding.size() * texts.lengths.size());
    values.insert(values.end(), embedding.begin(), embedding.end());
  }
  NIBBLE_TRY_STATUS(ask(progress, texts.lengths.size(), texts.lengths.size()));
  return values;
}

}  // namespace
}  // namespace nibble::c

using nibble::Result;
using nibble::Status;
using namespace nibble::c;  // NOLINT: the functions of this file are the interface

nibble_status nibble_embed(nibble_model* model, const int32_t* ids, const size_t* lengths, size_t count,
                           int32_t normalize, nibble_progress progress, void* user, float** values, size_t* width) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(model, "model"));
    NIBBLE_TRY_STATUS(need(values, "values"));
    NIBBLE_TRY_STATUS(need(width, "width"));
    Texts texts;
    NIBBLE_TRY(texts.lengths, span_of(lengths, count, "lengths"));
    std::size_t tokens = 0;
    for (const std::size_t length : texts.lengths) tokens += length;
    NIBBLE_TRY(texts.ids, span_of(ids, tokens, "ids"));
    texts.normalize = normalize != 0;
    NIBBLE_TRY(const std::shared_ptr<nibble::Engine> engine, model->shared->engine());
    NIBBLE_TRY(const std::vector<float> made, embed(engine, texts, progress_of(progress, user)));
    *values = handed_out(std::span<const float>(made));
    *width = count > 0 ? made.size() / count : 0;
    return {};
  });
}
