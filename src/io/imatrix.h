// Importance matrices: for every weight matrix the sum of squares of what it was multiplied with, per input column.
// Read in both forms of llama.cpp, the GGUF one and the legacy .dat; written as GGUF.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble {

struct ImatrixEntry {
  std::string name;           ///< the weight's tensor: "blk.0.attn_q.weight"
  std::int64_t matrices = 1;  ///< more than 1 for stacked experts
  std::vector<float> sums;    ///< [matrices, columns] sums of squares
  std::vector<float> counts;  ///< [matrices] inputs that were summed

  std::int64_t columns() const { return static_cast<std::int64_t>(sums.size()) / matrices; }
  /// Mean squares, [matrices, columns]; ones for a matrix that saw no input.
  std::vector<float> means() const;
};

struct Imatrix {
  std::vector<std::string> datasets;
  std::uint32_t chunks = 0;      ///< 0: the file does not say
  std::uint32_t chunk_size = 0;  ///< tokens; 0: the file does not say
  std::vector<ImatrixEntry> entries;

  const ImatrixEntry* find(std::string_view name) const;
};

/// Reads either form, told apart by the first bytes. The legacy form holds means times a number of calls; they become
/// sums and counts with the same means. Refuses, naming the tensor: sums without counts and the reverse, shapes that do
/// not fit each other, numbers that are negative or not finite, names that occur twice.
Result<Imatrix> read_imatrix(const std::filesystem::path& path);

/// Writes the GGUF form of llama.cpp: X.in_sum2 and X.counts by name. Appears whole or not at all.
Status write_imatrix(const Imatrix& imatrix, const std::filesystem::path& path);

}  // namespace nibble
