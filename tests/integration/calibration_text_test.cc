// What calibration reads and lets the model write: no more than it needs, and never something else for that.
#include <gtest/gtest.h>

#include "api/calibration.h"
#include "api/report.h"
#include "api/text_windows.h"
#include "api/written_windows.h"
#include "chat_model_test.h"
#include "text/hugging_face.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

class CalibrationText : public ChatModelTest {
 protected:
  void SetUp() override {
    ChatModelTest::SetUp();
    files_ = ModelFiles::open(at("m")).value();
  }
  CalibrationOptions of(std::vector<std::string> texts, std::int64_t samples) const {
    CalibrationOptions options;
    for (const std::string& text : texts) options.texts.push_back(at(text));
    options.samples = samples;
    options.context = 32;
    return options;
  }
  std::vector<std::int32_t> taken(const CalibrationOptions& options) const {
    const auto tokens = calibration_tokens(at("m"), *files_, options, 1, 0, {});
    EXPECT_TRUE(tokens.ok()) << tokens.error().message;
    return tokens.ok() ? tokens->ids : std::vector<std::int32_t>();
  }
  std::vector<std::int32_t> held_out(const CalibrationOptions& options, std::int64_t windows) const {
    const auto tokens = held_out_tokens(*files_, options, windows, 48);
    EXPECT_TRUE(tokens.ok()) << tokens.error().message;
    return tokens.ok() ? tokens->ids : std::vector<std::int32_t>();
  }

  ModelFiles::Ptr files_;
};

/// Every tokenizer of tests/golden, on a text in which lines, runs of spaces and long words are cut.
TEST_F(CalibrationText, TheFirstTokensAreThoseOfTheWholeText) {
  std::string text = contents("text");
  for (int i = 0; i < 6; ++i) {
    text += "\n  \t  " + std::string(700, 'a' + static_cast<char>(i)) +
            " 12345678901 \xC3\xA9\xE4\xBD\xA0\xE5\xA5\xBD\r\n\n\n\xFF";
    text += text;
  }
  std::vector<fs::path> models{root_ / "m"};
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(NIBBLE_SOURCE_DIR) / "tests/golden"))
    if (entry.path().filename() == "tokenizer.json") models.push_back(entry.path().parent_path());
  int tried = 0;
  for (const fs::path& model : models) {
    SCOPED_TRACE(model);
    const auto json = read_text_file(model / "tokenizer.json");
    auto spec = from_hugging_face({*json, "", "", ""}, model.string());
    if (!spec.ok()) continue;
    const auto tokenizer = Tokenizer::create(*std::move(spec)).value();
    const std::vector<std::int32_t> whole =
        tokenizer->encode(text, {.add_special = false, .parse_special = false}).value();
    for (const std::int64_t count : {1, 2, 100, 1000, 5000, 20000}) {
      const std::vector<std::int32_t> first = first_tokens(*tokenizer, text, count).value();
      ASSERT_EQ(first.size(), std::min(whole.size(), static_cast<std::size_t>(count)));
      EXPECT_TRUE(std::equal(first.begin(), first.end(), whole.begin())) << count;
    }
    ++tried;
  }
  EXPECT_GE(tried, 1);
}

TEST_F(CalibrationText, ReadsNoMoreThanItNeeds) {
  const std::string text = random_text(200'000);
  put("long", text);
  put("short", text.substr(0, 40'000));
  EXPECT_EQ(taken(of({"long"}, 8)), taken(of({"short"}, 8)));
  EXPECT_EQ(taken(of({"long", "text"}, 7)), taken(of({"short", "text"}, 7)));
  EXPECT_EQ(held_out(of({"long", "text"}, 7), 5), held_out(of({"short", "text"}, 7), 5));
  EXPECT_EQ(held_out(of({"long"}, 7), 5).size(), 5u * 48);
  std::string lines;
  for (int i = 0; i < 20; ++i)
    lines += Json({{"text", text.substr(static_cast<std::size_t>(i) * 50, 50)}}).dump() + "\n";
  put("lines.jsonl", lines);
  put("more.jsonl", lines + "this is no JSON\n");
  CalibrationOptions options = of({"lines.jsonl"}, 8);
  CalibrationOptions more = of({"more.jsonl"}, 8);
  for (const bool per_document : {false, true}) {
    options.per_document = more.per_document = per_document;
    EXPECT_EQ(taken(options), taken(more));
    EXPECT_EQ(held_out(options, 4), held_out(more, 4));
    EXPECT_EQ(held_out(options, 4).size(), 4u * 48);
  }
  more.samples = 1000;
  EXPECT_FALSE(calibration_tokens(at("m"), *files_, more, 1, 0, {}).ok()) << "all lines are wanted";
}

/// The windows of calibration and, behind them, those that are held out are the text.
TEST_F(CalibrationText, WindowsLieBackToBack) {
  const auto tokenizer = tokenizer_of(*files_).value();
  const std::vector<std::int32_t> whole =
      tokenizer->encode(contents("text"), {.add_special = false, .parse_special = false}).value();
  const CalibrationOptions options = of({"text"}, 10);
  const std::vector<std::int32_t> first = taken(options);
  ASSERT_EQ(first.size(), 10u * 32);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), whole.begin()));
  const std::vector<std::int32_t> behind = held_out(options, 1000);
  ASSERT_EQ(behind.size(), (whole.size() / 32 * 32 - first.size()) / 48 * 48);
  EXPECT_TRUE(std::equal(behind.begin(), behind.end(), whole.begin() + static_cast<std::ptrdiff_t>(first.size())));
}

TEST_F(CalibrationText, WhatTheModelWritesDoesNotDependOnHowManyAreWrittenAtOnce) {
  LoadOptions load;
  load.threads = 1;
  const std::vector<std::int32_t> together = write_windows(at("m"), {7, 40, 3, 7}, load).value();
  for (const std::int64_t at_once : {1, 2, 5})
    EXPECT_EQ(write_windows(at("m"), {7, 40, 3, at_once}, load).value(), together) << at_once;
}

TEST_F(CalibrationText, AsManyWindowsAreWrittenAtOnceAsMemoryHolds) {
  const WrittenWindows wanted{1000, 1 << 16, 0};
  EXPECT_EQ(windows_at_once(*files_, wanted, 0, "--calibration").value(), 1000);
  EXPECT_EQ(windows_at_once(*files_, wanted, std::uint64_t{1} << 50, "--calibration").value(), 1000);
  // Keys and values of one window are about 32 MB.
  const std::int64_t some = windows_at_once(*files_, wanted, std::uint64_t{8} << 30, "--calibration").value();
  EXPECT_GT(some, 20);
  EXPECT_LT(some, 600);
  const auto none = windows_at_once(*files_, wanted, 1 << 20, "--calibration");
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.error().message.find("without --calibration the model itself writes"), std::string::npos);
}

/// Where the report would have to load a model that does not fit, there is none.
TEST_F(CalibrationText, ReportsKeepToTheBound) {
  QuantizeOptions options;
  options.max_memory = 1 << 20;
  options.threads = 1;
  const std::string path = at("m");
  const std::string out = at("out");
  ThreadPool pool(1);
  ConversionReport report;
  const Status status = add_report({path, *files_, out, options, {}}, ReportLevel::kQuick, report, pool);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("--report-text"), std::string::npos) << status.error().message;
}

}  // namespace
}  // namespace nibble
