// A conversation on a terminal: Ctrl-C stops the answer, not the program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>

#include <chrono>

#include "io/container_test_support.h"
#include "nibble_process.h"
#include "small_models.h"

namespace nibble {
namespace {

/// `nibble run` behind a pseudo-terminal.
class Terminal {
 public:
  explicit Terminal(const std::vector<std::string>& args) {
    child_ = forkpty(&fd_, nullptr, nullptr, nullptr);
    if (child_ == 0) NibbleProcess::become(args);
  }
  ~Terminal() { close(fd_); }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// There are no pseudo-terminals where /dev/pts is not mounted.
  bool opened() const { return child_ > 0; }

  void type(std::string_view text) const { ASSERT_EQ(write(fd_, text.data(), text.size()), std::ssize(text)); }

  /// Reads until `done` holds of what came since the last call; false when the program ends first, or after a minute.
  bool read_until(const std::function<bool(std::string_view)>& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    std::string text;
    while (!done(text)) {
      pollfd ready{fd_, POLLIN, 0};
      if (std::chrono::steady_clock::now() > end || poll(&ready, 1, 1000) < 0) return false;
      if (ready.revents == 0) continue;
      std::array<char, 4096> buffer{};
      const ssize_t count = read(fd_, buffer.data(), buffer.size());
      if (count <= 0) return false;
      text.append(buffer.data(), static_cast<std::size_t>(count));
    }
    return true;
  }
  bool read_until(std::string_view words) {
    return read_until([words](std::string_view text) { return text.find(words) != std::string_view::npos; });
  }

  pid_t child() const { return child_; }

  int wait() {
    read_until([](std::string_view) { return false; });
    return NibbleProcess::wait_for(child_);
  }

 private:
  int fd_ = -1;
  pid_t child_ = -1;
};

class Chat : public FolderTest {};

TEST_F(Chat, InterruptsStopTheAnswerNotTheProgram) {
  write_chat_model(root_ / "m");
  Terminal terminal({"run", (root_ / "m").string(), "--ignore-eos", "-s", "1", "-t", "1"});
  if (!terminal.opened()) GTEST_SKIP() << "this machine has no pseudo-terminals";
  ASSERT_TRUE(terminal.read_until("> "));
  for (int round = 0; round < 3; ++round) {
    terminal.type("Hello\n");
    // The answer goes on for a million tokens.
    ASSERT_TRUE(terminal.read_until([](std::string_view text) { return text.size() > 100; }));
    terminal.type("\x03");
    ASSERT_TRUE(terminal.read_until("\n> ")) << "no prompt after Ctrl-C, round " << round;
  }
  terminal.type("\x03");  // at the prompt: nothing is lost either
  ASSERT_TRUE(terminal.read_until("\n> "));
  terminal.type("/exit\n");
  EXPECT_EQ(terminal.wait(), 0);
}

TEST_F(Chat, TerminationEndsTheConversation) {
  write_chat_model(root_ / "m");
  for (const bool in_an_answer : {false, true}) {
    Terminal terminal({"run", (root_ / "m").string(), "--ignore-eos", "-s", "1", "-t", "1"});
    if (!terminal.opened()) GTEST_SKIP() << "this machine has no pseudo-terminals";
    ASSERT_TRUE(terminal.read_until("> "));
    if (in_an_answer) {
      terminal.type("Hello\n");
      ASSERT_TRUE(terminal.read_until([](std::string_view text) { return text.size() > 100; }));
    }
    kill(terminal.child(), SIGTERM);
    EXPECT_EQ(terminal.wait(), 128 + SIGTERM);
  }
}

TEST_F(Chat, InterruptingASingleAnswerEndsTheProgram) {
  write_chat_model(root_ / "m");
  NibbleProcess process({"run", (root_ / "m").string(), "-p", "Hello", "--ignore-eos", "-t", "1"});
  process.wait_for_output();
  kill(process.id(), SIGINT);
  EXPECT_EQ(process.finish().status, 130);
}

}  // namespace
}  // namespace nibble
