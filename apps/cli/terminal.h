// What the user sees on stderr (progress, warnings) and how Ctrl-C reaches the work.
#pragma once

#include <cstdint>
#include <string>

#include "nibble/progress.h"

namespace nibble::cli {

/// A bar with rate and time left on a terminal, plain lines every few seconds elsewhere; nothing for what takes less
/// than a second. Asks the work to stop when Ctrl-C was pressed.
Progress progress_display();
/// Ends the line of a bar that is showing.
void end_progress();

/// From now on Ctrl-C (and SIGTERM, SIGHUP) sets a flag; again before it was taken, it ends the program, which leaves
/// no unfinished output behind. So does a reader of ours that went away. A file that grows too large is an error of
/// writing.
void watch_for_signals();
/// A line of standard input; false at its end, and when Ctrl-C was or is pressed before the line is there.
bool read_line(std::string& line);
/// Ctrl-C was pressed since the last clear_interrupt(), or asked_to_end().
bool interrupted();
/// Ctrl-C stopped one answer; what comes next may run. SIGTERM and SIGHUP stay.
void clear_interrupt();
/// SIGTERM or SIGHUP came: nothing else is to be begun.
bool asked_to_end();
/// The exit status of what the last signal stopped: 130 for Ctrl-C.
int interrupted_status();

/// Warnings and notes of the library go to stderr; `quiet` drops the notes.
void install_log(bool quiet);

/// "1.3 GB", "512 MB", "17 kB": decimal, three figures.
std::string human_bytes(std::uint64_t bytes);
/// "1.1 B", "135 M"
std::string human_count(double count);
std::string human_seconds(double seconds);

}  // namespace nibble::cli
