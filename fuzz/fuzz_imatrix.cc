// Fuzzes the readers of importance matrices; what they accept must have a mean for every column.
#include <cmath>
#include <cstdlib>

#include "fuzz_file.h"
#include "io/imatrix.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const nibble::FuzzFile input(data, size);
  const auto read = nibble::read_imatrix(input.path());
  if (!read.ok()) return 0;
  for (const nibble::ImatrixEntry& entry : read->entries) {
    if (entry.matrices < 1 || entry.columns() * entry.matrices != static_cast<std::int64_t>(entry.sums.size()) ||
        entry.counts.size() != static_cast<std::size_t>(entry.matrices))
      std::abort();
    if (read->find(entry.name) == nullptr) std::abort();
    for (const float mean : entry.means())
      if (!(mean >= 0)) std::abort();
  }
  return 0;
}
