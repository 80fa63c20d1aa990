// Counters of the server, as text for Prometheus under the names that dashboards of llama.cpp and vLLM ask for.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/engine.h"

namespace nibble::server {

/// The lines of each metric together, as the format wants them.
class MetricPage {
 public:
  /// The lines of a metric, to be added to. `type`: counter, gauge or histogram.
  std::string& metric(std::string_view name, std::string_view type, std::string_view help);
  void add(std::string_view name, std::string_view type, std::string_view help, std::string_view label, double value);
  std::string text() const;

 private:
  struct Metric {
    std::string head;
    std::string lines;
  };
  std::vector<std::string> order_;
  std::map<std::string, Metric, std::less<>> metrics_;
};

/// Numbers of values below fixed bounds.
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}
  void add(double value);
  /// Lines NAME_bucket, NAME_sum and NAME_count.
  void print(MetricPage& page, std::string_view name, std::string_view help, std::string_view label) const;

 private:
  std::vector<double> bounds_;
  std::vector<std::uint64_t> counts_;
  double sum_ = 0;
  std::uint64_t total_ = 0;
};

/// Of one model's finished requests.
struct ModelMetrics {
  ModelMetrics();
  void add(const Outcome& outcome, double first_token_seconds, double seconds);
  void print(MetricPage& page, const std::string& model, const EngineStats& engine) const;

  Histogram first_token, per_token, whole, queued, prompt_tokens, generated_tokens;
  std::map<std::string, std::uint64_t> finished;  ///< by finish_reason
  double prompt_seconds = 0;
  double decode_seconds = 0;
};

/// On the server's thread.
struct Metrics {
  std::map<std::string, ModelMetrics> models;                    ///< by id
  std::map<std::pair<std::string, int>, std::uint64_t> answers;  ///< by path of a route, and status

  void print_http(MetricPage& page, std::size_t connections) const;
};

/// What Prometheus wants of the text of a label.
std::string label_text(std::string_view text);

}  // namespace nibble::server
