// Logits saved by one evaluation and the baseline of others: the same figures as with the model, and files that lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "chat_model_test.h"
#include "nibble/evaluate.h"

namespace nibble {
namespace {

using testing::HasSubstr;

class SavedLogits : public ChatModelTest {
 protected:
  void SetUp() override {
    ChatModelTest::SetUp();
    options_.text_file = at("text");
    options_.context = 16;
    options_.chunks = 5;
    options_.model.threads = 2;
  }
  /// The logits of "m" on five windows, as the file "logits".
  Result<Evaluation> save() {
    EvaluateOptions saving = options_;
    saving.save_logits = at("logits");
    return evaluate(at("m"), "", saving);
  }
  /// "m" rounded while it is loaded, against the file.
  Result<Evaluation> compare(EvaluateOptions options) {
    options.model.scheme = "int4-g16-sym";
    return evaluate(at("m"), at("logits"), options);
  }
  std::string error_of(const EvaluateOptions& options) {
    const Result<Evaluation> got = compare(options);
    return got.ok() ? "no error" : got.error().message;
  }
  EvaluateOptions options_;
};

TEST_F(SavedLogits, CompareAsTheModelDoes) {
  EvaluateOptions rounded = options_;
  rounded.model.scheme = "int4-g16-sym";
  const Evaluation live = evaluate(at("m"), at("m"), rounded).value();
  const Evaluation plain = save().value();
  EXPECT_EQ(plain.perplexity, live.comparison->baseline_perplexity);
  EvaluateOptions windows_of_file = options_;
  windows_of_file.text_file.clear();
  windows_of_file.chunks = 0;
  for (const EvaluateOptions& options : {options_, windows_of_file}) {
    const Evaluation saved = compare(options).value();
    EXPECT_EQ(saved.windows, 5);
    EXPECT_EQ(saved.perplexity, live.perplexity);
    EXPECT_GT(saved.comparison->kld_mean, 0);
    EXPECT_EQ(saved.comparison->kld_mean, live.comparison->kld_mean);
    EXPECT_EQ(saved.comparison->window_kld, live.comparison->window_kld);
    EXPECT_EQ(saved.comparison->top1_agreement, live.comparison->top1_agreement);
  }
  windows_of_file.chunks = 2;
  EXPECT_EQ(compare(windows_of_file)->windows, 2);
}

TEST_F(SavedLogits, OtherWindowsAreRefused) {
  ASSERT_TRUE(save().ok());
  EvaluateOptions other = options_;
  other.context = 8;
  EXPECT_THAT(error_of(other), HasSubstr("windows of 16 tokens, not of 8; use --ctx 16"));
  other = options_;
  other.chunks = 6;
  EXPECT_THAT(error_of(other), HasSubstr("5 windows, not of 6; use --chunks 5"));
  put("other", random_text(2000).substr(7));
  other = options_;
  other.text_file = at("other");
  EXPECT_THAT(error_of(other), HasSubstr("other tokens than these"));
  other.text_file.clear();
  EXPECT_THAT(evaluate(at("m"), at("m"), other).error().message, HasSubstr("no text"));
}

TEST_F(SavedLogits, AFileThatLiesIsRefused) {
  ASSERT_TRUE(save().ok());
  const std::string good = contents("logits");
  const auto with = [&](std::size_t offset, std::uint32_t value) {
    std::string bytes = good;
    std::memcpy(bytes.data() + offset, &value, sizeof(value));
    put("logits", bytes);
    return error_of(options_);
  };
  EXPECT_THAT(with(8, 2), HasSubstr("version 2"));
  EXPECT_THAT(with(12, 0), HasSubstr("vocabulary of 0"));
  EXPECT_THAT(with(12, 0x7fffffff), HasSubstr("are not those of the logits"));
  EXPECT_THAT(with(16, 1), HasSubstr("cannot be"));
  EXPECT_THAT(with(16, 0x7fffffff), HasSubstr("too short for the ids"));
  EXPECT_THAT(with(20, 0xffffffff), HasSubstr("too short for the ids"));
  for (const std::size_t size : {std::size_t{9}, std::size_t{31}, std::size_t{100}, good.size() - 1}) {
    put("logits", good.substr(0, size));
    EXPECT_THAT(error_of(options_), HasSubstr(at("logits"))) << size;
  }
  put("logits", good + "more");
  EXPECT_THAT(error_of(options_), HasSubstr("are not those of the logits"));
}

TEST_F(SavedLogits, NothingIsLeftOfAnEvaluationThatFails) {
  EvaluateOptions saving = options_;
  saving.save_logits = at("logits");
  saving.progress = [](std::string_view, std::uint64_t, std::uint64_t, std::string_view) { return false; };
  EXPECT_EQ(evaluate(at("m"), "", saving).error().code, ErrorCode::kCancelled);
  EXPECT_FALSE(std::filesystem::exists(at("logits")));
  saving.progress = nullptr;
  saving.save_logits = at("missing/logits");
  EXPECT_THAT(evaluate(at("m"), "", saving).error().message, HasSubstr("missing"));
}

}  // namespace
}  // namespace nibble
