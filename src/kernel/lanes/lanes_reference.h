// Sixteen float lanes in portable C++, with the names of kernel/lanes: for reference kernels whose loops are written on
// lanes.
#pragma once

#include <cmath>

namespace nibble::kernel::reference {

#define NIBBLE_LANES inline
#define NIBBLE_UNROLL

struct F {
  float lane[16];
};
struct M {
  bool lane[16];
};

template <typename Operation>
F each(Operation operation) {
  F out;
  for (int i = 0; i < 16; ++i) out.lane[i] = operation(i);
  return out;
}

inline F set1(float x) {
  return each([&](int) { return x; });
}
inline F zero() { return set1(0.0f); }
inline F load(const float* p) {
  return each([&](int i) { return p[i]; });
}
inline void store(float* p, const F& x) {
  for (int i = 0; i < 16; ++i) p[i] = x.lane[i];
}
inline F add(const F& a, const F& b) {
  return each([&](int i) { return a.lane[i] + b.lane[i]; });
}
inline F sub(const F& a, const F& b) {
  return each([&](int i) { return a.lane[i] - b.lane[i]; });
}
inline F mul(const F& a, const F& b) {
  return each([&](int i) { return a.lane[i] * b.lane[i]; });
}
inline F div(const F& a, const F& b) {
  return each([&](int i) { return a.lane[i] / b.lane[i]; });
}
inline F fma(const F& a, const F& b, const F& c) {
  return each([&](int i) { return std::fma(a.lane[i], b.lane[i], c.lane[i]); });
}
inline F max(const F& a, const F& b) {
  return each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline F min(const F& a, const F& b) {
  return each([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline F abs(const F& a) {
  return each([&](int i) { return std::fabs(a.lane[i]); });
}
inline M less(const F& a, const F& b) {
  M out;
  for (int i = 0; i < 16; ++i) out.lane[i] = a.lane[i] < b.lane[i];
  return out;
}
inline F select(const M& m, const F& yes, const F& no) {
  return each([&](int i) { return m.lane[i] ? yes.lane[i] : no.lane[i]; });
}
/// How many lanes of a and b differ.
inline int lanes_that_differ(const F& a, const F& b) {
  int count = 0;
  for (int i = 0; i < 16; ++i) count += a.lane[i] != b.lane[i] ? 1 : 0;
  return count;
}

}  // namespace nibble::kernel::reference
