// Calibrated quantization that is killed and goes on: the same bytes as in one go, and nothing lost.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

#include "io/container_test_support.h"
#include "nibble_process.h"
#include "small_models.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

class Resume : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    write_chat_model(root_ / "m");
    std::mt19937 random(3);
    std::string text;
    for (int i = 0; i < 3000; ++i) text += static_cast<char>(' ' + random() % 90);
    put("text", text);
  }

  std::vector<std::string> args(const std::string& out, bool resume, const std::string& samples = "40") const {
    std::vector<std::string> list{"quantize",
                                  (root_ / "m").string(),
                                  "-o",
                                  (root_ / out).string(),
                                  "--method",
                                  "gptq",
                                  "--scheme",
                                  "int4-g16-sym",
                                  "--to",
                                  "nibble",
                                  "--samples",
                                  samples,
                                  "--calibration",
                                  (root_ / "text").string(),
                                  "--ctx",
                                  "32",
                                  "-t",
                                  "2"};
    if (resume) list.emplace_back("--resume");
    return list;
  }
  std::string bytes_of(const std::string& out) const {
    return contents(out + "/model.safetensors") + contents(out + "/config.json");
  }
};

TEST_F(Resume, KilledAtAnyTimeItEndsWithTheSameBytes) {
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(run_nibble(args("whole", false)).status, 0);
  const auto one_run = std::chrono::steady_clock::now() - begin;
  std::mt19937 random(1);
  int killed = 0;
  for (int round = 0; round < 15; ++round) {
    bool done = false;
    for (int attempt = 0; !done && attempt < 40; ++attempt) {
      NibbleProcess process(args("out", true));
      std::this_thread::sleep_for(one_run * static_cast<double>(random() % 1000) / 1000.0);
      kill(process.id(), SIGKILL);
      const int status = process.finish().status;
      ASSERT_TRUE(status == 0 || status == 1000 + SIGKILL) << status;
      killed += status == 0 ? 0 : 1;
      done = status == 0;
    }
    if (!done) {
      ASSERT_EQ(run_nibble(args("out", true)).status, 0);
    }
    EXPECT_EQ(bytes_of("out"), bytes_of("whole"));
    EXPECT_EQ(listing(root_), (std::vector<std::string>{"m", "out", "text", "whole"})) << "no litter";
    fs::remove_all(root_ / "out");
  }
  EXPECT_GT(killed, 5);
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
