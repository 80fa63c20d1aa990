// What folders and GGUF files share in streaming the targets of a model.
#pragma once

#include "quant/matrix_stream.h"
#include "quant/model_output.h"

namespace nibble {

/// A target to be streamed as `matrix`, which was made from `original`: the target's own, or those in another order of
/// rows. The target and both matrices are referred to.
StreamedMatrix streamed_matrix(const ModelFiles& files, const MatrixTarget& target, const OutputOptions& options,
                               const MatrixSource& matrix, const MatrixSource& original);

/// Counts weights and tells the client; the error kCancelled when the client says stop. The arguments are referred to.
std::function<Status(std::int64_t weights)> progress_of(const ModelFiles& files, const OutputOptions& options);

}  // namespace nibble
