// Streaming with progress, and the report.
#include "quant/output_ledger.h"

#include <utility>

namespace nibble {

Status OutputLedger::write(const MatrixTarget& target, Entry entry,
                           const std::function<Status(const QuantizedMatrix&)>& write) {
  const LinearInfo& info = files_.layout().linears[static_cast<std::size_t>(target.id)];
  const std::int64_t step = target.family == nullptr || target.family->encode_row_step == nullptr
                                ? 1
                                : target.family->encode_row_step(target.matrix->scheme());
  ErrorSample error;
  const bool measure = options_.measure_error && !target.exact;
  const Status done = stream_matrix(
      *target.matrix, step, *target.original, measure ? &error : nullptr, pool_,
      [&](const QuantizedMatrix& tile) -> Status {
        NIBBLE_TRY_STATUS(write(tile));
        weights_done_ += static_cast<std::uint64_t>(tile.row_count * tile.cols);
        if (options_.progress && !options_.progress(options_.what, weights_done_,
                                                    static_cast<std::uint64_t>(files_.parameters()), "weights"))
          return fail(ErrorCode::kCancelled, "{} was stopped; nothing was written", options_.what);
        return {};
      });
  if (!done.ok()) return with_context(done.error(), info.name);
  TensorReport tensor;
  tensor.name = std::move(entry.name);
  tensor.source_scheme = to_string(target.original->scheme());
  tensor.scheme = std::move(entry.scheme);
  tensor.exact = target.exact;
  tensor.keeps_codes = target.exact || target.keeps_codes;
  tensor.relative_error = error.relative();
  report_.tensors.push_back(std::move(tensor));
  total_error_.add(error);
  stored_bits_ += entry.stored_bits;
  weights_ += info.rows * info.cols;
  return {};
}

ConversionReport OutputLedger::close(std::string_view family, std::uint64_t bytes) {
  report_.family = std::string(family);
  report_.bytes = bytes;
  report_.bits_per_weight = weights_ > 0 ? static_cast<double>(stored_bits_) / static_cast<double>(weights_) : 0;
  report_.relative_error = total_error_.relative();
  report_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  return std::exchange(report_, {});
}

}  // namespace nibble
