// Runs the program `nibble` as a user's shell would: arguments, standard input, what it printed, how it ended.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace nibble {

struct Finished {
  int status = -1;  ///< exit status, or 1000 + the signal that ended it
  std::string out;
  std::string err;
};

/// A running `nibble`. `prepare` runs in the child before the program (limits, working folder).
class NibbleProcess {
 public:
  explicit NibbleProcess(const std::vector<std::string>& args, const std::function<void()>& prepare = {}) {
    if (pipe(out_.data()) != 0 || pipe(err_.data()) != 0) std::abort();
    child_ = fork();
    if (child_ == 0) run(args, prepare);
    close(out_[1]);
    close(err_[1]);
  }
  NibbleProcess(const NibbleProcess&) = delete;
  NibbleProcess& operator=(const NibbleProcess&) = delete;

  pid_t id() const { return child_; }

  /// Waits until it has printed something.
  void wait_for_output() const {
    pollfd ready{out_[0], POLLIN, 0};
    while (poll(&ready, 1, -1) != 1) continue;
  }

  /// Reads all that it prints, and waits for its end.
  Finished finish() {
    Finished finished;
    std::array<pollfd, 2> ends{{{out_[0], POLLIN, 0}, {err_[0], POLLIN, 0}}};
    std::array<std::string*, 2> texts{&finished.out, &finished.err};
    for (int open = 2; open > 0;) {
      if (poll(ends.data(), ends.size(), -1) < 0) continue;
      for (std::size_t i = 0; i < ends.size(); ++i) {
        if (ends[i].fd < 0 || ends[i].revents == 0) continue;
        std::array<char, 65536> buffer{};
        const ssize_t count = read(ends[i].fd, buffer.data(), buffer.size());
        if (count > 0) {
          texts[i]->append(buffer.data(), static_cast<std::size_t>(count));
        } else {
          close(ends[i].fd);
          ends[i].fd = -1;
          --open;
        }
      }
    }
    finished.status = wait_for(child_);
    return finished;
  }

  static int wait_for(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  /// Becomes the program; for children.
  [[noreturn]] static void become(const std::vector<std::string>& args) {
    for (const int signal_number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ}) signal(signal_number, SIG_DFL);
    std::vector<char*> argv{const_cast<char*>("nibble")};
    for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
    argv.push_back(nullptr);
    execv(NIBBLE_PROGRAM, argv.data());
    _exit(127);
  }

 private:
  [[noreturn]] void run(const std::vector<std::string>& args, const std::function<void()>& prepare) const {
    const int nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, STDIN_FILENO);
    dup2(out_[1], STDOUT_FILENO);
    dup2(err_[1], STDERR_FILENO);
    for (const int fd : {out_[0], out_[1], err_[0], err_[1], nothing}) close(fd);
    if (prepare) prepare();
    become(args);
  }

  std::array<int, 2> out_{};
  std::array<int, 2> err_{};
  pid_t child_ = -1;
};

inline Finished run_nibble(const std::vector<std::string>& args, const std::function<void()>& prepare = {}) {
  return NibbleProcess(args, prepare).finish();
}

/// What a folder holds, hidden files too, sorted.
inline std::vector<std::string> listing(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace nibble
