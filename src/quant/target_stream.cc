#include "quant/target_stream.h"

namespace nibble {

StreamedMatrix streamed_matrix(const ModelFiles& files, const MatrixTarget& target, const OutputOptions& options,
                               const MatrixSource& matrix, const MatrixSource& original) {
  StreamedMatrix streamed;
  streamed.name = files.layout().linears[static_cast<std::size_t>(target.id)].name;
  streamed.source = &matrix;
  streamed.original = &original;
  if (target.family != nullptr && target.family->encode_row_step != nullptr)
    streamed.row_step = target.family->encode_row_step(matrix.scheme());
  streamed.measure_error = options.measure_error && !target.exact;
  return streamed;
}

std::function<Status(std::int64_t weights)> progress_of(const ModelFiles& files, const OutputOptions& options) {
  const auto total = static_cast<std::uint64_t>(files.parameters());
  return [&options, total, done = std::uint64_t{0}](std::int64_t weights) mutable -> Status {
    done += static_cast<std::uint64_t>(weights);
    if (options.progress && !options.progress(options.what, done, total, "weights"))
      return fail(ErrorCode::kCancelled, "{} was stopped; nothing was written", options.what);
    return {};
  };
}

}  // namespace nibble
