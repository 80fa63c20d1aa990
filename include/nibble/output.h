// What a client needs beside the library's own outputs: files that appear whole or not at all, and leaving no litter
// when a signal ends the program.
#pragma once

#include <string>
#include <string_view>

#include "nibble/result.h"

namespace nibble {

/// Writes a file whole: a previous one stays intact until the new one is complete, and on any error.
Status write_output_file(const std::string& path, std::string_view contents);

/// Removes what this process has begun to write and not finished. Async-signal-safe: for handlers that exit.
void discard_unfinished_outputs() noexcept;

}  // namespace nibble
