// Codebooks of a matrix's own and the scales that go with them, fitted in turn (algorithms.md 6): the quantizer of
// WNAM, and the start of any method that feeds errors into codebook codes.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

struct CodebookOptions {
  int rounds = 4;  ///< of scales for the codebook and a codebook for the scales; ended early where nothing is gained
};

/// Success for codebooks of 1 to 8 bits per row, per run of columns, per tensor, or picked from a bank of the tensor's;
/// with plain scales (and offsets) per row or group of columns, each within one codebook's weights, or with none.
Status check_codebook_scheme(const QuantScheme& scheme);

/// The scheme, whose codebook is the tensor's (codebook4-tensor-g32), with a bank of `tables` of them from which each
/// run of `columns` picks one. No short name says it.
QuantScheme with_codebook_bank(const QuantScheme& scheme, int tables, std::int64_t columns);

/// The scheme with an offset beside each scale. No short name says it.
QuantScheme with_offsets(const QuantScheme& scheme);

/// Quantizes `weights` [rows, cols], finite, to codes of least sum of importance * (w - value)^2 that the rounds come
/// to; importance is positive, [cols] or [rows, cols]. Tables are rounded to their type before scales and codes are
/// chosen, scales before codes. The same bits for any number of threads.
QuantizedMatrix fit_codebooks(std::span<const float> weights, std::int64_t rows, std::int64_t cols,
                              std::span<const float> importance, const QuantScheme& scheme,
                              const CodebookOptions& options, ThreadPool& pool);

}  // namespace nibble
