// nibble statistics, and what is quantized from its files.
#include <gtest/gtest.h>

#include <thread>

#include "chat_model_test.h"
#include "nibble/evaluate.h"
#include "nibble/imatrix.h"
#include "nibble/quantize.h"
#include "nibble/statistics.h"
#include "nibble_process.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

class Statistics : public ChatModelTest {
 protected:
  Result<StatisticsReport> measure(const std::string& out, int threads = 2) const {
    StatisticsOptions options;
    options.calibration.texts = {at("text")};
    options.calibration.samples = 40;
    options.calibration.context = 32;
    options.threads = threads;
    return make_statistics(at("m"), at(out), options);
  }
  QuantizeOptions from_file(const std::string& method, const std::string& scheme = "int3-g16-asym") const {
    QuantizeOptions options;
    options.method = method;
    options.scheme = scheme;
    options.to = "nibble";
    options.iterations = 0;
    options.statistics = at("stats.safetensors");
    options.threads = 2;
    return options;
  }
  std::string refusal(const QuantizeOptions& options) const {
    const auto report = quantize(at("m"), at("none"), options);
    EXPECT_FALSE(report.ok());
    EXPECT_EQ(fs::exists(root_ / "none") || fs::exists(root_ / "none.nibble-journal"), false);
    return report.ok() ? "" : report.error().message;
  }
  double divergence(const std::string& model) const {
    EvaluateOptions options;
    options.text_file = at("text");
    options.context = 32;
    options.model.arithmetic = options.baseline.arithmetic = Arithmetic::kF32;
    const auto evaluation = evaluate(at(model), at("m"), options);
    EXPECT_TRUE(evaluation.ok()) << evaluation.error().message;
    return evaluation->comparison->kld_mean;
  }
};

TEST_F(Statistics, ThreadsChangeNoByte) {
  const auto report = measure("a", 1);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->groups, 8);
  EXPECT_EQ(report->tokens, 40 * 32);
  EXPECT_EQ(report->bytes, contents("a").size());
  ASSERT_TRUE(measure("b", 3).ok());
  EXPECT_EQ(contents("a"), contents("b"));
  EXPECT_NE(contents("a").find("40 of 32 tokens"), std::string::npos) << "the file says what it was made of";
  EXPECT_EQ(names(), (std::vector<std::string>{"a", "b", "m", "text"}));
}

/// Every method is nearer to the model than rounding, with the model never run, and for any number of threads.
TEST_F(Statistics, MethodsQuantizeFromThem) {
  ASSERT_TRUE(measure("stats.safetensors").ok());
  QuantizeOptions rtn = from_file("rtn");
  rtn.statistics.clear();
  ASSERT_TRUE(quantize(at("m"), at("rtn"), rtn).ok());
  const double rounded = divergence("rtn");
  for (const char* method : {"gptq", "best", "awq", "awq+gptq", "autoround", "wnam"}) {
    SCOPED_TRACE(method);
    QuantizeOptions options = from_file(method, method == std::string("wnam") ? "codebook3-row-g16" : "int3-g16-asym");
    const auto report = quantize(at("m"), at("out"), options);
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_LT(divergence("out"), rounded);
    EXPECT_FALSE(report->held_out) << "nothing is measured unless it is asked for";
    const std::string bytes = contents("out/model.safetensors");
    options.threads = 1;
    ASSERT_TRUE(quantize(at("m"), at("out"), options).ok());
    EXPECT_EQ(contents("out/model.safetensors"), bytes);
  }
}

TEST_F(Statistics, WhatThereIsIsMeasuredWhereAskedFor) {
  ASSERT_TRUE(measure("stats.safetensors").ok());
  QuantizeOptions options = from_file("gptq");
  options.report = ReportLevel::kQuick;
  options.report_text = at("text");
  options.max_memory = std::uint64_t{4} << 30;  // what this process holds already counts, and sanitizers hold much
  const auto report = quantize(at("m"), at("out"), options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_TRUE(report->held_out);
}

/// The loop of docs/cli.md: the last report's chart has a point for each scheme.
TEST_F(Statistics, SchemesThatAreTriedStandInOneChart) {
  ASSERT_TRUE(measure("stats.safetensors").ok());
  fs::create_directory(root_ / "tried");
  const std::vector<std::string> schemes{"int2-g16-sym", "int3-g16-sym", "int4-g16-sym"};
  for (const std::string& scheme : schemes) {
    const Finished finished = run_nibble({"quantize", at("m"), "-o", at("tried/" + scheme), "--method", "gptq",
                                          "--scheme", scheme, "--to", "nibble", "--statistics", at("stats.safetensors"),
                                          "--report", "quick", "--report-text", at("text")});
    ASSERT_EQ(finished.status, 0) << finished.err;
  }
  const std::string page = contents("tried/int4-g16-sym.report.html");
  for (const std::string& scheme : schemes)
    EXPECT_NE(page.find("<title>" + scheme + ": "), std::string::npos) << scheme;
}

TEST_F(Statistics, WhatNeedsMoreIsRefused) {
  ASSERT_TRUE(measure("stats.safetensors").ok());
  QuantizeOptions options = from_file("autoround");
  options.iterations = 5;
  EXPECT_NE(refusal(options).find("--iters 0"), std::string::npos);
  EXPECT_NE(refusal(from_file("hqq")).find("looks at no inputs"), std::string::npos);
  options = from_file("wnam", "codebook3-row-g16");
  options.importance = ImportanceSource::kGradients;
  EXPECT_NE(refusal(options).find("--importance activations"), std::string::npos);
  options = from_file("gptq", "");
  options.target_bpw = 4;
  EXPECT_NE(refusal(options).find("--calibration"), std::string::npos);
  options = from_file("gptq");
  options.calibration.texts = {at("text")};
  EXPECT_NE(refusal(options).find("--calibration"), std::string::npos);
  options = from_file("gptq");
  options.max_memory = 1'000'000;
  EXPECT_NE(refusal(options).find("needs at least"), std::string::npos);
  options = from_file("gptq");
  options.statistics = at("missing");
  EXPECT_NE(refusal(options).find(at("missing") + ": no such file; nibble statistics"), std::string::npos);
  options.statistics = at("m/model.safetensors");
  EXPECT_NE(refusal(options).find("not statistics of this model"), std::string::npos);
}

/// The same architecture with one number changed.
TEST_F(Statistics, AnotherModelsAreRefused) {
  ASSERT_TRUE(measure("stats.safetensors").ok());
  std::string bytes = contents("m/model.safetensors");
  const std::size_t header = static_cast<std::size_t>(static_cast<unsigned char>(bytes[0])) +
                             256 * static_cast<std::size_t>(static_cast<unsigned char>(bytes[1]));
  const std::string name = "\"model.norm.weight\"";
  const std::size_t entry = bytes.find("data_offsets", bytes.find(name));
  const std::size_t offset = std::stoul(bytes.substr(bytes.find('[', entry) + 1));
  bytes[8 + header + offset + 1] = static_cast<char>(bytes[8 + header + offset + 1] ^ 1);
  put("m/model.safetensors", bytes);
  EXPECT_NE(refusal(from_file("gptq")).find("statistics of another model"), std::string::npos);
}

TEST_F(Statistics, FilesThatLieEndInAMessage) {
  ASSERT_TRUE(measure("stats.safetensors").ok());
  std::string bytes = contents("stats.safetensors");
  // The last numbers of the file are means of the last group in order of names; all bits set is NaN.
  std::fill(bytes.end() - 80, bytes.end(), '\xff');
  put("stats.safetensors", bytes);
  const auto report = quantize(at("m"), at("none"), from_file("gptq"));
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.error().message.find(at("stats.safetensors")), std::string::npos) << report.error().message;
  EXPECT_FALSE(fs::exists(root_ / "none"));
}

TEST_F(Statistics, OnTheCommandLine) {
  const Finished made = run_nibble({"statistics", at("m"), "--calibration", at("text"), "--samples", "40", "--ctx",
                                    "32", "-o", at("stats.safetensors"), "--json"});
  ASSERT_EQ(made.status, 0) << made.err;
  EXPECT_EQ(parse_untrusted(made.out, "json").value().at("groups"), 8);
  const std::vector<std::string> args{"quantize", at("m"),  "-o",           at("out"),
                                      "--method", "gptq",   "--scheme",     "int4-g16",
                                      "--to",     "nibble", "--statistics", at("stats.safetensors")};
  const Finished finished = run_nibble(args);
  ASSERT_EQ(finished.status, 0) << finished.err;
  std::vector<std::string> both = args;
  both.insert(both.end(), {"--calibration", at("text")});
  EXPECT_EQ(run_nibble(both).status, 2);
  const Finished folder =
      run_nibble({"statistics", at("m"), "--calibration", at("text"), "--ctx", "32", "-o", at("m")});
  EXPECT_EQ(folder.status, 2);
  EXPECT_NE(folder.err.find("would replace the model"), std::string::npos) << folder.err;
}

TEST_F(Statistics, ReplaceNothingThatTheyAreMadeOf) {
  for (const char* out : {"m/model.safetensors", "m/config.json", "m/tokenizer.json", "text"}) {
    SCOPED_TRACE(out);
    const std::string before = contents(out);
    const auto statistics = measure(out);
    ASSERT_FALSE(statistics.ok());
    EXPECT_NE(statistics.error().message.find("would replace"), std::string::npos) << statistics.error().message;
    ImatrixOptions options;
    options.text_file = at("text");
    options.context = 32;
    const auto imatrix = make_imatrix(at("m"), at(out), options);
    ASSERT_FALSE(imatrix.ok());
    EXPECT_NE(imatrix.error().message.find("would replace"), std::string::npos) << imatrix.error().message;
    EXPECT_EQ(contents(out), before);
  }
}

/// A run that was interrupted does not go on with other statistics.
TEST_F(Statistics, ResumeKnowsTheFile) {
  ASSERT_TRUE(measure("stats.safetensors").ok());
  std::vector<std::string> args{"quantize", at("m"),    "-o",   at("out"), "--method",     "gptq",
                                "--scheme", "int3-g16", "--to", "nibble",  "--statistics", at("stats.safetensors")};
  ASSERT_EQ(run_nibble(args).status, 0);
  const std::string whole = contents("out/model.safetensors");
  fs::remove_all(root_ / "out");
  NibbleProcess process(args);
  const fs::path journal = root_ / "out.nibble-journal";
  while (!fs::exists(root_ / "out") &&
         (!fs::exists(journal) || std::distance(fs::directory_iterator(journal), fs::directory_iterator()) < 4))
    std::this_thread::yield();
  kill(process.id(), SIGKILL);
  process.finish();
  args.emplace_back("--resume");
  if (fs::exists(journal)) {
    fs::rename(root_ / "stats.safetensors", root_ / "kept");
    StatisticsOptions other;
    other.calibration.texts = {at("text")};
    other.calibration.samples = 3;
    other.calibration.context = 32;
    ASSERT_TRUE(make_statistics(at("m"), at("stats.safetensors"), other).ok());
    const Finished refused = run_nibble(args);
    EXPECT_EQ(refused.status, 2);
    EXPECT_NE(refused.err.find("statistics"), std::string::npos) << refused.err;
    fs::rename(root_ / "kept", root_ / "stats.safetensors");
  }
  ASSERT_EQ(run_nibble(args).status, 0);
  EXPECT_EQ(contents("out/model.safetensors"), whole);
}

TEST_F(Statistics, StoppedItLeavesNothing) {
  StatisticsOptions options;
  options.calibration.texts = {at("text")};
  options.calibration.context = 32;
  options.progress = [](std::string_view, std::uint64_t, std::uint64_t, std::string_view) { return false; };
  const auto report = make_statistics(at("m"), at("stats.safetensors"), options);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(names(), (std::vector<std::string>{"m", "text"}));
}

}  // namespace
}  // namespace nibble
