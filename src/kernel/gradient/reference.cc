// Derivatives in portable code: the definition, step by step.
#include <cmath>

#include "kernel/gradient/gradient.h"
#include "kernel/softmax/exp.h"

namespace nibble::kernel::reference {
namespace {

/// act(x) and its derivative.
struct Activated {
  float value;
  float slope;
};

Activated activate(Activation act, float x) {
  switch (act) {
    case Activation::kSilu: {
      const float s = logistic(x);
      return {x * s, s * std::fma(x, 1.0f - s, 1.0f)};
    }
    case Activation::kGeluTanh: {  // x * logistic(z), z = kGeluTanhScale (x + kGeluCubic x^3)
      const float square = x * x;
      const float s = logistic((x * kGeluTanhScale) * std::fma(square, kGeluCubic, 1.0f));
      const float z_slope = kGeluTanhScale * std::fma(square, 3.0f * kGeluCubic, 1.0f);
      return {x * s, s * std::fma(x * (1.0f - s), z_slope, 1.0f)};
    }
    case Activation::kGeluErf: {
      const float below = normal_cdf(x);
      const float density = exp_nonpositive((x * x) * -0.5f) * kNormalPeak;
      return {x * below, std::fma(x, density, below)};
    }
    case Activation::kRelu:
      return {max(0.0f, x), x > 0.0f ? 1.0f : 0.0f};
  }
  return {};
}

void gated(Activation act, const float* gate, const float* up, const float* d_out, std::int64_t n, float* d_gate,
           float* d_up) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float d = d_out[i];
    const float u = up[i];
    const Activated a = activate(act, gate[i]);
    d_gate[i] = (d * u) * a.slope;
    d_up[i] = d * a.value;
  }
}

void rms_norm(const float* x, std::int64_t n, const float* weight, float eps, bool weight_plus_one, const float* d_out,
              float* d_x, float* d_weight) {
  float squares[64] = {};
  float products[64] = {};
  for (std::int64_t i = 0; i < n; ++i) {
    const float w = weight_plus_one ? 1.0f + weight[i] : weight[i];
    squares[i % 64] = std::fma(x[i], x[i], squares[i % 64]);
    products[i % 64] = std::fma(x[i], d_out[i] * w, products[i % 64]);
  }
  const float count = static_cast<float>(n);
  const float r = 1.0f / std::sqrt(reduce_add(squares) / count + eps);
  const float along = (reduce_add(products) / count) * (r * r);
  for (std::int64_t i = 0; i < n; ++i) {
    const float w = weight_plus_one ? 1.0f + weight[i] : weight[i];
    const float value = x[i];
    const float d = d_out[i];
    if (d_weight != nullptr) d_weight[i] = std::fma(d, value * r, d_weight[i]);
    d_x[i] = std::fma(-value, along, d * w) * r;
  }
}

void softmax(const float* p, const float* d_p, std::int64_t n, float scale, float* d_x) {
  float products[64] = {};
  for (std::int64_t i = 0; i < n; ++i) products[i % 64] = std::fma(p[i], d_p[i], products[i % 64]);
  const float mean = reduce_add(products);
  for (std::int64_t i = 0; i < n; ++i) d_x[i] = (p[i] * scale) * (d_p[i] - mean);
}

void softcap(const float* y, const float* d_y, std::int64_t n, float cap, float* d_x) {
  const float inverse = 1.0f / cap;
  for (std::int64_t i = 0; i < n; ++i) {
    const float t = y[i] * inverse;
    d_x[i] = d_y[i] * std::fma(-t, t, 1.0f);
  }
}

}  // namespace

extern const GradientKernel kGradient;
const GradientKernel kGradient = {{"gradient", "gradient_reference", 0}, gated, rms_norm, softmax, softcap};

}  // namespace nibble::kernel::reference
