// Rotation of one token's heads in portable code.
#include "kernel/rope/rope.h"

namespace nibble::kernel::reference {
namespace {

void rotate(float* x, int heads, int head_dim, int half, const float* cosines, const float* sines) {
  for (int h = 0; h < heads; ++h) {
    float* head = x + static_cast<std::ptrdiff_t>(h) * head_dim;
    for (int m = 0; m < half; ++m) {
      const float a = head[m];
      const float b = head[m + half];
      head[m] = a * cosines[m] - b * sines[m];
      head[m + half] = b * cosines[m] + a * sines[m];
    }
  }
}

}  // namespace

extern const RopeKernel kRope;
const RopeKernel kRope = {{"rope", "rope_reference", 0}, rotate};

}  // namespace nibble::kernel::reference
