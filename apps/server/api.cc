#include "api.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cmath>
#include <ctime>

#include "answer_json.h"
#include "api_error.h"
#include "base/utf8.h"
#include "embedding.h"
#include "model_pages.h"
#include "token_requests.h"
#include "web_assets.h"

namespace nibble::server {
namespace {

constexpr std::size_t kMaxRequestId = 128;

ApiError loading() { return {503, "Loading model", "unavailable_error", "", "loading"}; }
ApiError busy(std::string message) { return {503, std::move(message), "overloaded_error", "", "server_busy"}; }

/// A client's own name for a request, if it is fit for a log.
bool is_request_id(std::string_view text) {
  return !text.empty() && text.size() <= kMaxRequestId && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
           c == '.';
  });
}

const WebAsset* asset_at(std::string_view path) {
  for (const WebAsset& asset : web_assets())
    if (asset.path == path) return &asset;
  return nullptr;
}

/// The page shows what a model wrote: nothing of it may run, and nothing may be fetched from elsewhere.
const Headers& page_headers() {
  static const Headers kHeaders = {
      {"Content-Security-Policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src "
       "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
      {"Cache-Control", "no-cache"}};
  return kHeaders;
}

}  // namespace

struct Api::Route {
  std::string_view method;
  std::string_view path;
  void (Api::*answer)(Exchange&);
  bool is_public = false;  ///< needs no key
};

const std::vector<Api::Route>& Api::routes() {
  static const std::vector<Route> kRoutes = {
      {"GET", "/health", &Api::health, true},
      {"GET", "/v1/health", &Api::health, true},
      {"GET", "/metrics", &Api::metrics},
      {"GET", "/version", &Api::version},
      {"GET", "/props", &Api::props},
      {"GET", "/v1/models", &Api::models},
      {"GET", "/models", &Api::models},
      {"POST", "/v1/chat/completions", &Api::chat},
      {"POST", "/chat/completions", &Api::chat},
      {"POST", "/v1/completions", &Api::completion},
      {"POST", "/completions", &Api::completion},
      {"POST", "/v1/embeddings", &Api::embedding},
      {"POST", "/embeddings", &Api::embedding},
      {"POST", "/tokenize", &Api::tokenize},
      {"POST", "/detokenize", &Api::detokenize},
      {"GET", "/api/models", &Api::api_models},
      {"GET", "/api/inspect", &Api::inspect},
      {"GET", "/api/report", &Api::report},
      {"GET", "/api/reports", &Api::reports},
  };
  return kRoutes;
}

const Api::Route* Api::find(std::string_view method, std::string_view path, bool& other_method) {
  other_method = false;
  for (const Route& route : routes()) {
    if (route.path != path) continue;
    if (route.method == method || (route.method == "GET" && method == "HEAD")) return &route;
    other_method = true;
  }
  return nullptr;
}

std::string Api::methods_of(std::string_view path) {
  std::string methods;
  for (const Route& route : routes())
    if (route.path == path) methods += (methods.empty() ? "" : ", ") + std::string(route.method);
  return methods;
}

Api::Api(ServedModels& models, ApiOptions options)
    : models_(models),
      options_(std::move(options)),
      gate_(options_.gate),
      workers_(static_cast<std::size_t>(std::max(options_.workers, 1))) {}

Api::~Api() { join(); }

void Api::join() { workers_.join(); }

std::optional<HttpReply> Api::refuse(const HttpRequest& head) {
  bool other_method = false;
  const Route* route = find(head.method, head.path, other_method);
  const bool is_public = asset_at(head.path) != nullptr || (route != nullptr && route->is_public);
  return gate_.refuse(head, is_public);
}

HttpReply Api::protocol_error(int status, std::string_view message) {
  if (status == 503) return reply_of(busy(std::string(message)));
  return reply_of({status, fmt::format("the request breaks the rules of HTTP or a limit: {}", message),
                   "invalid_request_error", "", status == 413 ? "body_too_large" : "bad_request"});
}

void Api::handle(std::shared_ptr<Exchange> exchange) {
  const HttpRequest& request = exchange->request;
  const std::string_view given = request.header("X-Request-Id");
  exchange->record.request_id = is_request_id(given) ? std::string(given) : new_id("req-");
  exchange->headers.emplace_back("X-Request-Id", exchange->record.request_id);
  gate_.add_cors(request, exchange->headers);
  bool other_method = false;
  if (const Route* route = find(request.method, request.path, other_method)) return (this->*route->answer)(*exchange);
  if (asset(*exchange)) return;
  if (other_method) {
    HttpReply reply =
        reply_of({405, "this path has another method", "invalid_request_error", "", "method_not_allowed"});
    reply.headers.emplace_back("Allow", methods_of(request.path));
    return exchange->reply(std::move(reply));
  }
  exchange->reply(reply_of({404, "there is nothing at this path", "invalid_request_error", "", "not_found"}));
}

void Api::answered(const Exchange& exchange, int status, std::uint64_t bytes) {
  bool other_method = false;
  const Route* route = find(exchange.request.method, exchange.request.path, other_method);
  const bool is_asset = route == nullptr && asset_at(exchange.request.path) != nullptr;
  ++metrics_.answers[{route != nullptr ? std::string(route->path) : is_asset ? "page" : "other", status}];
  if (!options_.access_log) return;
  const AccessRecord& r = exchange.record;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - exchange.start).count();
  char time[32] = {};
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
  Json line = {{"time", time},
               {"request", r.request_id},
               {"peer", exchange.request.peer},
               {"method", exchange.request.method},
               {"path", exchange.request.path},
               {"status", status},
               {"bytes", bytes},
               {"ms", std::round(1e4 * seconds) / 10}};
  if (!r.model.empty())
    line.update({{"model", r.model},
                 {"prompt_tokens", r.prompt_tokens},
                 {"cached_tokens", r.cached_tokens},
                 {"completion_tokens", r.generated_tokens},
                 {"queue_ms", std::round(1e4 * r.queue_seconds) / 10},
                 {"finish", r.finish}});
  if (options_.log_bodies && !exchange.request.body.empty()) line["body"] = exchange.request.body;
  options_.access_log(json_text(line));
}

bool Api::asset(Exchange& exchange) {
  const HttpRequest& request = exchange.request;
  const WebAsset* asset = asset_at(request.path);
  if (asset == nullptr || (request.method != "GET" && request.method != "HEAD")) return false;
  HttpReply reply;
  reply.content_type = asset->content_type;
  reply.headers = page_headers();
  reply.headers.emplace_back("ETag", std::string(asset->etag));
  if (request.header("If-None-Match") == asset->etag) {
    reply.status = 304;
  } else {
    if (asset->gzip) reply.headers.emplace_back("Content-Encoding", "gzip");
    reply.body = asset->body;
  }
  exchange.reply(std::move(reply));
  return true;
}

void Api::health(Exchange& exchange) {
  if (is_draining_) return exchange.reply(reply_of(busy("the server is shutting down")));
  if (!models_.is_loaded()) return exchange.reply(reply_of(loading()));
  exchange.reply(json_reply(R"({"status":"ok"})"));
}

void Api::version(Exchange& exchange) { exchange.reply(json_reply(R"({"version":")" NIBBLE_VERSION R"("})")); }

void Api::metrics(Exchange& exchange) {
  MetricPage page;
  for (const ServedModel& model : models_.is_loaded() ? models_.all() : std::vector<ServedModel>())
    metrics_.models[model.id].print(page, model.id, model.engine->stats());
  metrics_.print_http(page, options_.connections ? options_.connections() : 0);
  HttpReply reply;
  reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
  reply.body = page.text();
  exchange.reply(std::move(reply));
}

void Api::models(Exchange& exchange) {
  if (!models_.is_loaded()) return exchange.reply(reply_of(loading()));
  exchange.reply(json_reply(models_json(models_.all())));
}

void Api::props(Exchange& exchange) {
  if (!models_.is_loaded()) return exchange.reply(reply_of(loading()));
  exchange.reply(json_reply(props_json(models_.all().front())));
}

void Api::api_models(Exchange& exchange) {
  if (!models_.is_loaded()) return exchange.reply(reply_of(loading()));
  reply_from_worker(exchange, [this] { return json_reply(api_models_json(models_.all())); });
}

void Api::inspect(Exchange& exchange) {
  const ServedModel* model = models_.find(exchange.request.parameter("model"));
  reply_from_worker(exchange, [model] { return inspect_reply(model); });
}

void Api::report(Exchange& exchange) {
  const ServedModel* model = models_.find(exchange.request.parameter("model"));
  reply_from_worker(exchange, [model] { return report_reply(model); });
}

void Api::reports(Exchange& exchange) {
  if (!models_.is_loaded()) return exchange.reply(reply_of(loading()));
  reply_from_worker(exchange, [this] { return json_reply(reports_json(models_.all())); });
}

void Api::chat(Exchange& exchange) { generate(exchange, read_chat); }
void Api::completion(Exchange& exchange) { generate(exchange, read_completion); }

void Api::generate(Exchange& exchange, ReadBody read_body) {
  read(exchange, For::kEngine,
       [this, read_body](Exchange& asked, const Json& body, const ServedModel& model, Place place) {
         auto job = std::make_shared<GenerationJob>();
         job->place = std::move(place);
         const auto error = read_body(body, model, options_.defaults, *job);
         return start_or_refuse<Generation>(asked, job, error, metrics_);
       });
}

void Api::embedding(Exchange& exchange) {
  read(exchange, For::kEngine, [this](Exchange& asked, const Json& body, const ServedModel& model, Place place) {
    auto job = std::make_shared<EmbeddingJob>();
    job->place = std::move(place);
    auto error = read_embedding(body, model, *job);
    return start_or_refuse<Embedding>(asked, job, error, metrics_);
  });
}

void Api::tokenize(Exchange& exchange) {
  read(exchange, For::kText, [](Exchange& asked, const Json& body, const ServedModel& model, Place) -> Task {
    return [&asked, reply = tokenize_reply(body, model)] { asked.reply(reply); };
  });
}

void Api::detokenize(Exchange& exchange) {
  read(exchange, For::kText, [](Exchange& asked, const Json& body, const ServedModel& model, Place) -> Task {
    return [&asked, reply = detokenize_reply(body, model)] { asked.reply(reply); };
  });
}

template <typename Owner, typename Job>
Api::Task Api::start_or_refuse(Exchange& exchange, const std::shared_ptr<Job>& job,
                               const std::optional<ApiError>& error, Metrics& metrics) {
  if (error) return [&exchange, reply = reply_of(*error)] { exchange.reply(reply); };
  return [&exchange, job, &metrics] {
    std::make_shared<Owner>(exchange.shared_from_this(), std::move(*job), metrics)->start();
  };
}

template <typename F>
void Api::on_worker(F work, For what, std::size_t body_bytes) {
  constexpr std::size_t kLargeBody = 128 << 10;  // takes some hundredths of a second
  if (options_.workers <= 0) return work();
  if (body_bytes > kLargeBody) return boost::asio::post(large_bodies_, std::move(work));
  if (what == For::kText) return boost::asio::post(texts_, std::move(work));
  boost::asio::post(workers_, std::move(work));
}

Result<Api::Place> Api::reserve(const ServedModel& model, std::size_t body_bytes) {
  // A token is a byte at least; few are longer than a context.
  const auto most = std::min(static_cast<std::int64_t>(body_bytes), model.model->context());
  return model.engine->reserve(most);
}

void Api::read(Exchange& exchange, For what, Work work) {
  if (is_draining_) return exchange.reply(reply_of(busy("the server is shutting down")));
  if (!models_.is_loaded()) return exchange.reply(reply_of(loading()));
  if (reading_ >= options_.max_reading || (what == For::kText && 2 * reading_texts_ >= options_.max_reading))
    return exchange.reply(reply_of(busy("too many requests are being read; try again later")));
  Place place;
  const ServedModel* only = models_.all().size() == 1 ? &models_.all().front() : nullptr;
  if (what == For::kEngine && only != nullptr) {
    auto reserved = reserve(*only, exchange.request.body.size());
    if (!reserved.ok()) return exchange.reply(reply_of(api_error_of(reserved.error())));
    place = std::move(*reserved);
  }
  ++reading_;
  if (what == For::kText) ++reading_texts_;
  const std::size_t body_bytes = exchange.request.body.size();
  auto on_thread = [this, asked = exchange.shared_from_this(), what, place = std::move(place),
                    work = std::move(work)]() mutable {
    Exchange& home = *asked;
    Task task = task_of(home, what, std::move(place), work);
    --reading_;
    if (what == For::kText) --reading_texts_;
    // The exchange must not end on this thread.
    home.post([asked = std::move(asked), task = std::move(task)] { task(); });
  };
  on_worker(std::move(on_thread), what, body_bytes);
}

Api::Task Api::task_of(Exchange& exchange, For what, Place place, const Work& work) {
  const auto refuse = [&exchange](const ApiError& error) -> Task {
    return [&exchange, reply = reply_of(error)] { exchange.reply(reply); };
  };
  try {
    const Result<Json> body = parse_untrusted(exchange.request.body, "the request's body");
    if (!body.ok()) return refuse(invalid_field("", body.error().message));
    if (!body->is_object()) return refuse(invalid_field("", "the request's body: expected a JSON object"));
    RequestFields fields(*body);
    const std::string name = fields.string("model").value_or("");
    if (fields.error()) return refuse(*fields.error());
    const ServedModel* model = models_.find(name);
    if (model == nullptr)
      return refuse({404, fmt::format("model: \"{}\" is not served here; /v1/models lists what is", printable(name)),
                     "invalid_request_error", "model", "model_not_found"});
    if (what == For::kEngine && place == nullptr) {
      auto reserved = reserve(*model, exchange.request.body.size());
      if (!reserved.ok()) return refuse(api_error_of(reserved.error()));
      place = std::move(*reserved);
    }
    return work(exchange, *body, *model, std::move(place));
  } catch (const std::bad_alloc&) {
    return refuse({503, "out of memory for this request", "server_error", "", "out_of_memory"});
  } catch (const std::exception& e) {
    return refuse({500, fmt::format("this is a defect in Nibble, please report it: {}", e.what()), "server_error", "",
                   "internal_error"});
  }
}

void Api::reply_from_worker(Exchange& exchange, std::function<HttpReply()> make) {
  if (is_draining_) return exchange.reply(reply_of(busy("the server is shutting down")));
  if (reading_ >= options_.max_reading)
    return exchange.reply(reply_of(busy("too many requests are being read; try again later")));
  ++reading_;
  on_worker([this, asked = exchange.shared_from_this(), make = std::move(make)]() mutable {
    Exchange& home = *asked;
    HttpReply reply;
    try {
      reply = make();
    } catch (const std::exception& e) {
      reply = reply_of({500, e.what(), "server_error", "", "internal_error"});
    }
    --reading_;
    home.post([asked = std::move(asked), reply = std::move(reply)] { asked->reply(reply); });
  });
}

}  // namespace nibble::server
