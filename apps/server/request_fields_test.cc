#include "request_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sampling_fields.h"

namespace nibble::server {
namespace {

using ::testing::HasSubstr;

Json json(std::string_view text) { return parse_untrusted(text, "test").value(); }

TEST(RequestFields, WholeNumbers) {
  const Json body = json(R"({"a": 3, "b": 3.0, "c": 3.5, "d": 9223372036854775808, "e": -1, "f": "3", "g": null,
                             "h": 1e300, "i": true})");
  const auto read = [&](const char* name) {
    RequestFields fields(body);
    const auto number = fields.integer(name, 0, 100);
    return std::pair(number, fields.error() ? fields.error()->param : "");
  };
  EXPECT_EQ(read("a"), std::pair(std::optional<std::int64_t>(3), std::string()));
  EXPECT_EQ(read("b").first, 3);
  for (const char* bad : {"c", "d", "e", "f", "h", "i"})
    EXPECT_EQ(read(bad), std::pair(std::optional<std::int64_t>(), std::string(bad)));
  for (const char* absent : {"g", "none"})
    EXPECT_EQ(read(absent), std::pair(std::optional<std::int64_t>(), std::string()));
}

TEST(RequestFields, TheFirstErrorStays) {
  const Json body = json(R"({"a": "x", "b": 7})");
  RequestFields fields(body, "outer.");
  EXPECT_FALSE(fields.number("a", 0, 1));
  EXPECT_FALSE(fields.boolean("b"));
  EXPECT_EQ(fields.error()->param, "outer.a");
  EXPECT_THAT(fields.error()->message, HasSubstr("expected a number"));
}

TEST(RequestFields, NoObject) {
  const Json body = json("[1]");
  RequestFields fields(body);
  EXPECT_TRUE(fields.error().has_value());
  EXPECT_EQ(fields.find("a"), nullptr);
}

GenerateOptions sampling(std::string_view text, std::optional<ApiError>* error = nullptr) {
  const Json body = json(text);
  RequestFields fields(body);
  GenerateOptions defaults;
  defaults.sampling.temperature = 0.5f;
  const GenerateOptions options = read_sampling(fields, defaults, 100);
  if (error != nullptr) *error = fields.error();
  EXPECT_TRUE(error != nullptr || !fields.error()) << fields.error()->message;
  return options;
}

TEST(SamplingFields, NamesOfAllThree) {
  const GenerateOptions o = sampling(
      R"({"top_p": 0.25, "min_p": 0, "top_k": 7, "presence_penalty": 1, "frequency_penalty": -1, "seed": 5,
          "repetition_penalty": 1.5, "logit_bias": {"99": -100}, "stop": "x", "ignore_eos": true})");
  EXPECT_EQ(o.sampling.temperature, 0.5f);
  EXPECT_EQ(o.sampling.top_p, 0.25f);
  EXPECT_EQ(o.sampling.top_k, 7);
  EXPECT_EQ(o.sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(o.sampling.seed, 5u);
  EXPECT_EQ(o.sampling.logit_bias, (std::vector<std::pair<std::int32_t, float>>{{99, -100.0f}}));
  EXPECT_EQ(o.stop, std::vector<std::string>{"x"});
  EXPECT_TRUE(o.ignore_eos);
  EXPECT_EQ(sampling(R"({"repeat_penalty": 1.25})").sampling.repetition_penalty, 1.25f);
  EXPECT_NE(sampling("{}").sampling.seed, sampling("{}").sampling.seed);
}

TEST(SamplingFields, Refusals) {
  const std::pair<const char*, const char*> kBad[] = {
      {R"({"temperature": -0.1})", "temperature"},
      {R"({"temperature": "hot"})", "temperature"},
      {R"({"top_p": 1.01})", "top_p"},
      {R"({"top_k": 1e40})", "top_k"},
      {R"({"seed": 1e30})", "seed"},
      {R"({"stop": [1]})", "stop"},
      {R"({"stop": ""})", "stop"},
      {R"({"stop": ["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"]})", "stop"},
      {R"({"logit_bias": {"100": 1}})", "logit_bias"},
      {R"({"logit_bias": {"-1": 1}})", "logit_bias"},
      {R"({"logit_bias": {"1x": 1}})", "logit_bias"},
      {R"({"logit_bias": {"1": 101}})", "logit_bias"},
      {R"({"logit_bias": {"1": null}})", "logit_bias"},
      {R"({"presence_penalty": 2.5})", "presence_penalty"},
      {R"({"min_tokens": -1})", "min_tokens"},
  };
  for (const auto& [text, param] : kBad) {
    std::optional<ApiError> error;
    sampling(text, &error);
    ASSERT_TRUE(error.has_value()) << text;
    EXPECT_EQ(error->param, param) << text;
  }
}

TEST(SamplingFields, TokensOfAnAnswer) {
  const Json body = json(R"({"a": 5, "b": -1, "c": 0, "d": -2})");
  RequestFields fields(body);
  EXPECT_EQ(read_max_tokens(fields, "a"), 5);
  EXPECT_EQ(read_max_tokens(fields, "b"), 0);
  EXPECT_EQ(read_max_tokens(fields, "none"), std::nullopt);
  EXPECT_FALSE(fields.error());
  read_max_tokens(fields, "c");
  EXPECT_EQ(fields.error()->param, "c");
}

}  // namespace
}  // namespace nibble::server
