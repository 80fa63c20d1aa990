// Calls of the C interface from Python: the GIL is released in them, Ctrl-C and the caller's progress function are
// looked at from within, and statuses become exceptions.
#pragma once

#include <nanobind/nanobind.h>

#include <chrono>
#include <exception>
#include <string>
#include <utility>

#include "nibble/nibble.h"

namespace nibble::python {

/// Raises the exception for a status, with the message of this thread's last call; nothing for NIBBLE_OK. The classes
/// are in nibble/_errors.py.
void raise_unless_ok(nibble_status status);

/// What is done between the steps of a long call: Python's signal handlers run, and the caller's function is told where
/// the work is. An exception of either ends the work, and is what the call raises.
class Watch {
 public:
  /// `progress`: None, or called with (what, done, total, unit); when it returns False the work stops.
  explicit Watch(nanobind::object progress) : progress_(std::move(progress)) {}

  /// A nibble_progress; `user` is the Watch.
  static int on_progress(void* user, const char* what, std::uint64_t done, std::uint64_t total, const char* unit);

  /// Runs `call` (no Python in it) without the GIL, then raises what there is to raise.
  template <typename F>
  void run(F&& call) {
    nibble_status status = NIBBLE_OK;
    {
      const nanobind::gil_scoped_release release;
      status = call();
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    raise_unless_ok(status);
  }

 private:
  bool look(const char* what, std::uint64_t done, std::uint64_t total, const char* unit);

  nanobind::object progress_;
  std::exception_ptr error_;
  std::chrono::steady_clock::time_point last_look_;
  std::string last_what_;
};

/// Runs Python's signal handlers; raises KeyboardInterrupt where one does.
void check_signals();

/// What the C interface handed out as text, given back.
nanobind::str taken_text(char* text);

}  // namespace nibble::python
