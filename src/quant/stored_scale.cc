#include "quant/stored_scale.h"

#include <algorithm>
#include <cmath>

#include "base/half.h"
#include "kernel/widen/widen.h"

namespace nibble {
namespace {

std::size_t element_size(ElementType type) { return static_cast<std::size_t>(element_info(type).bits) / 8; }

}  // namespace

float stored_scale(ElementType type, float scale) {
  float stored = type == ElementType::kE8m0 ? std::ldexp(1.0f, static_cast<int>(std::ceil(std::log2(std::fabs(scale)))))
                 : type == ElementType::kF16 ? f16_to_f32(f32_to_f16(scale))  // of every scale that is tried
                                             : round_to_element(type, scale);
  if (type == ElementType::kE8m0) return std::clamp(stored, 0x1p-127f, 0x1p127f);
  if (std::isinf(stored)) {
    const float largest = type == ElementType::kF16    ? 65504.0f
                          : type == ElementType::kBf16 ? 0x1.FEp127f
                                                       : 0x1.FFFFFEp127f;
    stored = std::copysign(largest, scale);
  }
  if (stored == 0.0f) {
    const float smallest = type == ElementType::kF16    ? 0x1p-24f
                           : type == ElementType::kE4m3 ? 0x1p-9f
                           : type == ElementType::kE5m2 ? 0x1p-16f
                                                        : 0x1p-126f;
    stored = std::copysign(smallest, scale);
  }
  return stored;
}

void store_scales(ElementType type, std::span<float> scales) {
  if (type != ElementType::kF16) {
    for (float& scale : scales) scale = stored_scale(type, scale);
    return;
  }
  constexpr std::size_t kAtOnce = 128;
  std::uint16_t halves[kAtOnce];
  for (std::size_t begin = 0; begin < scales.size(); begin += kAtOnce) {
    const std::span<float> piece = scales.subspan(begin, std::min(kAtOnce, scales.size() - begin));
    const auto count = static_cast<std::int64_t>(piece.size());
    kernel::widen_kernel().to_half(piece.data(), count, halves);
    for (std::size_t i = 0; i < piece.size(); ++i) {  // neither 0 nor infinite
      const int size = halves[i] & 0x7FFF;
      halves[i] = static_cast<std::uint16_t>((halves[i] & 0x8000) | (size == 0 ? 1 : size == 0x7C00 ? 0x7BFF : size));
    }
    kernel::widen_kernel().half(halves, count, piece.data());
  }
}

void store_entries(ElementType type, std::span<const float> values, std::byte* entries) {
  if (type != ElementType::kF16) return encode_elements(type, values.data(), values.size(), entries);
  // Vectors of bytes are aligned for any number.
  kernel::widen_kernel().to_half(values.data(), static_cast<std::int64_t>(values.size()),
                                 reinterpret_cast<std::uint16_t*>(entries));
}

void store_entry(ElementType type, float value, std::vector<std::byte>& bytes, std::int64_t index) {
  encode_elements(type, &value, 1, bytes.data() + static_cast<std::size_t>(index) * element_size(type));
}

}  // namespace nibble
