// /v1/embeddings: a vector for each text.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "exchange.h"
#include "metrics.h"
#include "requests.h"

namespace nibble::server {

struct EmbeddingJob {
  const ServedModel* model = nullptr;
  std::vector<Prompt> prompts;
  bool base64 = false;  ///< of little-endian float32, as OpenAI's own client asks for
  std::unique_ptr<QueuePlace> place;
};

std::optional<ApiError> read_embedding(const Json& body, const ServedModel& model, EmbeddingJob& job);

/// As Generation.
class Embedding final : public std::enable_shared_from_this<Embedding> {
 public:
  Embedding(std::shared_ptr<Exchange> exchange, EmbeddingJob job, Metrics& metrics);
  void start();
  void on_event(std::size_t prompt, Event& event);

 private:
  /// Hands texts to the engine, some at once: a request of many leaves the queue to others too.
  void submit_more();
  void fail(const Error& error);
  void cancel_all();
  std::string answer() const;

  std::shared_ptr<Exchange> exchange_;
  EmbeddingJob job_;
  Metrics& metrics_;
  std::vector<RequestId> ids_;  ///< of the prompts that the engine has had, in their order
  std::vector<std::vector<float>> vectors_;
  std::size_t done_ = 0;
  bool is_over_ = false;
};

std::string base64_of(std::string_view bytes);

}  // namespace nibble::server
