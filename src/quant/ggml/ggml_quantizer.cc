// Rows through ggml's quantizers: the kernels where a type has one, the format's own encoder otherwise.
#include "quant/ggml/ggml_quantizer.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/half.h"
#include "format/ggml_blocks.h"
#include "kernel/ggml_search/ggml_search.h"
#include "quant/matrix_view.h"
#include "quant/rtn/finite_rows.h"
#include "tensor/ggml_codec.h"
#include "tensor/ggml_schemes.h"

namespace nibble {
namespace {

using kernel::GgmlSearch;
using kernel::GgmlSearchKernel;

struct SearchOf {
  int type;
  GgmlSearch GgmlSearchKernel::*search;
};
constexpr SearchOf kSearches[] = {
    {GgmlQ4_0::kId, &GgmlSearchKernel::q4_0},    {GgmlQ4_1::kId, &GgmlSearchKernel::q4_1},
    {GgmlQ5_0::kId, &GgmlSearchKernel::q5_0},    {GgmlQ5_1::kId, &GgmlSearchKernel::q5_1},
    {GgmlQ8_0::kId, &GgmlSearchKernel::q8_0},    {GgmlQ2_K::kId, &GgmlSearchKernel::q2_k},
    {GgmlQ3_K::kId, &GgmlSearchKernel::q3_k},    {GgmlQ4_K::kId, &GgmlSearchKernel::q4_k},
    {GgmlQ5_K::kId, &GgmlSearchKernel::q5_k},    {GgmlQ6_K::kId, &GgmlSearchKernel::q6_k},
    {GgmlIq4Nl::kId, &GgmlSearchKernel::iq4_nl}, {GgmlIq4Xs::kId, &GgmlSearchKernel::iq4_xs},
};

/// nullptr where the format's own encoder serves.
GgmlSearch find_search(int type) {
  for (const SearchOf& known : kSearches)
    if (known.type == type) return kernel::ggml_search_kernel().*known.search;
  return nullptr;
}

/// As ggml adds it up: in float32, in order.
std::vector<float> mean_squares_of_rows(const float* x, std::int64_t rows, std::int64_t cols) {
  std::vector<float> out;
  for (std::int64_t r = 0; r < rows; ++r) {
    float sum = 0;
    for (std::int64_t c = 0; c < cols; ++c) sum += x[r * cols + c] * x[r * cols + c];
    out.push_back(sum / static_cast<float>(cols));
  }
  return out;
}

class GgmlQuantized final : public MatrixView {
 public:
  GgmlQuantized(MatrixPtr source, const GgmlBlockFormat& format, QuantScheme scheme, Importance importance)
      : MatrixView(std::move(source), std::move(scheme)),
        format_(format),
        importance_(std::move(importance)),
        search_(find_search(format.id)) {}

  Status decode(std::int64_t begin, std::int64_t count, QuantizedMatrix& out) const override {
    thread_local QuantizedMatrix stored;
    thread_local std::vector<float> x;
    x.resize(static_cast<std::size_t>(count * cols()));
    NIBBLE_TRY_STATUS(decode_floats(*source_, begin, count, stored, x.data()));
    const std::int64_t replaced = make_rows_finite(x.data(), count, cols());
    if (replaced > 0 && !warned_.exchange(true)) warn_of_non_finite(replaced);
    out.allocate(scheme_, rows(), cols(), begin, count);
    if (search_ != nullptr) {
      search(x.data(), count, out);
    } else {
      const auto blocks = static_cast<std::size_t>(count * cols() / format_.block_values);
      thread_local std::vector<std::byte> bytes;
      bytes.resize(blocks * static_cast<std::size_t>(format_.block_bytes));
      format_.quantize(x.data(), blocks, bytes.data());
      format_.unpack(bytes.data(), blocks, ggml_parts(out));
    }
    return {};
  }

 private:
  void search(const float* x, std::int64_t count, QuantizedMatrix& out) const {
    kernel::GgmlSearchInput in;
    in.values = x;
    in.blocks_per_row = cols() / format_.block_values;
    in.blocks = count * in.blocks_per_row;
    in.refine = true;
    std::vector<float> mean_squares;
    if (importance_ != nullptr) {
      in.importance = importance_->data();
      if (format_.block_values == 32) mean_squares = mean_squares_of_rows(x, count, cols());
      in.row_mean_squares = mean_squares.data();
    }
    thread_local std::vector<float> scales, offsets;
    scales.resize(static_cast<std::size_t>(in.blocks));
    offsets.resize(static_cast<std::size_t>(in.blocks));
    GgmlParts parts = ggml_parts(out);
    search_(in, {parts.codes, scales.data(), parts.scale_codes, offsets.data(), parts.offset_codes});
    for (std::size_t i = 0; i < scales.size(); ++i, parts.advance(format_.parts)) {
      store_half(parts.scales, f32_to_f16(scales[i]));
      if (format_.parts.offsets != 0) store_half(parts.offsets, f32_to_f16(offsets[i]));
    }
  }

  const GgmlBlockFormat& format_;
  Importance importance_;
  GgmlSearch search_;
  mutable std::atomic<bool> warned_{false};
};

Status check_importance(const std::vector<float>& importance, std::int64_t cols) {
  if (static_cast<std::int64_t>(importance.size()) != cols)
    return fail(ErrorCode::kInvalidArgument, "the importance matrix has {} columns here, the weights have {}",
                importance.size(), cols);
  const auto bad =
      std::find_if(importance.begin(), importance.end(), [](float v) { return !(v >= 0) || std::isinf(v); });
  if (bad != importance.end())
    return fail(ErrorCode::kInvalidArgument, "the importance of column {} is {}; it must be finite and not negative",
                bad - importance.begin(), *bad);
  return {};
}

}  // namespace

Status check_ggml_quantizer(int type) {
  const GgmlBlockFormat* format = find_ggml_block_format(type);
  if (format == nullptr) return fail(ErrorCode::kUnsupported, "ggml type {} is not a float or block type", type);
  if (format->pack == nullptr || (format->quantize == nullptr && find_search(type) == nullptr))
    return fail(ErrorCode::kUnsupported, "{} can be read but not written", format->name);
  return {};
}

Result<MatrixPtr> quantize_to_ggml(MatrixPtr source, int type, Importance importance) {
  NIBBLE_TRY_STATUS(check_ggml_quantizer(type));
  NIBBLE_TRY(QuantScheme scheme, ggml_scheme(type));
  NIBBLE_TRY_STATUS(ggml_row_bytes(type, source->cols()));
  if (importance != nullptr) NIBBLE_TRY_STATUS(check_importance(*importance, source->cols()));
  return MatrixPtr(std::make_shared<GgmlQuantized>(std::move(source), *find_ggml_block_format(type), std::move(scheme),
                                                   std::move(importance)));
}

}  // namespace nibble
