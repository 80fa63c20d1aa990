// The server's interface: which path is answered by what, whether there is room for a request, and by whom it may be
// asked. Knows no sockets.
#pragma once

#include <atomic>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "exchange.h"
#include "gate.h"
#include "metrics.h"
#include "requests.h"
#include "served_models.h"

namespace nibble::server {

struct ApiOptions {
  GateOptions gate;
  RequestDefaults defaults;
  int workers = 2;                 ///< threads that read requests; 0: they are read where they come
  std::int64_t max_reading = 256;  ///< requests that they have not finished with; half as many for /tokenize
  std::function<void(const std::string& line)> access_log;  ///< a line of JSON per answer; may be empty
  bool log_bodies = false;                                  ///< the access log holds what clients sent, prompts and all
  std::function<std::size_t()> connections;                 ///< for metrics; may be empty
};

class Api final : public Handler {
 public:
  /// `models` outlives it.
  Api(ServedModels& models, ApiOptions options);
  ~Api() override;

  std::optional<HttpReply> refuse(const HttpRequest& head) override;
  void handle(std::shared_ptr<Exchange> exchange) override;
  HttpReply protocol_error(int status, std::string_view message) override;
  void answered(const Exchange& exchange, int status, std::uint64_t bytes) override;

  /// From now on requests for work are refused.
  void drain() { is_draining_ = true; }
  /// Waits until no worker has a request; then none is taken any more.
  void join();

 private:
  struct Route;
  using Place = std::unique_ptr<QueuePlace>;
  using Task = std::function<void()>;
  /// read_chat or read_completion
  using ReadBody = std::optional<ApiError> (*)(const Json&, const ServedModel&, const RequestDefaults&, GenerationJob&);
  /// What a worker makes of a body: a task for the exchange's thread, which answers.
  using Work = std::function<Task(Exchange&, const Json& body, const ServedModel&, Place)>;

  static const std::vector<Route>& routes();
  static std::string methods_of(std::string_view path);
  static const Route* find(std::string_view method, std::string_view path, bool& other_method);

  void health(Exchange& exchange);
  void metrics(Exchange& exchange);
  void models(Exchange& exchange);
  void version(Exchange& exchange);
  void props(Exchange& exchange);
  void api_models(Exchange& exchange);
  void inspect(Exchange& exchange);
  void report(Exchange& exchange);
  void reports(Exchange& exchange);
  void chat(Exchange& exchange);
  void completion(Exchange& exchange);
  void generate(Exchange& exchange, ReadBody read_body);
  void embedding(Exchange& exchange);
  void tokenize(Exchange& exchange);
  void detokenize(Exchange& exchange);
  bool asset(Exchange& exchange);

  /// What a request is for: an engine, in whose queue it takes a place first, or text alone.
  enum class For { kEngine, kText };
  /// Has a worker read the body and do `work`; refuses when there is no room, before the body is looked at.
  void read(Exchange& exchange, For what, Work work);
  Task task_of(Exchange& exchange, For what, Place place, const Work& work);
  template <typename Owner, typename Job>
  static Task start_or_refuse(Exchange& exchange, const std::shared_ptr<Job>& job, const std::optional<ApiError>& error,
                              Metrics& metrics);
  /// Answers with what a worker makes of files.
  void reply_from_worker(Exchange& exchange, std::function<HttpReply()> make);
  /// Of the workers one at most has a large body, and one at most a text: many of either leave the others to the rest.
  template <typename F>
  void on_worker(F work, For what = For::kEngine, std::size_t body_bytes = 0);
  static Result<Place> reserve(const ServedModel& model, std::size_t body_bytes);

  ServedModels& models_;
  ApiOptions options_;
  Gate gate_;
  Metrics metrics_;
  std::atomic<std::int64_t> reading_ = 0;
  std::atomic<std::int64_t> reading_texts_ = 0;  ///< of them for For::kText
  std::atomic<bool> is_draining_ = false;
  boost::asio::thread_pool workers_;
  using OneAtATime = boost::asio::strand<boost::asio::thread_pool::executor_type>;
  OneAtATime texts_{workers_.get_executor()};
  OneAtATime large_bodies_{workers_.get_executor()};
};

}  // namespace nibble::server
