// Numbers that only derivatives need; the others are in kernel/softmax/exp_constants.h.
#pragma once

namespace nibble::kernel {

constexpr float kNormalPeak = 0x1.988454p-2f;  // 1 / sqrt(2 pi)

}  // namespace nibble::kernel
