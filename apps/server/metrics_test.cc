#include "metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "embedding.h"
#include "served_models.h"

namespace nibble::server {
namespace {

using ::testing::HasSubstr;

/// Each metric's lines stand together behind its head, whatever the number of models: parsers insist.
TEST(Metrics, LinesOfAMetricStandTogether) {
  MetricPage page;
  for (const char* model : {"a", "b\"\\"}) {
    ModelMetrics metrics;
    Outcome outcome;
    outcome.prompt_tokens = 10;
    outcome.generated_tokens = 5;
    outcome.decode_seconds = 0.1;
    metrics.add(outcome, 0.02, 0.3);
    metrics.print(page, model, EngineStats());
  }
  Metrics().print_http(page, 3);
  const std::string text = page.text();
  std::set<std::string> done;
  std::string current;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("# TYPE ", 0) == 0) {
      current = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(done.insert(current).second) << line;
    } else if (line[0] != '#') {
      EXPECT_EQ(line.rfind(current, 0), 0u) << line;
    }
  }
  EXPECT_THAT(text, HasSubstr("vllm:num_requests_running{model_name=\"b\\\"\\\\\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("llamacpp:requests_processing"));
  EXPECT_THAT(text, HasSubstr("vllm:time_to_first_token_seconds_bucket{model_name=\"a\",le=\"0.02\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("vllm:time_to_first_token_seconds_bucket{model_name=\"a\",le=\"0.01\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("vllm:time_to_first_token_seconds_bucket{model_name=\"a\",le=\"+Inf\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("vllm:request_success_total{model_name=\"a\",finished_reason=\"stop\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("nibble:http_connections{} 3\n"));
}

/// Blocks that are adopted later are counted late; a counter must not fall.
TEST(Metrics, PromptTokensAreThoseComputed) {
  MetricPage page;
  EngineStats stats;
  stats.prompt_tokens = 100;
  stats.prompt_tokens_computed = 36;
  ModelMetrics metrics;
  metrics.prompt_seconds = 2;
  metrics.print(page, "a", stats);
  EXPECT_THAT(page.text(), HasSubstr("llamacpp:prompt_tokens_total{model_name=\"a\"} 36\n"));
  EXPECT_THAT(page.text(), HasSubstr("llamacpp:prompt_tokens_seconds{model_name=\"a\"} 18\n"));
  EXPECT_THAT(page.text(), HasSubstr("vllm:prompt_tokens_total{model_name=\"a\"} 100\n"));
}

TEST(ServedModels, NamesFromPaths) {
  EXPECT_EQ(model_name("/a/b.gguf"), "b");
  EXPECT_EQ(model_name("a/b/"), "b");
  EXPECT_EQ(model_name("hf:org/name@main"), "org/name");
  EXPECT_EQ(model_name("."), "model");
  EXPECT_EQ(model_name("/"), "model");
  EXPECT_EQ(model_name(".gguf"), ".gguf");
}

TEST(Embedding, Base64) {
  EXPECT_EQ(base64_of(""), "");
  EXPECT_EQ(base64_of("f"), "Zg==");
  EXPECT_EQ(base64_of("fo"), "Zm8=");
  EXPECT_EQ(base64_of("foo"), "Zm9v");
  EXPECT_EQ(base64_of("foobar"), "Zm9vYmFy");
}

}  // namespace
}  // namespace nibble::server
