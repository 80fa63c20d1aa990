// A whole quantized matrix as a file of the journal: a line of JSON (scheme, shape, notes, sizes), then the bytes of
// its codes and planes as they are in memory. Read by the build that wrote it only.
#pragma once

#include <filesystem>

#include "base/json.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// Writes an entry; it is there as a whole once this returns.
Status write_journal_entry(const std::filesystem::path& path, const QuantizedMatrix& matrix, const Json& notes);

struct JournalEntry {
  QuantizedMatrix matrix;
  Json notes;
};
/// Errors: kNotFound, kIo, kCorrupt.
Result<JournalEntry> read_journal_entry(const std::filesystem::path& path);

}  // namespace nibble
