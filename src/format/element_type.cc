// The list of element types and the conversions of FP8, FP4 and E8M0 (sources: OCP FP8 and MX specifications; c10).
#include "format/element_type.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/half.h"

namespace nibble {
namespace {

using E = ElementType;

constexpr std::array<ElementTypeInfo, 17> kTypes{{
    {E::kBool, "bool", "BOOL", "bool", 8, false},
    {E::kF4, "e2m1", "F4", "float4_e2m1fn_x2", 4, true},
    {E::kU8, "u8", "U8", "uint8", 8, false},
    {E::kI8, "i8", "I8", "int8", 8, false},
    {E::kE5m2, "e5m2", "F8_E5M2", "float8_e5m2", 8, true},
    {E::kE4m3, "e4m3", "F8_E4M3", "float8_e4m3fn", 8, true},
    {E::kE8m0, "e8m0", "F8_E8M0", "float8_e8m0fnu", 8, true},
    {E::kI16, "i16", "I16", "int16", 16, false},
    {E::kU16, "u16", "U16", "uint16", 16, false},
    {E::kF16, "f16", "F16", "float16", 16, true},
    {E::kBf16, "bf16", "BF16", "bfloat16", 16, true},
    {E::kI32, "i32", "I32", "int32", 32, false},
    {E::kU32, "u32", "U32", "uint32", 32, false},
    {E::kF32, "f32", "F32", "float32", 32, true},
    {E::kF64, "f64", "F64", "float64", 64, true},
    {E::kI64, "i64", "I64", "int64", 64, false},
    {E::kU64, "u64", "U64", "uint64", 64, false},
}};

/// Decodes sign, exponent and mantissa fields of an 8-bit float without its special codes.
float small_float(std::uint8_t code, int exponent_bits, int mantissa_bits, int bias) noexcept {
  const int exponent = (code >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = code & ((1 << mantissa_bits) - 1);
  const float magnitude =
      exponent == 0 ? std::ldexp(static_cast<float>(mantissa), 1 - bias - mantissa_bits)
                    : std::ldexp(static_cast<float>(mantissa | (1 << mantissa_bits)), exponent - bias - mantissa_bits);
  return (code & 0x80) != 0 ? -magnitude : magnitude;
}

/// The code of a float of few bits, ties to even, clamped to `largest`; NaN is all ones. Without branches, so that
/// loops over it become vectors.
template <int kMantissaBits, int kBias>
inline std::uint8_t small_float_code(float value, float largest) noexcept {
  constexpr float kLeastNormal = std::bit_cast<float>(static_cast<std::uint32_t>(128 - kBias) << 23);
  // Its last bit is the spacing of the subnormal codes: a sum with it is rounded to one of them.
  constexpr auto kSpaced = static_cast<std::uint32_t>(128 - kBias + 23 - kMantissaBits) << 23;
  constexpr int kShift = 23 - kMantissaBits;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const float magnitude = std::bit_cast<float>(bits & 0x7FFFFFFFu);
  const float clamped = magnitude < largest ? magnitude : largest;
  const auto kept = std::bit_cast<std::uint32_t>(clamped);
  const std::uint32_t half = (1u << (kShift - 1)) - 1u + ((kept >> kShift) & 1u);
  const std::uint32_t normal = ((kept + half) >> kShift) - (static_cast<std::uint32_t>(127 - kBias) << kMantissaBits);
  const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(clamped + std::bit_cast<float>(kSpaced)) - kSpaced;
  std::uint32_t code = clamped < kLeastNormal ? subnormal : normal;
  code = (bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7Fu : code;
  return static_cast<std::uint8_t>(code | (bits >> 24 & 0x80u));
}

template <typename T>
T saturate(float value) noexcept {
  if (std::isnan(value)) return 0;
  const double rounded = std::nearbyint(static_cast<double>(value));
  if (rounded <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  if (rounded >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return static_cast<T>(rounded);
}

template <typename T, typename F>
void decode_each(const std::byte* bytes, std::size_t count, float* out, F convert) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    T stored;
    std::memcpy(&stored, bytes + i * sizeof(T), sizeof(T));
    out[i] = convert(stored);
  }
}

template <typename T, typename F>
void encode_each(const float* values, std::size_t count, std::byte* bytes, F convert) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const T stored = convert(values[i]);
    std::memcpy(bytes + i * sizeof(T), &stored, sizeof(T));
  }
}

/// The 256 values of an 8-bit float type, so that decoding is a table lookup.
template <float (*Convert)(std::uint8_t)>
const std::array<float, 256>& decoded_table() noexcept {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values{};
    for (std::size_t code = 0; code < 256; ++code) values[code] = Convert(static_cast<std::uint8_t>(code));
    return values;
  }();
  return table;
}

float e4m3_slow(std::uint8_t code) {
  if ((code & 0x7F) == 0x7F) return std::bit_cast<float>(0x7FC00000u | (static_cast<std::uint32_t>(code & 0x80) << 24));
  return small_float(code, 4, 3, 7);
}

float e5m2_slow(std::uint8_t code) { return f16_to_f32(static_cast<std::uint16_t>(code << 8)); }

}  // namespace

std::span<const ElementTypeInfo> element_types() { return kTypes; }

const ElementTypeInfo& element_info(ElementType type) { return kTypes[static_cast<std::size_t>(type)]; }

std::optional<ElementType> element_from_name(std::string_view name) {
  for (const ElementTypeInfo& info : kTypes)
    if (info.name == name) return info.type;
  return std::nullopt;
}

std::optional<ElementType> element_from_safetensors(std::string_view dtype) {
  for (const ElementTypeInfo& info : kTypes)
    if (info.safetensors == dtype) return info.type;
  return std::nullopt;
}

std::optional<std::uint64_t> element_bytes(ElementType type, std::uint64_t count) {
  std::uint64_t bits = 0;
  if (__builtin_mul_overflow(count, static_cast<std::uint64_t>(element_info(type).bits), &bits)) return std::nullopt;
  if (bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

float e4m3_to_f32(std::uint8_t code) noexcept { return decoded_table<e4m3_slow>()[code]; }

std::uint8_t f32_to_e4m3(float value) noexcept { return small_float_code<3, 7>(value, 448.0f); }

float e5m2_to_f32(std::uint8_t code) noexcept { return decoded_table<e5m2_slow>()[code]; }

std::uint8_t f32_to_e5m2(float value) noexcept { return small_float_code<2, 15>(value, 57344.0f); }

float e8m0_to_f32(std::uint8_t code) noexcept {
  if (code == 0xFF) return std::numeric_limits<float>::quiet_NaN();
  if (code == 0) return 0x1p-127f;
  return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 23);
}

std::uint8_t f32_to_e8m0_floor(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value) & 0x7FFFFFFFu;
  if (bits > 0x7F800000u) return 0xFF;
  const std::uint32_t exponent = bits >> 23;
  return static_cast<std::uint8_t>(exponent == 255 ? 254 : exponent);
}

float e2m1_to_f32(std::uint8_t code) noexcept {
  constexpr std::array<float, 8> kMagnitudes{0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  const float magnitude = kMagnitudes[code & 7u];
  return (code & 8u) != 0 ? -magnitude : magnitude;
}

std::uint8_t f32_to_e2m1(float value) noexcept {
  if (std::isnan(value)) return 0;
  const float a = std::fabs(value);
  const int code = (a > 0.25f) + (a >= 0.75f) + (a > 1.25f) + (a >= 1.75f) + (a > 2.5f) + (a >= 3.5f) + (a > 5.0f);
  return static_cast<std::uint8_t>(code | (std::signbit(value) ? 8 : 0));
}

void decode_elements(ElementType type, const std::byte* bytes, std::size_t count, float* out) noexcept {
  if (count == 0) return;  // then the pointers may be null, which memcpy forbids
  switch (type) {
    case E::kBool:
    case E::kU8:
      return decode_each<std::uint8_t>(bytes, count, out, [](std::uint8_t v) { return static_cast<float>(v); });
    case E::kI8:
      return decode_each<std::int8_t>(bytes, count, out, [](std::int8_t v) { return static_cast<float>(v); });
    case E::kE5m2:
      return decode_each<std::uint8_t>(bytes, count, out, e5m2_to_f32);
    case E::kE4m3:
      return decode_each<std::uint8_t>(bytes, count, out, e4m3_to_f32);
    case E::kE8m0:
      return decode_each<std::uint8_t>(bytes, count, out, e8m0_to_f32);
    case E::kI16:
      return decode_each<std::int16_t>(bytes, count, out, [](std::int16_t v) { return static_cast<float>(v); });
    case E::kU16:
      return decode_each<std::uint16_t>(bytes, count, out, [](std::uint16_t v) { return static_cast<float>(v); });
    case E::kF16:
      return decode_each<std::uint16_t>(bytes, count, out, f16_to_f32);
    case E::kBf16:
      return decode_each<std::uint16_t>(bytes, count, out, bf16_to_f32);
    case E::kI32:
      return decode_each<std::int32_t>(bytes, count, out, [](std::int32_t v) { return static_cast<float>(v); });
    case E::kU32:
      return decode_each<std::uint32_t>(bytes, count, out, [](std::uint32_t v) { return static_cast<float>(v); });
    case E::kF32:
      std::memcpy(out, bytes, count * sizeof(float));
      return;
    case E::kF64:
      return decode_each<double>(bytes, count, out, [](double v) { return static_cast<float>(v); });
    case E::kI64:
      return decode_each<std::int64_t>(bytes, count, out, [](std::int64_t v) { return static_cast<float>(v); });
    case E::kU64:
      return decode_each<std::uint64_t>(bytes, count, out, [](std::uint64_t v) { return static_cast<float>(v); });
    case E::kF4:
      return;
  }
}

void encode_elements(ElementType type, const float* values, std::size_t count, std::byte* bytes) noexcept {
  if (count == 0) return;
  switch (type) {
    case E::kBool:
    case E::kU8:
      return encode_each<std::uint8_t>(values, count, bytes, saturate<std::uint8_t>);
    case E::kI8:
      return encode_each<std::int8_t>(values, count, bytes, saturate<std::int8_t>);
    case E::kE5m2:
      return encode_each<std::uint8_t>(values, count, bytes, f32_to_e5m2);
    case E::kE4m3:
      return encode_each<std::uint8_t>(values, count, bytes, f32_to_e4m3);
    case E::kE8m0:
      return encode_each<std::uint8_t>(values, count, bytes, f32_to_e8m0_floor);
    case E::kI16:
      return encode_each<std::int16_t>(values, count, bytes, saturate<std::int16_t>);
    case E::kU16:
      return encode_each<std::uint16_t>(values, count, bytes, saturate<std::uint16_t>);
    case E::kF16:
      return encode_each<std::uint16_t>(values, count, bytes, f32_to_f16);
    case E::kBf16:
      return encode_each<std::uint16_t>(values, count, bytes, f32_to_bf16);
    case E::kI32:
      return encode_each<std::int32_t>(values, count, bytes, saturate<std::int32_t>);
    case E::kU32:
      return encode_each<std::uint32_t>(values, count, bytes, saturate<std::uint32_t>);
    case E::kF32:
      std::memcpy(bytes, values, count * sizeof(float));
      return;
    case E::kF64:
      return encode_each<double>(values, count, bytes, [](float v) { return static_cast<double>(v); });
    case E::kI64:
      return encode_each<std::int64_t>(values, count, bytes, saturate<std::int64_t>);
    case E::kU64:
      return encode_each<std::uint64_t>(values, count, bytes, saturate<std::uint64_t>);
    case E::kF4:
      return;
  }
}

float round_to_element(ElementType type, float value) noexcept {
  if (type == E::kF4) return e2m1_to_f32(f32_to_e2m1(value));
  std::array<std::byte, 8> stored{};
  encode_elements(type, &value, 1, stored.data());
  float out = 0.0f;
  decode_elements(type, stored.data(), 1, &out);
  return out;
}

}  // namespace nibble
