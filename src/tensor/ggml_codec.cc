#include "tensor/ggml_codec.h"

#include <cstring>

#include "base/byte_reader.h"
#include "format/ggml_blocks.h"
#include "tensor/ggml_schemes.h"

namespace nibble {
namespace {

std::uint8_t* raw(std::vector<std::byte>& bytes) { return reinterpret_cast<std::uint8_t*>(bytes.data()); }
const std::uint8_t* raw(const std::vector<std::byte>& bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

/// The same, to read.
GgmlConstParts parts_of(const QuantizedMatrix& matrix) {
  const bool nested = matrix.scheme.scale && matrix.scheme.scale->nested;
  return {matrix.codes.data(), raw(nested ? matrix.scale.outer : matrix.scale.entries), matrix.scale.codes.data(),
          raw(nested ? matrix.offset.outer : matrix.offset.entries), matrix.offset.codes.data()};
}

/// Scale bytes that no E8M0 or E4M3 number stands for.
Status check_scales(const GgmlBlockFormat& format, std::span<const std::byte> bytes) {
  const int scales = format.id == GgmlMxfp4::kId ? 1 : format.id == GgmlNvfp4::kId ? 4 : 0;
  if (scales == 0) return {};
  const auto block_bytes = static_cast<std::size_t>(format.block_bytes);
  for (std::size_t at = 0; at < bytes.size(); at += block_bytes) {
    for (int s = 0; s < scales; ++s) {  // both formats begin with their scales
      if (bytes[at + static_cast<std::size_t>(s)] == std::byte{0xFF}) {
        return fail(ErrorCode::kCorrupt,
                    "block {} of {} has the scale 0xFF, which is not a number; the file is damaged", at / block_bytes,
                    format.name);
      }
    }
  }
  return {};
}

}  // namespace

GgmlParts ggml_parts(QuantizedMatrix& matrix) {
  const bool nested = matrix.scheme.scale && matrix.scheme.scale->nested;
  return {matrix.codes.data(), raw(nested ? matrix.scale.outer : matrix.scale.entries), matrix.scale.codes.data(),
          raw(nested ? matrix.offset.outer : matrix.offset.entries), matrix.offset.codes.data()};
}

Result<std::int64_t> ggml_row_bytes(int type, std::int64_t cols) {
  const GgmlBlockFormat* format = find_ggml_block_format(type);
  if (format == nullptr) return fail(ErrorCode::kUnsupported, "ggml type {} is not a float or block type", type);
  if (cols < 0 || cols % format->block_values != 0) {
    return fail(ErrorCode::kInvalidArgument, "rows of {} values are not whole blocks of {}, as {} needs", cols,
                format->block_values, format->name);
  }
  std::uint64_t bytes = 0;
  if (!checked_multiply(static_cast<std::uint64_t>(cols / format->block_values),
                        static_cast<std::uint64_t>(format->block_bytes), bytes) ||
      bytes > static_cast<std::uint64_t>(INT64_MAX)) {
    return fail(ErrorCode::kInvalidArgument, "rows of {} values are too long", cols);
  }
  return static_cast<std::int64_t>(bytes);
}

Status decode_ggml(int type, std::span<const std::byte> bytes, std::int64_t rows, std::int64_t cols,
                   std::int64_t row_begin, std::int64_t row_count, QuantizedMatrix& out) {
  NIBBLE_TRY(const QuantScheme scheme, ggml_scheme(type));
  NIBBLE_TRY(const std::int64_t row_bytes, ggml_row_bytes(type, cols));
  if (row_begin < 0 || row_count < 0 || row_begin > rows || row_count > rows - row_begin) {
    return fail(ErrorCode::kInvalidArgument, "rows {} to {} are not within {} rows", row_begin, row_begin + row_count,
                rows);
  }
  const GgmlBlockFormat& format = *find_ggml_block_format(type);
  std::uint64_t expected = 0;
  if (!checked_multiply(static_cast<std::uint64_t>(row_bytes), static_cast<std::uint64_t>(row_count), expected) ||
      bytes.size() != expected) {
    return fail(ErrorCode::kCorrupt, "{} rows of {} {} values need {} bytes each, {} bytes are there", row_count, cols,
                format.name, row_bytes, bytes.size());
  }
  NIBBLE_TRY_STATUS(check_scales(format, bytes));
  out.allocate(scheme, rows, cols, row_begin, row_count);
  if (format.id == GgmlNvfp4::kId) {
    const float one = 1.0f;
    std::memcpy(out.scale.outer.data(), &one, sizeof one);
  }
  format.unpack(bytes.data(), bytes.size() / static_cast<std::size_t>(format.block_bytes), ggml_parts(out));
  return {};
}

Result<std::vector<std::byte>> encode_ggml(int type, const QuantizedMatrix& matrix) {
  QuantScheme weights = matrix.scheme;
  weights.activations = {};
  if (ggml_type_of(weights) != type) {
    return fail(ErrorCode::kInvalidArgument, "a matrix of {} is not one of ggml type {}", to_string(matrix.scheme),
                type);
  }
  const GgmlBlockFormat& format = *find_ggml_block_format(type);
  if (format.pack == nullptr) {
    return fail(ErrorCode::kUnsupported, "{} can be read but not written", format.name);
  }
  NIBBLE_TRY(const std::int64_t row_bytes, ggml_row_bytes(type, matrix.cols));
  std::vector<std::byte> out(static_cast<std::size_t>(row_bytes * matrix.row_count));
  format.pack(parts_of(matrix), out.size() / static_cast<std::size_t>(format.block_bytes), out.data());
  return out;
}

}  // namespace nibble
