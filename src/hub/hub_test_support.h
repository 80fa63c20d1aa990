// A hub of one's own for tests: tests/integration/hub_server.py as a child process.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "io/container_test_support.h"

namespace nibble {

/// Starts the server on a folder, with TLS where a certificate is given; it ends with the object, or with this process.
class HubServer {
 public:
  explicit HubServer(const std::filesystem::path& folder, const char* certificate = nullptr) {
    int input[2];
    int output[2];
    // Another server must not hold this one's input open.
    if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0) return;
    child_ = fork();
    if (child_ == 0) {
      dup2(input[0], STDIN_FILENO);
      dup2(output[1], STDOUT_FILENO);
      execlp("python3", "python3", NIBBLE_SOURCE_DIR "/tests/integration/hub_server.py", folder.c_str(), certificate,
             nullptr);
      _exit(127);
    }
    close(input[0]);
    close(output[1]);
    input_ = input[1];
    char c = 0;
    while (read(output[0], &c, 1) == 1 && c != '\n') endpoint_ += c;
    close(output[0]);
  }
  ~HubServer() {
    if (input_ >= 0) close(input_);
    if (child_ > 0) waitpid(child_, nullptr, 0);
  }
  HubServer(const HubServer&) = delete;
  HubServer& operator=(const HubServer&) = delete;

  /// Empty when it could not be started (no python3).
  const std::string& endpoint() const { return endpoint_; }

 private:
  pid_t child_ = -1;
  int input_ = -1;
  std::string endpoint_;
};

}  // namespace nibble
