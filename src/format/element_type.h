// Element types: what one stored number is, in files and in planes. One list (kElementTypes) answers every question.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace nibble {

/// One stored number. The order is the one in which the safetensors writer sorts (formats-hf.md 1.4).
enum class ElementType : std::uint8_t {
  kBool,
  kF4,  ///< FP4 E2M1, two per byte, low nibble first; `bits` is 4
  kU8,
  kI8,
  kE5m2,  ///< FP8 E5M2: infinities and NaNs as IEEE
  kE4m3,  ///< FP8 E4M3FN: no infinity, NaN = 0x7F and 0xFF
  kE8m0,  ///< a power of two, 2^(e - 127); 0xFF is NaN
  kI16,
  kU16,
  kF16,
  kBf16,
  kI32,
  kU32,
  kF32,
  kF64,
  kI64,
  kU64,
};

struct ElementTypeInfo {
  ElementType type;
  std::string_view name;         ///< ours, as printed in schemes and tables: "f16"
  std::string_view safetensors;  ///< the dtype string of safetensors: "F16"
  std::string_view torch;        ///< PyTorch's: "float16"
  int bits;
  bool is_float;
};

/// All element types, in enum order.
std::span<const ElementTypeInfo> element_types();
const ElementTypeInfo& element_info(ElementType type);
std::optional<ElementType> element_from_name(std::string_view name);
std::optional<ElementType> element_from_safetensors(std::string_view dtype);

/// Bytes of `count` elements; nothing when that does not fit in 64 bits or, for 4-bit elements, is not whole.
std::optional<std::uint64_t> element_bytes(ElementType type, std::uint64_t count);

/// FP8 E4M3FN to float, exact.
float e4m3_to_f32(std::uint8_t code) noexcept;
/// Float to FP8 E4M3FN, ties to even, saturating at +-448; NaN gives 0x7F with the sign kept. -0 keeps its sign.
std::uint8_t f32_to_e4m3(float value) noexcept;
float e5m2_to_f32(std::uint8_t code) noexcept;
/// Float to FP8 E5M2, ties to even, saturating at +-57344 (infinity too); NaN gives 0x7F with the sign kept.
std::uint8_t f32_to_e5m2(float value) noexcept;
/// 2^(code - 127); 0xFF gives NaN.
float e8m0_to_f32(std::uint8_t code) noexcept;
/// The E8M0 code of floor(log2 |value|), clamped to 0..254; zero gives 0, NaN gives 0xFF.
std::uint8_t f32_to_e8m0_floor(float value) noexcept;
/// FP4 E2M1 code 0..15 (bit 3 is the sign) to float, exact: 0, 0.5, 1, 1.5, 2, 3, 4, 6.
float e2m1_to_f32(std::uint8_t code) noexcept;
/// Float to the nearest FP4 E2M1 code, ties to the even code, saturating at 6; NaN gives 0.
std::uint8_t f32_to_e2m1(float value) noexcept;

/// out[i] = element i of `bytes` as float32 (rounded when the element is wider). `bytes` holds at least `count`
/// elements. Not for kF4.
void decode_elements(ElementType type, const std::byte* bytes, std::size_t count, float* out) noexcept;

/// bytes = `count` floats in the given type: floats round to nearest even and saturate as above (f16 overflows to
/// infinity), integers round to nearest even and saturate, kE8m0 takes the floor of the exponent. Not for kF4.
void encode_elements(ElementType type, const float* values, std::size_t count, std::byte* bytes) noexcept;

/// `value` rounded to `type` and back: what a reader of the stored number will see.
float round_to_element(ElementType type, float value) noexcept;

}  // namespace nibble
