#include "quant/stored_scale.h"

#include <algorithm>
#include <cmath>

#include "base/half.h"

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

void store_entry(ElementType type, float value, std::vector<std::byte>& bytes, std::int64_t index) {
  encode_elements(type, &value, 1, bytes.data() + static_cast<std::size_t>(index) * element_size(type));
}

}  // namespace nibble
