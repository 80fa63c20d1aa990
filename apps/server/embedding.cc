#include "embedding.h"

#include <cstring>

#include "answer_json.h"
#include "engine_sink.h"

namespace nibble::server {

namespace {

constexpr std::size_t kMaxInputs = 2048;  ///< OpenAI's
constexpr std::size_t kAtOnce = 32;       ///< texts of a request that the engine has

}  // namespace

std::string base64_of(std::string_view bytes) {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k)
      three = three << 8 | (i + k < bytes.size() ? static_cast<std::uint8_t>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += i + k <= bytes.size() ? kDigits[three >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::optional<ApiError> read_embedding(const Json& body, const ServedModel& model, EmbeddingJob& job) {
  RequestFields fields(body);
  job.model = &model;
  const std::string format = fields.string("encoding_format").value_or("float");
  if (format != "float" && format != "base64") fields.fail("encoding_format", "expected float or base64");
  job.base64 = format == "base64";
  if (fields.find("dimensions") != nullptr) fields.fail("dimensions", "the model's vectors have one size only");
  if (!fields.error()) job.prompts = read_prompts(fields, "input", kMaxInputs, model, false);
  return fields.error();
}

Embedding::Embedding(std::shared_ptr<Exchange> exchange, EmbeddingJob job, Metrics& metrics)
    : exchange_(std::move(exchange)), job_(std::move(job)), metrics_(metrics), vectors_(job_.prompts.size()) {
  exchange_->record.model = job_.model->id;
  for (const Prompt& prompt : job_.prompts) exchange_->record.prompt_tokens += std::ssize(prompt.tokens);
}

void Embedding::submit_more() {
  while (ids_.size() < job_.prompts.size() && ids_.size() - done_ < kAtOnce) {
    Request request;
    request.kind = Request::Kind::kEmbedding;
    request.prompt = job_.prompts[ids_.size()].tokens;
    const Result<RequestId> id = job_.model->engine->submit(std::exchange(job_.place, nullptr), std::move(request),
                                                            sink_of(shared_from_this(), *exchange_, ids_.size()));
    // The queue is full: there will be a place when one of these texts is done.
    if (!id.ok() && id.error().code == ErrorCode::kBusy && ids_.size() > done_) return;
    if (!id.ok()) return fail(id.error());
    ids_.push_back(*id);
  }
}

void Embedding::start() {
  submit_more();
  if (is_over_) return;
  exchange_->on_gone([self = shared_from_this()] {
    self->is_over_ = true;
    self->exchange_->record.finish = "gone";
    self->cancel_all();
  });
}

void Embedding::on_event(std::size_t prompt, Event& event) {
  if (!event.embedding.empty()) vectors_[prompt] = std::move(event.embedding);
  if (!event.outcome) return;
  const Outcome& outcome = *event.outcome;
  metrics_.models[job_.model->id].add(
      outcome, 0, std::chrono::duration<double>(std::chrono::steady_clock::now() - exchange_->start).count());
  if (is_over_) return;
  if (outcome.error) return fail(*outcome.error);
  if (outcome.reason == StopReason::kCancelled) return fail({ErrorCode::kCancelled, ""});
  if (++done_ < vectors_.size()) return submit_more();
  is_over_ = true;
  exchange_->record.finish = "stop";
  exchange_->reply(json_reply(answer()));
}

void Embedding::fail(const Error& error) {
  is_over_ = true;
  cancel_all();
  exchange_->record.finish = "error";
  exchange_->reply(reply_of(api_error_of(error)));
}

void Embedding::cancel_all() {
  for (const RequestId id : ids_) job_.model->engine->cancel(id);
}

std::string Embedding::answer() const {
  // One vector at a time: as values they would take many times the memory.
  std::string data;
  for (std::size_t i = 0; i < vectors_.size(); ++i) {
    Json item = {{"object", "embedding"}, {"index", i}};
    if (job_.base64) {
      std::string bytes(vectors_[i].size() * sizeof(float), '\0');
      std::memcpy(bytes.data(), vectors_[i].data(), bytes.size());
      item["embedding"] = base64_of(bytes);
    } else {
      item["embedding"] = vectors_[i];
    }
    append_item(data, json_text(item));
  }
  const std::int64_t tokens = exchange_->record.prompt_tokens;
  const Json rest = {
      {"object", "list"}, {"model", job_.model->id}, {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}};
  return with_member(json_text(rest), "data", "[" + data + "]");
}

}  // namespace nibble::server
