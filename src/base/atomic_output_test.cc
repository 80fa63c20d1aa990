// Tests of outputs that appear whole or not at all: replaced, discarded, disk full, killed in the middle.
#include "base/atomic_output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>

namespace nibble {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string contents(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

void put(const fs::path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

/// A folder of its own for each test.
class AtomicOutput : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "nibble_atomic_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override {
    umount2(root_.c_str(), MNT_DETACH);  // of the test that mounts
    fs::remove_all(root_);
  }

  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(root_), fs::directory_iterator{}));
  }

  fs::path root_;
};

/// Runs `work` in a child; returns its exit status, or 1000 + the signal that ended it.
int in_child(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TEST_F(AtomicOutput, FileAppearsOnlyOnCommit) {
  const fs::path target = root_ / "out.bin";
  put(target, "previous");
  {
    auto file = AtomicFile::create(target);
    ASSERT_TRUE(file.ok()) << file.error().message;
    ASSERT_TRUE(file->append(bytes_of("abc")).ok());
    EXPECT_EQ(contents(target), "previous");
  }
  EXPECT_EQ(entries(), 1u);  // discarded without a trace
  auto file = AtomicFile::create(target);
  ASSERT_TRUE(file.ok());
  AtomicFile moved = std::move(*file);
  ASSERT_TRUE(moved.reserve(100).ok());
  ASSERT_TRUE(moved.write_at(6, bytes_of("gh")).ok());
  ASSERT_TRUE(moved.write_at(0, bytes_of("abcdef")).ok());
  ASSERT_TRUE(moved.append(bytes_of("i")).ok());
  EXPECT_EQ(moved.size(), 9u);
  ASSERT_TRUE(moved.commit().ok());
  EXPECT_EQ(contents(target), "abcdefghi");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicOutput, FileNamesWhatIsWrong) {
  const auto missing = AtomicFile::create(root_ / "no" / "out.bin");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_NE(missing.error().message.find((root_ / "no").string()), std::string::npos);
  EXPECT_EQ(AtomicFile::create(root_).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(AtomicFile::create("").error().code, ErrorCode::kInvalidArgument);
}

TEST_F(AtomicOutput, FileBehindALinkIsReplacedNotTheLink) {
  fs::create_directory(root_ / "disk");
  put(root_ / "disk" / "real.bin", "old");
  fs::create_symlink("disk/real.bin", root_ / "link.bin");
  auto file = AtomicFile::create(root_ / "link.bin");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->append(bytes_of("new")).ok());
  ASSERT_TRUE(file->commit().ok());
  EXPECT_TRUE(fs::is_symlink(root_ / "link.bin"));
  EXPECT_EQ(contents(root_ / "disk" / "real.bin"), "new");
}

TEST_F(AtomicOutput, FileSizeLimitIsAnErrorThatNamesTheTarget) {
  const fs::path target = root_ / "out.bin";
  const int status = in_child([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 16, 1 << 16};
    setrlimit(RLIMIT_FSIZE, &limit);
    auto file = AtomicFile::create(target);
    if (!file.ok()) return 1;
    const std::vector<std::byte> block(40'000);
    if (!file->append(block).ok()) return 2;
    const Status late = file->append(block);  // written in part, then refused
    if (late.ok() || late.error().code != ErrorCode::kIo) return 3;
    return late.error().message.find("out.bin") == std::string::npos ? 4 : 0;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(entries(), 0u);
}

TEST_F(AtomicOutput, FullDiskIsSaidBeforeAndDuringTheWork) {
  if (mount("nibble_test", root_.c_str(), "tmpfs", 0, "size=256k") != 0) GTEST_SKIP() << "cannot mount a tmpfs here";
  {
    put(root_ / "out.bin", "previous");
    auto file = AtomicFile::create(root_ / "out.bin");
    ASSERT_TRUE(file.ok());
    const Status early = file->reserve(1 << 20);
    ASSERT_FALSE(early.ok());
    EXPECT_NE(early.error().message.find("disk full"), std::string::npos) << early.error().message;
    const std::vector<std::byte> block(100'000);
    Status late;
    for (int i = 0; i < 4 && late.ok(); ++i) late = file->append(block);
    ASSERT_FALSE(late.ok());
    EXPECT_NE(late.error().message.find("out.bin: disk full"), std::string::npos) << late.error().message;
    EXPECT_EQ(late.error().code, ErrorCode::kIo);
  }
  EXPECT_EQ(contents(root_ / "out.bin"), "previous");
  EXPECT_EQ(entries(), 1u);
}

/// A child writes a file and a folder, says that it is ready, and waits for the signal.
class Killed : public AtomicOutput {
 protected:
  void SetUp() override {
    AtomicOutput::SetUp();
    put(root_ / "out.gguf", "previous file");
    fs::create_directory(root_ / "model");
    put(root_ / "model" / "config.json", "previous folder");
  }

  int kill_writer(int signal_number) {
    int ready[2];
    if (pipe(ready) != 0) return -1;
    const pid_t child = fork();
    if (child == 0) _exit(write_until_killed(ready[1]));
    char byte = 0;
    if (read(ready[0], &byte, 1) != 1) return -1;
    kill(child, signal_number);
    int status = 0;
    waitpid(child, &status, 0);
    close(ready[0]);
    close(ready[1]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  void expect_previous_outputs() const {
    EXPECT_EQ(contents(root_ / "out.gguf"), "previous file");
    EXPECT_EQ(contents(root_ / "model" / "config.json"), "previous folder");
    EXPECT_EQ(std::distance(fs::directory_iterator(root_ / "model"), fs::directory_iterator{}), 1);
  }

 private:
  int write_until_killed(int ready) const {
    signal(SIGINT, [](int) {
      remove_unfinished_outputs();
      _exit(130);
    });
    auto file = AtomicFile::create(root_ / "out.gguf");
    auto folder = AtomicFolder::create(root_ / "model");
    if (!file.ok() || !folder.ok()) return 1;
    fs::create_directory(folder->path() / "layers.0");
    for (int i = 0; i < 300; ++i) put(folder->path() / "layers.0" / (std::to_string(i) + ".safetensors"), "x");
    auto shard = AtomicFile::create(folder->path() / "model.safetensors");
    if (!shard.ok() || !shard->append(bytes_of("half")).ok() || !folder->write_file("config.json", "{}").ok()) return 2;
    if (!file->append(bytes_of("half")).ok()) return 3;
    if (write(ready, "r", 1) != 1) return 4;
    for (;;) pause();
  }
};

TEST_F(Killed, InterruptLeavesThePreviousOutputsAndNothingElse) {
  EXPECT_EQ(kill_writer(SIGINT), 130);
  expect_previous_outputs();
  EXPECT_EQ(entries(), 2u);
}

TEST_F(Killed, KillLeavesThePreviousOutputsAndTheNextRunCleansUp) {
  EXPECT_EQ(kill_writer(SIGKILL), 1000 + SIGKILL);
  expect_previous_outputs();
  EXPECT_EQ(entries(), 4u);  // the temporaries: nobody could remove them
  put(root_ / ".out.gguf.notes.nibble-unfinished", "a user's");
  auto busy = AtomicFile::create(root_ / "out.gguf");  // at work: not a leftover
  ASSERT_TRUE(busy.ok());
  ASSERT_TRUE(AtomicFile::create(root_ / "out.gguf").ok());
  ASSERT_TRUE(AtomicFolder::create(root_ / "model").ok());
  EXPECT_EQ(entries(), 4u);  // both outputs, the user's file, the one at work
  ASSERT_TRUE(busy->append(bytes_of("new")).ok());
  ASSERT_TRUE(busy->commit().ok());
  EXPECT_EQ(contents(root_ / "out.gguf"), "new");
}

TEST_F(AtomicOutput, FolderReplacesInOneStep) {
  const fs::path target = root_ / "model";
  for (const std::string round : {"first", "second"}) {
    auto folder = AtomicFolder::create(target.string() + "/");
    ASSERT_TRUE(folder.ok()) << folder.error().message;
    ASSERT_TRUE(folder->write_file("config.json", round).ok());
    ASSERT_TRUE(folder->write_file(round + ".safetensors", "x").ok());
    EXPECT_FALSE(folder->write_file("../config.json", "x").ok());
    ASSERT_TRUE(folder->commit().ok());
    EXPECT_EQ(contents(target / "config.json"), round);
  }
  EXPECT_FALSE(fs::exists(target / "first.safetensors"));
  EXPECT_EQ(entries(), 1u);
  { ASSERT_TRUE(AtomicFolder::create(target).ok()); }
  EXPECT_EQ(contents(target / "config.json"), "second");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicOutput, FolderRefusesToReplaceWhatIsNotAModel) {
  const fs::path target = root_ / "work";
  fs::create_directory(target);
  EXPECT_TRUE(AtomicFolder::create(target).ok()) << "an empty folder may be filled";
  put(target / "README.md", "x");
  EXPECT_EQ(AtomicFolder::create(target).error().code, ErrorCode::kInvalidArgument);
  put(target / "config.json", "{}");
  EXPECT_TRUE(AtomicFolder::create(target).ok());
  put(target / "thesis.tex", "x");
  const auto refused = AtomicFolder::create(target);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("thesis.tex"), std::string::npos);
  fs::remove(target / "thesis.tex");
  fs::create_directory(target / "src");
  put(target / "src" / "main.cc", "x");
  EXPECT_FALSE(AtomicFolder::create(target).ok());
  fs::remove_all(target / "src");
  auto folder = AtomicFolder::create(target);
  ASSERT_TRUE(folder.ok());
  put(target / "late.odt", "x");  // appeared while we worked
  EXPECT_FALSE(folder->commit().ok());
  EXPECT_TRUE(fs::exists(target / "late.odt"));
  EXPECT_EQ(AtomicFolder::create(target / "config.json").error().code, ErrorCode::kInvalidArgument);
}

/// Makes renameat2(..., RENAME_EXCHANGE) fail as file systems without it do.
bool forbid_exchange() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args) + 4 * 8),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RENAME_EXCHANGE, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{sizeof(program) / sizeof(program[0]), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST_F(AtomicOutput, FolderReplacesWithoutExchangeToo) {
  const fs::path target = root_ / "model";
  const int status = in_child([&] {
    if (!forbid_exchange()) return 77;
    for (const std::string round : {"first", "second"}) {
      auto folder = AtomicFolder::create(target);
      if (!folder.ok() || !folder->write_file("config.json", round).ok() || !folder->commit().ok()) return 1;
    }
    return 0;
  });
  if (status == 77) GTEST_SKIP() << "no seccomp here";
  EXPECT_EQ(status, 0);
  EXPECT_EQ(contents(target / "config.json"), "second");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicOutput, RemoveUnfinishedOutputsSparesAForkedParentsOutputs) {
  auto file = AtomicFile::create(root_ / "out.bin");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(in_child([] {
              remove_unfinished_outputs();
              return 0;
            }),
            0);
  EXPECT_EQ(entries(), 1u);
  remove_unfinished_outputs();
  EXPECT_EQ(entries(), 0u);
  EXPECT_FALSE(file->commit().ok());
}

}  // namespace
}  // namespace nibble
