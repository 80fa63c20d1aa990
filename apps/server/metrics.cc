#include "metrics.h"

#include <fmt/format.h>

#include <algorithm>

namespace nibble::server {
namespace {

const std::vector<double> kSeconds = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5,
                                      0.75,  1,     2.5,  5,    7.5,  10,   20,   40,  80,   160};
const std::vector<double> kTokens = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

}  // namespace

std::string label_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string& MetricPage::metric(std::string_view name, std::string_view type, std::string_view help) {
  const auto found = metrics_.find(name);
  if (found != metrics_.end()) return found->second.lines;
  order_.emplace_back(name);
  Metric& metric = metrics_[order_.back()];
  metric.head = fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
  return metric.lines;
}

void MetricPage::add(std::string_view name, std::string_view type, std::string_view help, std::string_view label,
                     double value) {
  metric(name, type, help) += fmt::format("{}{{{}}} {}\n", name, label, value);
}

std::string MetricPage::text() const {
  std::string text;
  for (const std::string& name : order_) text += metrics_.at(name).head + metrics_.at(name).lines;
  return text;
}

void Histogram::add(double value) {
  const auto place = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  ++counts_[static_cast<std::size_t>(place)];
  sum_ += value;
  ++total_;
}

void Histogram::print(MetricPage& page, std::string_view name, std::string_view help, std::string_view label) const {
  std::string& out = page.metric(name, "histogram", help);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < bounds_.size(); ++i) {
    below += counts_[i];
    out += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", name, label, bounds_[i], below);
  }
  out += fmt::format("{0}_bucket{{{1},le=\"+Inf\"}} {2}\n{0}_sum{{{1}}} {3}\n{0}_count{{{1}}} {2}\n", name, label,
                     total_, sum_);
}

ModelMetrics::ModelMetrics()
    : first_token(kSeconds),
      per_token(kSeconds),
      whole(kSeconds),
      queued(kSeconds),
      prompt_tokens(kTokens),
      generated_tokens(kTokens) {
  for (const char* reason : {"stop", "length", "abort", "error"}) finished[reason] = 0;
}

void ModelMetrics::add(const Outcome& outcome, double first_token_seconds, double seconds) {
  queued.add(outcome.queue_seconds);
  whole.add(seconds);
  prompt_tokens.add(static_cast<double>(outcome.prompt_tokens));
  generated_tokens.add(static_cast<double>(outcome.generated_tokens));
  prompt_seconds += outcome.prompt_seconds;
  decode_seconds += outcome.decode_seconds;
  if (outcome.generated_tokens > 0) first_token.add(first_token_seconds);
  if (outcome.generated_tokens > 1)
    per_token.add(outcome.decode_seconds / static_cast<double>(outcome.generated_tokens - 1));
  const bool length = outcome.reason == StopReason::kMaxTokens || outcome.reason == StopReason::kContextFull;
  ++finished[outcome.error ? "error" : outcome.reason == StopReason::kCancelled ? "abort" : length ? "length" : "stop"];
}

void ModelMetrics::print(MetricPage& page, const std::string& model, const EngineStats& s) const {
  const std::string label = "model_name=\"" + label_text(model) + "\"";
  const auto number = [](std::int64_t n) { return static_cast<double>(n); };
  const double computed = number(s.prompt_tokens_computed);
  const double used = ratio(number(s.kv_blocks_used), number(s.kv_blocks));
  const auto gauge = [&](std::string_view name, std::string_view help, double value) {
    page.add(name, "gauge", help, label, value);
  };
  const auto counter = [&](std::string_view name, std::string_view help, double value) {
    page.add(name, "counter", help, label, value);
  };
  counter("llamacpp:prompt_tokens_total", "Prompt tokens computed.", computed);
  counter("llamacpp:prompt_seconds_total", "Time spent on prompts.", prompt_seconds);
  counter("llamacpp:tokens_predicted_total", "Tokens generated.", number(s.generated_tokens));
  counter("llamacpp:tokens_predicted_seconds_total", "Time spent generating, all requests.", decode_seconds);
  counter("llamacpp:n_decode_total", "Steps of the model.", number(s.steps));
  gauge("llamacpp:prompt_tokens_seconds", "Prompt tokens per second, on average.", ratio(computed, prompt_seconds));
  gauge("llamacpp:predicted_tokens_seconds", "Tokens per second of a request, on average.",
        ratio(number(s.generated_tokens), decode_seconds));
  gauge("llamacpp:requests_processing", "Requests under way.", number(s.running));
  gauge("llamacpp:requests_deferred", "Requests that wait.", number(s.waiting));
  gauge("llamacpp:kv_cache_usage_ratio", "Share of the key and value blocks in use.", used);
  gauge("llamacpp:kv_cache_tokens", "Positions of the blocks in use.", number(s.kv_blocks_used * 64));

  gauge("vllm:num_requests_running", "Requests under way.", number(s.running));
  gauge("vllm:num_requests_waiting", "Requests that wait.", number(s.waiting));
  gauge("vllm:kv_cache_usage_perc", "Share of the key and value blocks in use, 1 is all.", used);
  gauge("vllm:gpu_cache_usage_perc", "The same under its former name.", used);
  counter("vllm:num_preemptions_total", "Requests that had to give their blocks back.", number(s.preemptions));
  counter("vllm:prompt_tokens_total", "Prompt tokens of started requests.", number(s.prompt_tokens));
  counter("vllm:generation_tokens_total", "Tokens generated.", number(s.generated_tokens));
  counter("vllm:prefix_cache_queries_total", "Prompt tokens that were looked for.", number(s.prompt_tokens));
  counter("vllm:prefix_cache_hits_total", "Of these, tokens that were known.", number(s.cached_tokens));
  std::string& successes = page.metric("vllm:request_success_total", "counter", "Finished requests.");
  for (const auto& [reason, count] : finished)
    successes += fmt::format("vllm:request_success_total{{{},finished_reason=\"{}\"}} {}\n", label, reason, count);
  first_token.print(page, "vllm:time_to_first_token_seconds", "From the request to its first token.", label);
  per_token.print(page, "vllm:time_per_output_token_seconds", "Time per token of a request.", label);
  per_token.print(page, "vllm:inter_token_latency_seconds", "The same under its newer name.", label);
  whole.print(page, "vllm:e2e_request_latency_seconds", "From the request to its end.", label);
  queued.print(page, "vllm:request_queue_time_seconds", "Time in the queue.", label);
  prompt_tokens.print(page, "vllm:request_prompt_tokens", "Tokens of prompts.", label);
  generated_tokens.print(page, "vllm:request_generation_tokens", "Tokens of answers.", label);

  counter("nibble:requests_refused_total", "Requests for which the queue had no room.", number(s.requests_refused));
  counter("nibble:step_seconds_total", "Time of the engine's steps.", s.step_seconds);
  counter("nibble:model_seconds_total", "Of these, time in the model.", s.model_seconds);
}

void Metrics::print_http(MetricPage& page, std::size_t connections) const {
  std::string& out = page.metric("nibble:http_answers_total", "counter", "Answers.");
  for (const auto& [key, count] : answers)
    out += fmt::format("nibble:http_answers_total{{path=\"{}\",status=\"{}\"}} {}\n", label_text(key.first), key.second,
                       count);
  page.add("nibble:http_connections", "gauge", "Open connections.", "", static_cast<double>(connections));
}

}  // namespace nibble::server
