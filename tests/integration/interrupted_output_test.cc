// Outputs of quantize and convert that cannot be finished: interrupted, killed, no room. The previous output stays as
// it was, nothing unfinished bears its name, and no litter is left.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include "io/container_test_support.h"
#include "nibble_process.h"
#include "small_models.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// A folder `out` with previous outputs, beside a model that takes a while.
class InterruptedOutput : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    write_large_model(root_ / "model");
    put_previous_back();
  }
  void TearDown() override {
    umount2((root_ / "small").c_str(), MNT_DETACH);  // of the test that mounts
    FolderTest::TearDown();
  }

  struct Work {
    std::string name;
    std::vector<std::string> args;
  };
  std::vector<Work> all_work() const {
    const std::string model = (root_ / "model").string();
    const std::string folder = (root_ / "out/folder").string();
    const std::string file = (root_ / "out/file.gguf").string();
    return {{"quantize to a folder", {"quantize", model, "-o", folder, "--scheme", "codebook4-row", "-t", "1"}},
            {"quantize to GGUF", {"quantize", model, "-o", file, "--scheme", "q4_0", "--range", "mse", "-t", "1"}},
            {"convert to a folder", {"convert", model, "-o", folder, "--to", "hf:bf16", "-t", "1"}},
            {"convert to GGUF", {"convert", model, "-o", file, "--to", "gguf:f32", "-t", "1"}}};
  }

  void put_previous_back() const {
    fs::remove_all(root_ / "out");
    put("out/folder/config.json", "previous folder");
    put("out/file.gguf", "previous file");
  }

  bool has_unfinished() const {
    for (const std::string& name : listing(root_ / "out"))
      if (name.front() == '.') return true;
    return false;
  }

  /// Starts the work and sends the signal as soon as it has begun to write. Work that is done before the signal comes
  /// (the machine is busy with others) is started again.
  Finished interrupt(const Work& work, int signal_number) {
    for (int attempt = 0; attempt < 50; ++attempt) {
      NibbleProcess process(work.args);
      while (!has_unfinished() && !ended(process.id())) usleep(200);
      kill(process.id(), signal_number);
      const Finished finished = process.finish();
      if (finished.status != 0) return finished;
      put_previous_back();
    }
    ADD_FAILURE() << work.name << ": always done before the signal";
    return {};
  }

  void expect_previous_outputs(const std::string& what) const {
    EXPECT_EQ(contents("out/folder/config.json"), "previous folder") << what;
    EXPECT_EQ(listing(root_ / "out/folder").size(), 1u) << what;
    EXPECT_EQ(contents("out/file.gguf"), "previous file") << what;
  }

 private:
  static bool ended(pid_t child) {
    siginfo_t info = {};
    return waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child;
  }
};

TEST_F(InterruptedOutput, SignalsLeaveThePreviousOutputAndNoLitter) {
  for (const Work& work : all_work()) {
    for (const int signal_number : {SIGINT, SIGTERM}) {
      const Finished finished = interrupt(work, signal_number);
      EXPECT_EQ(finished.status, 128 + signal_number) << work.name << finished.err;
      expect_previous_outputs(work.name);
      EXPECT_EQ(listing(root_ / "out").size(), 2u) << work.name;
    }
  }
}

TEST_F(InterruptedOutput, KillLeavesThePreviousOutputAndTheNextRunCleansUp) {
  for (const Work& work : all_work()) {
    EXPECT_EQ(interrupt(work, SIGKILL).status, 1000 + SIGKILL) << work.name;
    expect_previous_outputs(work.name);
    EXPECT_TRUE(has_unfinished()) << work.name;
    EXPECT_EQ(run_nibble(work.args).status, 0) << work.name;
    EXPECT_EQ(listing(root_ / "out").size(), 2u) << work.name;
    put_previous_back();
  }
}

TEST_F(InterruptedOutput, AFileSizeLimitIsAnErrorThatNamesTheOutput) {
  for (const Work& work : all_work()) {
    const Finished finished = run_nibble(work.args, [] {
      const rlimit limit{1 << 20, 1 << 20};
      setrlimit(RLIMIT_FSIZE, &limit);
    });
    EXPECT_EQ(finished.status, 1) << work.name;
    EXPECT_THAT(finished.err, HasSubstr("larger than the file system or `ulimit -f` allows")) << work.name;
    EXPECT_THAT(finished.err, HasSubstr("out/")) << work.name;
    expect_previous_outputs(work.name);
    EXPECT_EQ(listing(root_ / "out").size(), 2u) << work.name;
  }
}

TEST_F(InterruptedOutput, AFullDiskIsAnErrorThatNamesTheOutput) {
  fs::create_directory(root_ / "small");
  if (mount("nibble_test", (root_ / "small").c_str(), "tmpfs", 0, "size=2m") != 0)
    GTEST_SKIP() << "cannot mount a tmpfs here";
  const std::string model = (root_ / "model").string();
  put("small/folder/config.json", "previous folder");
  put("small/file.gguf", "previous file");
  for (const char* out : {"small/folder", "small/file.gguf"}) {
    const Finished finished = run_nibble({"convert", model, "-o", (root_ / out).string(), "--to",
                                          std::string(out).ends_with("gguf") ? "gguf:f32" : "hf:f32"});
    EXPECT_EQ(finished.status, 1);
    EXPECT_THAT(finished.err, HasSubstr("disk full"));
    EXPECT_THAT(finished.err, HasSubstr("small/"));
  }
  EXPECT_EQ(contents("small/folder/config.json"), "previous folder");
  EXPECT_EQ(contents("small/file.gguf"), "previous file");
  EXPECT_EQ(listing(root_ / "small").size(), 2u);
}

}  // namespace
}  // namespace nibble
