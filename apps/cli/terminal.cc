// Progress, logging and interrupts of the command line.
#include "terminal.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>

#include "commands.h"
#include "nibble/log.h"
#include "nibble/output.h"

namespace nibble::cli {
namespace {

std::atomic<int> g_interrupts{0};
std::atomic<int> g_last_signal{SIGINT};
std::atomic<bool> g_asked_to_end{false};  ///< by SIGTERM or SIGHUP
bool g_bar_showing = false;

void on_interrupt(int signal_number) {
  g_last_signal.store(signal_number);
  if (signal_number != SIGINT) g_asked_to_end.store(true);
  if (g_interrupts.fetch_add(1) == 0) return;
  discard_unfinished_outputs();
  _exit(interrupted_status());
}

void on_broken_pipe(int) {
  discard_unfinished_outputs();
  _exit(kExitFailed);
}

/// Reads and writes go on after a signal: what stdio cannot write, it marks as lost for good.
void handle(int signal_number, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal_number, &action, nullptr);
}

using Clock = std::chrono::steady_clock;

/// One task's bar; a new task name starts a new one.
struct Bar {
  std::string task;
  Clock::time_point start;
  Clock::time_point last_draw;
  std::uint64_t done_at_start = 0;  ///< of work that goes on where it stopped
  bool tty = isatty(STDERR_FILENO) != 0;

  bool update(std::string_view what, std::uint64_t done, std::uint64_t total, std::string_view unit) {
    const Clock::time_point now = Clock::now();
    if (what != task) {
      end_progress();
      task = what;
      start = last_draw = now;
      done_at_start = done;
    }
    const double elapsed = std::chrono::duration<double>(now - start).count();
    const double since_draw = std::chrono::duration<double>(now - last_draw).count();
    const bool finished = done >= total;
    if (elapsed >= 1.0 && (since_draw >= (tty ? 0.1 : 5.0) || (finished && tty))) {
      last_draw = now;
      draw(done, total, unit, elapsed);
    }
    if (finished) {
      end_progress();
      task.clear();
    }
    return !interrupted();
  }

  void draw(std::uint64_t done, std::uint64_t total, std::string_view unit, double elapsed) const {
    const double fraction = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0;
    const double rate = static_cast<double>(done - std::min(done, done_at_start)) / elapsed;
    std::string line = fmt::format("{} {:3.0f} %", task, fraction * 100);
    if (rate > 0)
      line += fmt::format("  {} {}/s  {} left", human_count(rate), unit,
                          human_seconds(static_cast<double>(total - done) / rate));
    if (tty) {
      fmt::print(stderr, "\r\x1b[K{}", line);
      std::fflush(stderr);
      g_bar_showing = true;
    } else {
      fmt::print(stderr, "{}\n", line);
    }
  }
};

}  // namespace

Progress progress_display() {
  auto bar = std::make_shared<Bar>();
  return [bar](std::string_view what, std::uint64_t done, std::uint64_t total, std::string_view unit) {
    return bar->update(what, done, total, unit);
  };
}

void end_progress() {
  if (!g_bar_showing) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  g_bar_showing = false;
}

void watch_for_signals() {
  for (const int signal_number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before = {};
    sigaction(signal_number, nullptr, &before);
    if (before.sa_handler != SIG_IGN) handle(signal_number, on_interrupt);  // nohup, or in the background of a script
  }
  handle(SIGPIPE, on_broken_pipe);
  handle(SIGXFSZ, SIG_IGN);
}

bool read_line(std::string& line) {
  static std::string read_ahead;
  constexpr int kLookAgainMs = 200;
  std::size_t end = read_ahead.find('\n');
  bool more = true;
  while (end == std::string::npos && more && !interrupted()) {
    pollfd ready{STDIN_FILENO, POLLIN, 0};
    if (poll(&ready, 1, kLookAgainMs) <= 0) continue;  // a signal may come just before the wait, or to another thread
    char bytes[4096];
    const ssize_t count = read(STDIN_FILENO, bytes, sizeof(bytes));
    more = count > 0;
    if (more) read_ahead.append(bytes, static_cast<std::size_t>(count));
    end = read_ahead.find('\n');
  }
  if (interrupted() || (end == std::string::npos && read_ahead.empty())) return false;
  line = read_ahead.substr(0, end);
  read_ahead.erase(0, end == std::string::npos ? end : end + 1);
  return true;
}

int interrupted_status() { return 128 + g_last_signal.load(); }

bool interrupted() { return g_interrupts.load() > 0 || asked_to_end(); }
bool asked_to_end() { return g_asked_to_end.load(); }
void clear_interrupt() { g_interrupts.store(0); }

void install_log(bool quiet) {
  set_log_sink([quiet](LogLevel level, std::string_view message) {
    if (quiet && level == LogLevel::kInfo) return;
    end_progress();
    fmt::print(stderr, "{}{}\n", level == LogLevel::kWarning ? "warning: " : "note: ", message);
  });
}

std::string human_bytes(std::uint64_t bytes) {
  const auto b = static_cast<double>(bytes);
  if (b >= 1e9) return fmt::format("{:.2f} GB", b / 1e9);
  if (b >= 1e6) return fmt::format("{:.1f} MB", b / 1e6);
  if (b >= 1e3) return fmt::format("{:.1f} kB", b / 1e3);
  return fmt::format("{} B", bytes);
}

std::string human_count(double count) {
  if (count >= 1e9) return fmt::format("{:.2f} G", count / 1e9);
  if (count >= 1e6) return fmt::format("{:.1f} M", count / 1e6);
  if (count >= 1e4) return fmt::format("{:.1f} k", count / 1e3);
  return fmt::format("{:.1f}", count);
}

std::string human_seconds(double seconds) {
  if (seconds >= 3600)
    return fmt::format("{} h {:02} min", static_cast<int>(seconds / 3600), static_cast<int>(seconds) % 3600 / 60);
  if (seconds >= 60)
    return fmt::format("{} min {:02} s", static_cast<int>(seconds / 60), static_cast<int>(seconds) % 60);
  return fmt::format("{:.0f} s", seconds);
}

}  // namespace nibble::cli
