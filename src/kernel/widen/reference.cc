// Widening in portable code.
#include <cstring>

#include "base/half.h"
#include "kernel/widen/widen.h"

namespace nibble::kernel::reference {
namespace {

void half(const std::uint16_t* in, std::int64_t n, float* out) noexcept {
  for (std::int64_t i = 0; i < n; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, in + i, sizeof bits);  // may lie at an odd address
    out[i] = f16_to_f32(bits);
  }
}

void to_half(const float* x, std::int64_t n, std::uint16_t* half) noexcept {
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint16_t bits = f32_to_f16(x[i]);
    std::memcpy(half + i, &bits, sizeof bits);
  }
}

}  // namespace

extern const WidenKernel kWiden;
const WidenKernel kWiden{{"widen", "widen_reference", 0}, half, to_half};

}  // namespace nibble::kernel::reference
