// How a ggml block is taken apart: its codes in element order, one per byte, and its scales and offsets as plain
// arrays. Every block format offers unpack() to these parts and, if it can be written, pack() back to the same bytes.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace nibble {

/// Bytes that one block contributes to each part.
struct GgmlPartBytes {
  int codes = 0;         ///< one per value (2 or 4 for float types), numbered as the format's comment says
  int scales = 0;        ///< the block's own scale, as stored (f16, or e8m0)
  int scale_codes = 0;   ///< sub-block scales, one code each, which multiply the block's scale
  int offsets = 0;       ///< f16, added to the product; ggml's "dmin" is kept negated, since it is subtracted there
  int offset_codes = 0;  ///< sub-block offsets ("mins"), one code each, which multiply the block's offset
};

template <typename Byte>
struct BasicGgmlParts {
  Byte* codes = nullptr;
  Byte* scales = nullptr;
  Byte* scale_codes = nullptr;
  Byte* offsets = nullptr;
  Byte* offset_codes = nullptr;

  /// Moves every part that is there past one block.
  void advance(const GgmlPartBytes& bytes) {
    codes += bytes.codes;
    scales += bytes.scales;
    scale_codes += bytes.scale_codes;
    offsets += bytes.offsets;
    offset_codes += bytes.offset_codes;
  }
};
using GgmlParts = BasicGgmlParts<std::uint8_t>;
using GgmlConstParts = BasicGgmlParts<const std::uint8_t>;

/// The parts of one block of `Format`, held.
template <typename Format>
struct GgmlUnpacked {
  static constexpr GgmlPartBytes kBytes = Format::kParts;
  std::uint8_t codes[kBytes.codes];
  std::uint8_t scales[kBytes.scales + 1];  // + 1: no array may be empty
  std::uint8_t scale_codes[kBytes.scale_codes + 1];
  std::uint8_t offsets[kBytes.offsets + 1];
  std::uint8_t offset_codes[kBytes.offset_codes + 1];

  explicit GgmlUnpacked(const typename Format::Block& block) {
    Format::unpack(block, GgmlParts{codes, scales, scale_codes, offsets, offset_codes});
  }
};

/// A half of a block into or out of a part.
inline void store_half(std::uint8_t* part, std::uint16_t half) { std::memcpy(part, &half, sizeof half); }
inline std::uint16_t load_half(const std::uint8_t* part) {
  std::uint16_t half;
  std::memcpy(&half, part, sizeof half);
  return half;
}

/// The largest magnitude; NaN does not count.
inline float magnitude_of(const float* values, int count) {
  float magnitude = 0.0f;
  for (int i = 0; i < count; ++i) {
    const float here = std::fabs(values[i]);
    magnitude = here > magnitude ? here : magnitude;
  }
  return magnitude;
}

/// Flips the sign of a half: exact for every code and its own inverse.
inline std::uint16_t negated_half(std::uint16_t half) { return static_cast<std::uint16_t>(half ^ 0x8000u); }

/// kBitBytes[b][i] is bit i of b: eight one-bit codes at once.
struct GgmlBitBytes {
  std::uint8_t bytes[256][8] = {};
  constexpr GgmlBitBytes() {
    for (int b = 0; b < 256; ++b) {
      for (int i = 0; i < 8; ++i) bytes[b][i] = static_cast<std::uint8_t>((b >> i) & 1);
    }
  }
};
inline constexpr GgmlBitBytes kBitBytes{};

/// ggml's nibble order: byte j holds element j low and element j + count high.
inline void split_nibbles(const std::uint8_t* bytes, int count, std::uint8_t* codes) {
  for (int j = 0; j < count; ++j) codes[j] = bytes[j] & 15;
  for (int j = 0; j < count; ++j) codes[count + j] = bytes[j] >> 4;
}
inline void join_nibbles(const std::uint8_t* codes, int count, std::uint8_t* bytes) {
  for (int j = 0; j < count; ++j) {
    bytes[j] = static_cast<std::uint8_t>((codes[j] & 15) | ((codes[count + j] & 15) << 4));
  }
}

}  // namespace nibble
