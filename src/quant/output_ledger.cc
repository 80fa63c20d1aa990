// Streaming with progress, and the report.
#include "quant/output_ledger.h"

#include <algorithm>
#include <utility>

namespace nibble {

void OutputLedger::enter(const MatrixTarget& target, Entry entry) {
  const LinearInfo& info = files_.layout().linears[static_cast<std::size_t>(target.id)];
  StreamedMatrix streamed;
  streamed.name = info.name;
  streamed.source = target.matrix.get();
  streamed.original = target.original.get();
  if (target.family != nullptr && target.family->encode_row_step != nullptr)
    streamed.row_step = target.family->encode_row_step(target.matrix->scheme());
  streamed.measure_error = options_.measure_error && !target.exact;
  streamed_.push_back(std::move(streamed));
  TensorReport tensor;
  tensor.name = std::move(entry.name);
  tensor.source_scheme = to_string(target.original->scheme());
  tensor.scheme = std::move(entry.scheme);
  tensor.bits_per_weight =
      static_cast<double>(entry.stored_bits) / static_cast<double>(std::max<std::int64_t>(info.rows * info.cols, 1));
  tensor.exact = target.exact;
  tensor.keeps_codes = target.exact || target.keeps_codes;
  report_.tensors.push_back(std::move(tensor));
  stored_bits_ += entry.stored_bits;
  weights_ += info.rows * info.cols;
}

Status OutputLedger::write(const TileWriter& write) {
  const auto total = static_cast<std::uint64_t>(files_.parameters());
  std::uint64_t done = 0;
  TileConsumer consumer;
  consumer.consume = write;
  consumer.advance = [&](std::int64_t weights) -> Status {
    done += static_cast<std::uint64_t>(weights);
    if (options_.progress && !options_.progress(options_.what, done, total, "weights"))
      return fail(ErrorCode::kCancelled, "{} was stopped; nothing was written", options_.what);
    return {};
  };
  NIBBLE_TRY(const std::vector<ErrorSample> errors, stream_matrices(streamed_, pool_, consumer));
  for (std::size_t i = 0; i < errors.size(); ++i) {
    report_.tensors[i].relative_error = errors[i].relative();
    total_error_.add(errors[i]);
  }
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
