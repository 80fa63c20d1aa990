// Choosing scales and codes for ggml's blocks: the searches behind k-quants and IQ4, and the 32-element types with and
// without importance. Searches have one block per vector lane, so every lane adds in element order and gives the bits
// of the scalar search on any instruction set.
#pragma once

#include <cstdint>
#include <span>

#include "kernel/kernel_info.h"

namespace nibble::kernel {

/// Blocks that follow each other in rows of `blocks_per_row`; the first one begins a row.
struct GgmlSearchInput {
  const float* values = nullptr;  ///< [blocks, values per block], finite
  std::int64_t blocks = 0;
  std::int64_t blocks_per_row = 1;
  const float* importance = nullptr;        ///< one per column, finite and at least 0; null: none
  const float* row_mean_squares = nullptr;  ///< one per row; only of 32-element types with importance
  bool refine = false;  ///< with importance: improve what ggml's search found where the weighted error falls
};

/// What describes the blocks, numbered as the format's unpacked parts are (format/ggml_blocks_parts.h).
struct GgmlSearchOutput {
  std::uint8_t* codes = nullptr;         ///< [blocks, values per block]
  float* scales = nullptr;               ///< [blocks], each an f16 number where there is a search
  std::uint8_t* scale_codes = nullptr;   ///< [blocks, sub-blocks]; not of 32-element types
  float* offsets = nullptr;              ///< [blocks], added to the product: minus ggml's dmin; types with offsets
  std::uint8_t* offset_codes = nullptr;  ///< [blocks, sub-blocks]
};

using GgmlSearch = void (*)(const GgmlSearchInput& in, const GgmlSearchOutput& out) noexcept;

/// Without `refine` the results are ggml's reference quantizers' (gguf.md 4), compiled without contraction: the same
/// float32 operations in the same order. Scales of searches beyond f16 become its largest number; the 32-element types
/// without importance (and Q8_0) leave scales and offsets as they are before rounding to f16.
///
/// With `refine` (k-quants and IQ4): alternates weighted least squares of the block's scale (and minimum) with steps of
/// one in the sub-blocks' scale codes, and keeps the result where the weighted squared error is smaller. Weights are
/// those of ggml's search: importance * sqrt(s + x^2), for Q6_K the importance alone.
struct GgmlSearchKernel {
  KernelInfo info;
  GgmlSearch q4_0, q4_1, q5_0, q5_1;
  GgmlSearch q8_0;  ///< takes no notice of importance
  GgmlSearch q2_k, q3_k, q4_k, q5_k, q6_k;
  GgmlSearch iq4_nl, iq4_xs;
};

/// All kernels in this build, slowest first.
std::span<const GgmlSearchKernel* const> ggml_search_kernels();

/// The kernel for this machine.
const GgmlSearchKernel& ggml_search_kernel();

}  // namespace nibble::kernel
