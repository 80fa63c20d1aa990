// Round-to-nearest over every scheme: the quantizer that needs no data.
#pragma once

#include <functional>

#include "base/thread_pool.h"
#include "quant/rtn/range.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

struct RtnOptions {
  RangeRule range;
};

/// What a quantizer met on the way.
struct RtnReport {
  std::int64_t non_finite = 0;  ///< NaN (taken as 0) and infinities (taken as the group's largest finite magnitude)
};

/// Success when round-to-nearest can produce `scheme`; else why not, with the way out.
Status check_rtn_scheme(const QuantScheme& scheme);

/// Rows that can be quantized by themselves: 1, the height of the scheme's blocks, or 0 when the whole matrix is needed
/// (scales or tables per tensor, flat groups, double quantization).
std::int64_t rtn_row_step(const QuantScheme& scheme);

/// Quantizes rows [row_begin, row_begin + row_count) given as float32 `weights` [row_count, cols] (made finite in
/// place) into `out`, which it allocates. The range must suit rtn_row_step(). Runs on the calling thread.
RtnReport quantize_rtn_rows(float* weights, std::int64_t rows, std::int64_t cols, std::int64_t row_begin,
                            std::int64_t row_count, const QuantScheme& scheme, const RtnOptions& options,
                            QuantizedMatrix& out);

/// The source seen through round-to-nearest: decode() quantizes the rows asked for, so that a float model can be
/// quantized while it is loaded. Schemes that need the whole matrix are quantized at once, here.
Result<MatrixPtr> quantize_rtn(MatrixPtr source, const QuantScheme& scheme, const RtnOptions& options,
                               ThreadPool& pool);

}  // namespace nibble
