// Calibrated quantization that is killed and goes on: the same bytes as in one go, and nothing lost.
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <random>
#include <thread>

#include "chat_model_test.h"
#include "nibble_process.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

/// Rounds of a test: few in every run, all that were asked for with NIBBLE_LONG_TESTS in the environment.
int rounds(int few, int all) { return std::getenv("NIBBLE_LONG_TESTS") != nullptr ? all : few; }

class Resume : public ChatModelTest {
 protected:
  std::vector<std::string> args(const std::string& out, bool resume, const std::string& samples = "40",
                                const std::string& method = "gptq") const {
    const bool in_budget = method.ends_with(" in a budget");
    const std::string of_method = method.substr(0, method.find(' '));
    std::vector<std::string> list{"quantize",
                                  (root_ / "m").string(),
                                  "-o",
                                  (root_ / out).string(),
                                  "--method",
                                  of_method,
                                  in_budget ? "--target-bpw" : "--scheme",
                                  in_budget             ? "4.5"
                                  : of_method == "wnam" ? "codebook4-row-g16-keep8:5%"
                                                        : "int4-g16-sym",
                                  "--to",
                                  "nibble",
                                  "--samples",
                                  samples,
                                  "--calibration",
                                  (root_ / "text").string(),
                                  "--ctx",
                                  "32",
                                  "-t",
                                  "2",
                                  "--report",
                                  "off"};
    if (method.ends_with(" by gradients")) list.emplace_back("--importance=gradients");
    if (of_method == "autoround") list.emplace_back("--iters=10");
    if (in_budget) list.emplace_back("--candidates=int2-g16-sym,int3-g16-sym,int4-g16-sym,int8-g16-sym");
    if (resume) list.emplace_back("--resume");
    return list;
  }
  std::string bytes_of(const std::string& out) const {
    return contents(out + "/model.safetensors") + contents(out + "/config.json");
  }
};

TEST_F(Resume, KilledAtAnyTimeItEndsWithTheSameBytes) {
  for (const char* method : {"gptq", "best", "gptq in a budget", "rtn in a budget", "autoround", "awq", "awq+gptq",
                             "wnam", "wnam by gradients"}) {
    SCOPED_TRACE(method);
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_EQ(run_nibble(args("whole", false, "40", method)).status, 0);
    const auto one_run = std::chrono::steady_clock::now() - begin;
    std::mt19937 random(1);
    for (int killed = 0, attempts = 0; killed < rounds(12, 200);) {
      NibbleProcess process(args("out", true, "40", method));
      std::this_thread::sleep_for(one_run * static_cast<double>(random() % 1000) / 1000.0);
      kill(process.id(), SIGKILL);
      const Finished finished = process.finish();
      const int status = finished.status;
      ASSERT_TRUE(status == 0 || status == 1000 + SIGKILL) << status << ": " << finished.err;
      killed += status == 0 ? 0 : 1;
      if (status != 0 && ++attempts < 40) continue;
      ASSERT_EQ(run_nibble(args("out", true, "40", method)).status, 0);
      EXPECT_EQ(bytes_of("out"), bytes_of("whole"));
      EXPECT_EQ(listing(root_), (std::vector<std::string>{"m", "out", "text", "whole"})) << "no litter";
      fs::remove_all(root_ / "out");
      attempts = 0;
    }
    for (const char* left : {"whole", "out", "out.nibble-journal"}) fs::remove_all(root_ / left);
  }
}

/// The N-th write, fsync or rename fails, for every N up to 200: a message, the previous output as it was, and the same
/// bytes after resuming.
TEST_F(Resume, CallsThatFail) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer must be the first library";
#endif
  ASSERT_EQ(run_nibble(args("whole", false)).status, 0);
  int failed = 0;
  for (int call = 1; call <= 200; call += rounds(9, 1)) {
    SCOPED_TRACE(call);
    const bool is_full = call % 2 == 0;
    put("out/config.json", "previous");
    const Finished finished = run_nibble(args("out", false), [&] {
      setenv("LD_PRELOAD", NIBBLE_FAILING_IO, 1);
      setenv("NIBBLE_FAIL_CALL", std::to_string(call).c_str(), 1);
      setenv("NIBBLE_FAIL_ERRNO", std::to_string(is_full ? ENOSPC : EIO).c_str(), 1);
    });
    if (finished.status != 0) {
      ++failed;
      EXPECT_EQ(finished.status, 1);
      EXPECT_NE(finished.err.find(is_full ? "disk full" : "Input/output error"), std::string::npos) << finished.err;
      EXPECT_TRUE(contents("out/config.json") == "previous" || bytes_of("out") == bytes_of("whole"));
      EXPECT_EQ(run_nibble(args("out", true)).status, 0);
    }
    if (contents("out/config.json") != "previous") {
      EXPECT_EQ(bytes_of("out"), bytes_of("whole"));
    }
    EXPECT_EQ(run_nibble(args("out", false)).status, 0);
    EXPECT_EQ(bytes_of("out"), bytes_of("whole"));
    EXPECT_EQ(listing(root_), (std::vector<std::string>{"m", "out", "text", "whole"})) << "no litter";
    fs::remove_all(root_ / "out");
  }
  EXPECT_GT(failed, rounds(10, 60));
}

TEST_F(Resume, WholeOutputsAndOtherRuns) {
  ASSERT_EQ(run_nibble(args("out", true)).status, 0) << "nothing to resume: afresh";
  const std::string before = bytes_of("out");
  const Finished again = run_nibble(args("out", true));
  EXPECT_EQ(again.status, 0);
  EXPECT_NE(again.out.find("nothing to resume"), std::string::npos) << again.out;
  EXPECT_EQ(bytes_of("out"), before);

  // An interrupted run leaves its journal beside the previous output, which stays.
  fs::create_directory(root_ / "out.nibble-journal");
  put("out.nibble-journal/run.json", R"({"method": "gptq", "samples": 3})");
  const Finished other = run_nibble(args("out", true));
  EXPECT_EQ(other.status, 2);
  EXPECT_NE(other.err.find("another one: nibble was not there"), std::string::npos) << other.err;
  EXPECT_EQ(bytes_of("out"), before);
  const Finished afresh = run_nibble(args("out", false, "20"));
  EXPECT_EQ(afresh.status, 0) << afresh.err;
  EXPECT_NE(afresh.err.find("is dropped"), std::string::npos) << afresh.err;
  EXPECT_NE(bytes_of("out"), before);
  EXPECT_FALSE(fs::exists(root_ / "out.nibble-journal"));
}

/// Every entry of a journal is damaged in turn: what it held is made again.
TEST_F(Resume, DamagedJournals) {
  for (const char* method : {"gptq", "gptq in a budget", "awq", "awq+gptq"}) {
    SCOPED_TRACE(method);
    ASSERT_EQ(run_nibble(args("whole", false, "40", method)).status, 0);
    for (const char* damage : {"", "[]", "{}", "[[1, 2]]", "nonsense"}) {
      NibbleProcess process(args("out", false, "40", method));
      const fs::path journal = root_ / "out.nibble-journal";
      // As soon as a few entries are there; a run that ends before is as good.
      while (!fs::exists(root_ / "out/config.json") && (!fs::exists(journal) || listing(journal).size() < 12)) continue;
      kill(process.id(), SIGKILL);
      process.finish();
      if (fs::exists(journal))
        for (const std::string& name : listing(journal))
          if (name != "run.json") std::ofstream(journal / name, std::ios::trunc) << damage;
      const Finished resumed = run_nibble(args("out", true, "40", method));
      EXPECT_EQ(resumed.status, 0) << resumed.err;
      EXPECT_EQ(bytes_of("out"), bytes_of("whole"));
      fs::remove_all(root_ / "out");
    }
    fs::remove_all(root_ / "whole");
  }
}

/// What lies in the model's folder besides the model, outputs of ours among it, is not the model.
TEST_F(Resume, OutputsBesideTheModelComeAndGo) {
  std::vector<std::string> list = args("m/q.gguf", false);
  list[7] = "q4_0";
  list[9] = "gguf";
  list.emplace_back("--override=down_proj=f32");
  ASSERT_EQ(run_nibble(list).status, 0);
  const std::string whole = contents("m/q.gguf");
  fs::remove(root_ / "m/q.gguf");
  NibbleProcess process(list);
  const fs::path journal = root_ / "m/q.gguf.nibble-journal";
  while (!fs::exists(root_ / "m/q.gguf") && (!fs::exists(journal) || listing(journal).size() < 4))
    std::this_thread::yield();
  kill(process.id(), SIGKILL);
  process.finish();
  put("m/.q.gguf.77-0.nibble-unfinished", "what a kill leaves");
  put("m/other.gguf.report.json", "{}");
  list.emplace_back("--resume");
  const Finished resumed = run_nibble(list);
  EXPECT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(contents("m/q.gguf"), whole);
}

TEST_F(Resume, ReportsThatAreMissingAreMade) {
  put("long", random_text(40000));
  std::vector<std::string> list = args("out", false);
  list.back() = "full";
  list.insert(list.end(), {"--report-text", (root_ / "long").string()});
  ASSERT_EQ(run_nibble(list).status, 0);
  const std::string whole = bytes_of("out");
  ASSERT_TRUE(fs::exists(root_ / "out.report.json"));
  for (const char* name : {"out", "out.report.json", "out.report.html"}) fs::remove_all(root_ / name);
  NibbleProcess process(list);
  while (!fs::exists(root_ / "out")) std::this_thread::yield();
  kill(process.id(), SIGKILL);
  process.finish();
  list.emplace_back("--resume");
  EXPECT_EQ(run_nibble(list).status, 0);
  EXPECT_EQ(bytes_of("out"), whole);
  EXPECT_TRUE(fs::exists(root_ / "out.report.json"));
  EXPECT_FALSE(fs::exists(root_ / "out.nibble-journal"));
}

/// An output inside the model's folder takes over what belongs to the model, not the run's own files or other outputs.
TEST_F(Resume, OutputsInsideTheModelHoldNoOutputs) {
  for (const char* out : {"m/q", "m/other", "m/q"}) {
    std::vector<std::string> list = args(out, false);
    list.back() = "quick";
    const Finished finished = run_nibble(list);
    ASSERT_EQ(finished.status, 0) << finished.err;
  }
  ASSERT_TRUE(fs::exists(root_ / "m/q.report.json"));
  std::vector<std::string> expected = listing(root_ / "m");
  std::erase_if(expected, [](const std::string& name) { return name.starts_with("q") || name.starts_with("other"); });
  EXPECT_EQ(listing(root_ / "m/q"), expected);
}

TEST_F(Resume, MistakesLeaveNoJournal) {
  for (const char* flag : {"--samples=0", "--max-memory=1MB", "--calibration=/nowhere"}) {
    std::vector<std::string> list = args("out", false);
    if (std::string(flag).starts_with("--samples")) list.erase(list.begin() + 10, list.begin() + 12);
    list.emplace_back(flag);
    EXPECT_NE(run_nibble(list).status, 0) << flag;
    EXPECT_EQ(listing(root_), (std::vector<std::string>{"m", "text"})) << flag;
  }
}

}  // namespace
}  // namespace nibble
