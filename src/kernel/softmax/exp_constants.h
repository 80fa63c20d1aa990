// Numbers of the shared polynomials for exp, tanh and the normal distribution. The reference (exp.h) and the vector
// code (exp_lanes.inc) do the same fused steps with them, so their results have equal bits. Coefficients are minimax
// fits by the Remez exchange in 40 digits, rounded to float; the relative error of each fit is given.
#pragma once

namespace nibble::kernel {

constexpr float kLog2E = 0x1.715476p+0f;
constexpr float kLn2High = 0x1.62e43p-1f;   // 20 bits, so n * kLn2High is exact
constexpr float kLn2Low = -0x1.05c61p-29f;  // ln 2 - kLn2High
constexpr float kRoundMagic = 0x1.8p+23f;   // x + this rounds x to an integer and leaves it in the low bits
constexpr float kExpUnderflow = -87.0f;     // below: 0 (e^-87 = 1.6e-38, the smallest normal is 1.2e-38)

/// e^r = 1 + r + r^2 P(r), |r| <= ln(2)/2; 3.1e-9
constexpr float kExp0 = 0x1.fffffcp-2f;
constexpr float kExp1 = 0x1.555492p-3f;
constexpr float kExp2 = 0x1.5558f2p-5f;
constexpr float kExp3 = 0x1.1239e2p-7f;
constexpr float kExp4 = 0x1.6a242ep-10f;

/// tanh u = u + u^3 P(u^2), |u| <= 0.6; 2.6e-9
constexpr float kTanhSplit = 0.6f;
constexpr float kTanh0 = -0x1.55553ep-2f;
constexpr float kTanh1 = 0x1.1109dcp-3f;
constexpr float kTanh2 = -0x1.b89edap-5f;
constexpr float kTanh3 = 0x1.54e01ap-6f;
constexpr float kTanh4 = -0x1.830c02p-8f;

/// (1 + 2t) e^(t^2) erfc(t) = P((t - 2) / (t + 2)), 0 <= t <= 10; 1.3e-8
constexpr float kErfc0 = 0x1.46e80ep+0f;
constexpr float kErfc1 = -0x1.7bf614p-4f;
constexpr float kErfc2 = -0x1.540844p-3f;
constexpr float kErfc3 = 0x1.4ffc36p-3f;
constexpr float kErfc4 = -0x1.bc0b84p-5f;
constexpr float kErfc5 = -0x1.0818d0p-7f;
constexpr float kErfc6 = 0x1.1ae522p-7f;
constexpr float kErfc7 = 0x1.58626ep-10f;
constexpr float kErfc8 = -0x1.42edf0p-10f;
constexpr float kErfc9 = -0x1.a53abap-12f;
constexpr float kSqrtHalf = 0x1.6a09e6p-1f;
constexpr float kNormalLimit = 14.0f;  // beyond: the tail is below e^-87

constexpr float kGeluCubic = 0.044715f;
constexpr float kGeluTanhScale = 1.5957691216f;  // 2 sqrt(2 / pi)
constexpr float kNormalPeak = 0x1.988454p-2f;    // 1 / sqrt(2 pi)

}  // namespace nibble::kernel
