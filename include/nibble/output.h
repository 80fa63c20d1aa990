// What a client needs beside the library's own outputs: files and copies of models that appear whole or not at all, and
// leaving no litter when a signal ends the program.
#pragma once

#include <string>
#include <string_view>

#include "nibble/progress.h"
#include "nibble/result.h"

namespace nibble {

/// Writes a file whole: a previous one stays intact until the new one is complete, and on any error.
Status write_output_file(const std::string& path, std::string_view contents);

/// Copies a model, a folder (without what begins with a dot) or a file, to `out`, under the rules of quantize() for
/// what may be replaced.
Status copy_model(const std::string& model, const std::string& out, const Progress& progress);

/// Removes what this process has begun to write and not finished. Async-signal-safe: for handlers that exit.
void discard_unfinished_outputs() noexcept;

}  // namespace nibble
