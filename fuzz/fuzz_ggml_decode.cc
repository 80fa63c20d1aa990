// Fuzzes the codec of ggml's blocks: a type, a shape and a payload from the input; decoding, the hub's checks,
// dequantization against the format's own, and encoding where the type can be written.
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "format/ggml_blocks.h"
#include "tensor/ggml_codec.h"
#include "tensor/ggml_schemes.h"

namespace {

std::uint32_t bits_of(float value) { return std::isnan(value) ? 0x7FC00000u : std::bit_cast<std::uint32_t>(value); }

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nibble;
  if (size < 2) return 0;
  const int type = data[0] % 48;  // beyond the last id
  const int blocks_per_row = 1 + data[1] % 3;
  const auto payload = std::as_bytes(std::span(data + 2, size - 2));
  QuantizedMatrix matrix;
  const GgmlBlockFormat* format = find_ggml_block_format(type);
  if (format == nullptr) {
    require(!decode_ggml(type, payload, 1, 32, 0, 1, matrix).ok());
    return 0;
  }
  const std::int64_t cols = std::int64_t{blocks_per_row} * format->block_values;
  const std::size_t row_bytes = static_cast<std::size_t>(blocks_per_row * format->block_bytes);
  const auto row_count = static_cast<std::int64_t>(payload.size() / row_bytes);
  const auto rows = payload.first(static_cast<std::size_t>(row_count) * row_bytes);
  (void)decode_ggml(type, payload, row_count, cols, 0, row_count, matrix);  // usually a size that does not match
  if (!decode_ggml(type, rows, row_count + 5, cols, 3, row_count, matrix).ok()) return 0;
  require(matrix.validate().ok());

  std::vector<float> found(static_cast<std::size_t>(row_count * cols));
  std::vector<float> expected(found.size());
  dequantize(matrix, found.data());
  format->dequantize(rows.data(), rows.size() / static_cast<std::size_t>(format->block_bytes), expected.data());
  for (std::size_t i = 0; i < found.size(); ++i) require(bits_of(found[i]) == bits_of(expected[i]));

  const auto encoded = encode_ggml(type, matrix);
  require(encoded.ok() == (format->pack != nullptr));
  if (!encoded.ok()) return 0;
  QuantizedMatrix again;
  require(decode_ggml(type, *encoded, row_count + 5, cols, 3, row_count, again).ok());
  require(again.codes == matrix.codes && again.scale == matrix.scale && again.offset == matrix.offset);

  if (format->quantize != nullptr) {  // any floats at all
    std::vector<std::byte> blocks(rows.size());
    format->quantize(found.data(), blocks.size() / static_cast<std::size_t>(format->block_bytes), blocks.data());
  }
  return 0;
}
