// Which ggml type holds a scheme exactly, and the change of grid that this takes.
#include <array>
#include <cstring>

#include "format/ggml_blocks.h"
#include "io/ggml.h"
#include "tensor/ggml_schemes.h"

namespace nibble {
namespace {

/// Types with one plain scale per block, smallest first: the ones that other schemes can move to.
constexpr std::array kPlainTypes = {GgmlQ1_0::kId, GgmlTq1_0::kId, GgmlTq2_0::kId, GgmlQ2_0::kId, GgmlMxfp4::kId,
                                    GgmlQ4_0::kId, GgmlIq4Nl::kId, GgmlQ5_0::kId,  GgmlQ8_0::kId};
constexpr std::array kOffsetTypes = {GgmlQ4_1::kId, GgmlQ5_1::kId};

/// Every run of `block` columns (which divides the row) lies within one group.
bool constant_on_blocks(const Grouping& grouping, std::int64_t block, std::int64_t cols) {
  switch (grouping.kind) {
    case Grouping::Kind::kTensor:
    case Grouping::Kind::kRow:
      return true;
    case Grouping::Kind::kColumns:
    case Grouping::Kind::kBlock:
      return grouping.size % block == 0 || grouping.size >= cols;
    case Grouping::Kind::kFlat:
      return grouping.size % block == 0;
    case Grouping::Kind::kStrided:
    case Grouping::Kind::kIndexed:
      return false;
  }
  return false;
}

/// What x = code - bias - zero can be.
struct Range {
  std::int32_t low = 0;
  std::int32_t high = 0;
};

Range difference_range(const QuantScheme& scheme) {
  const std::int32_t top = (1 << scheme.code.bits) - 1;
  if (scheme.zero_kind == ZeroKind::kNone) return {-scheme.code.bias, top - scheme.code.bias};
  return {-top - 1, top};  // bias + zero in 0 .. 2^bits, as every family writes them
}

bool code_fits(const QuantScheme& scheme, const CodeFormat& target) {
  if (scheme.code.kind != CodeFormat::Kind::kInteger || target.kind != CodeFormat::Kind::kInteger) {
    return scheme.code == target && scheme.zero_kind == ZeroKind::kNone;
  }
  const Range range = difference_range(scheme);
  return range.low >= -target.bias && range.high <= (1 << target.bits) - 1 - target.bias;
}

Error inexpressible(const QuantScheme& scheme, std::string_view why) {
  return fail(ErrorCode::kUnsupported, "GGUF cannot hold {} exactly: {}", to_string(scheme), why);
}

/// What no ggml type with one scale per block can have, whatever its codes.
Status check_structure(const QuantScheme& scheme) {
  if (!scheme.scale || scheme.scale->nested || scheme.scale->divides || scheme.post_scale != 1.0f) {
    return inexpressible(scheme,
                         "its blocks have one plain scale that multiplies, and its scales are not of that kind");
  }
  if (scheme.zero_kind == ZeroKind::kReal) return inexpressible(scheme, "its blocks have no real zero point");
  if (scheme.zero_kind == ZeroKind::kInteger && (scheme.zero.nested || scheme.zero.element != ElementType::kI16)) {
    return inexpressible(scheme, "the zero points are not integers of 16 bits");
  }
  const auto ordered = [](const PlaneFormat& plane) {
    return plane.grouping.kind != Grouping::Kind::kIndexed && plane.grouping.kind != Grouping::Kind::kStrided;
  };
  if (!ordered(*scheme.scale) || (scheme.zero_kind != ZeroKind::kNone && !ordered(scheme.zero)) ||
      (scheme.offset && !ordered(*scheme.offset))) {
    return inexpressible(scheme, "its blocks are runs of columns, and the groups (g_idx) are not");
  }
  return {};
}

/// Why `target` cannot hold the scheme; empty when it can.
std::string obstacle(const QuantScheme& scheme, int type, std::int64_t cols) {
  const QuantScheme target = *ggml_scheme(type);
  const std::int64_t block = find_ggml_block_format(type)->block_values;
  if (!code_fits(scheme, target.code)) return "no type has its codes (differences code - zero of -128..127 at most)";
  const auto element = [](const PlaneFormat& plane) { return element_info(plane.element).name; };
  if (scheme.scale->element != target.scale->element) {
    return fmt::format("scales are {} there, not {}", element(*target.scale), element(*scheme.scale));
  }
  if (scheme.offset) {
    if (scheme.offset->nested || scheme.offset->element != target.offset->element) return "offsets are f16 there";
    if (scheme.code.bias != 0 || scheme.zero_kind != ZeroKind::kNone) return "codes with an offset have no zero there";
  }
  if (cols % block != 0) return fmt::format("rows of {} are not whole blocks of {}", cols, block);
  if (!constant_on_blocks(scheme.scale->grouping, block, cols) ||
      (scheme.zero_kind != ZeroKind::kNone && !constant_on_blocks(scheme.zero.grouping, block, cols)) ||
      (scheme.offset && !constant_on_blocks(scheme.offset->grouping, block, cols))) {
    return fmt::format("groups are not multiples of its blocks of {}", block);
  }
  return {};
}

/// Entry of weight (row, col) in a plain plane.
const std::byte* entry_of(const PlaneFormat& format, const PlaneData& data, const QuantizedMatrix& matrix,
                          std::int64_t row, std::int64_t col) {
  const std::int64_t entry = format.grouping.entry(row, col, matrix.rows, matrix.cols, nullptr) - data.first_entry;
  return data.entries.data() + entry * (element_info(format.element).bits / 8);
}

/// The number added to the codes of one block: the difference code - bias - zero in the target's numbering.
std::int32_t code_shift(const QuantizedMatrix& from, const CodeFormat& target, std::int64_t row, std::int64_t col) {
  const CodeFormat& code = from.scheme.code;
  if (code.kind != CodeFormat::Kind::kInteger) return 0;
  std::int32_t shift = target.bias - code.bias;
  if (from.scheme.zero_kind == ZeroKind::kInteger) {
    std::int16_t zero;
    std::memcpy(&zero, entry_of(from.scheme.zero, from.zero, from, row, col), sizeof zero);
    shift -= zero;
  }
  return shift;
}

/// out = in + shift; false when a code leaves 0..limit.
bool shift_codes(const std::uint8_t* in, std::int64_t count, std::int32_t shift, std::int32_t limit,
                 std::uint8_t* out) {
  std::int32_t outside = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t code = in[i] + shift;
    outside |= code | (limit - code);  // the sign bit tells
    out[i] = static_cast<std::uint8_t>(code);
  }
  return outside >= 0;
}

}  // namespace

Result<int> ggml_type_for(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols) {
  (void)rows;  // ggml's blocks never leave a row
  QuantScheme weights = scheme;
  weights.activations = {};
  if (const auto same = ggml_type_of(weights)) {
    const GgmlBlockFormat& format = *find_ggml_block_format(*same);
    if (format.pack == nullptr) {
      return fail(ErrorCode::kUnsupported, "{} can be read but not written; requantize with --scheme", format.name);
    }
    if (cols % format.block_values == 0) return *same;
    return inexpressible(scheme, fmt::format("rows of {} are not whole blocks of {}", cols, format.block_values));
  }
  NIBBLE_TRY_STATUS(check_structure(weights));
  const std::span<const int> candidates = weights.offset ? std::span<const int>(kOffsetTypes) : kPlainTypes;
  std::string nearest = "no type has its codes";
  for (const int type : candidates) {
    std::string why = obstacle(weights, type, cols);
    if (why.empty()) return type;
    if (code_fits(weights, ggml_scheme(type)->code)) nearest = std::move(why);
  }
  return inexpressible(scheme, nearest);
}

Status regrid_for_ggml(const QuantizedMatrix& from, int type, QuantizedMatrix& to) {
  NIBBLE_TRY(const QuantScheme target, ggml_scheme(type));
  to.allocate(target, from.rows, from.cols, from.row_begin, from.row_count);
  const std::int64_t block = find_ggml_block_format(type)->block_values;
  const auto scale_bytes = static_cast<std::size_t>(element_info(target.scale->element).bits / 8);
  const std::int32_t limit = (1 << target.code.bits) - 1;
  std::size_t entry = 0;
  for (std::int64_t row = from.row_begin; row < from.row_begin + from.row_count; ++row) {
    for (std::int64_t col = 0; col < from.cols; col += block, ++entry) {
      const auto at = static_cast<std::size_t>((row - from.row_begin) * from.cols + col);
      const std::int32_t shift = code_shift(from, target.code, row, col);
      if (!shift_codes(from.codes.data() + at, block, shift, limit, to.codes.data() + at)) {
        return fail(
            ErrorCode::kUnsupported,
            "row {}, columns {} to {}: code - zero does not fit in {}: a zero point is outside the codes' range", row,
            col, col + block - 1, to_string(target));
      }
      std::memcpy(to.scale.entries.data() + entry * scale_bytes,
                  entry_of(*from.scheme.scale, from.scale, from, row, col), scale_bytes);
      if (target.offset) {
        std::memcpy(to.offset.entries.data() + entry * scale_bytes,
                    entry_of(*from.scheme.offset, from.offset, from, row, col), scale_bytes);
      }
    }
  }
  return {};
}

}  // namespace nibble
