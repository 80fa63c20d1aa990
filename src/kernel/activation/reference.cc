// Activations in portable code: the definition, step by step.
#include "kernel/activation/activation.h"
#include "kernel/softmax/exp.h"

namespace nibble::kernel::reference {
namespace {

float activate(Activation act, float x) {
  switch (act) {
    case Activation::kSilu:
      return x * logistic(x);
    case Activation::kGeluTanh:  // (1 + tanh(u)) / 2 = logistic(2u): no cancellation for negative x
      return x * logistic((x * kGeluTanhScale) * std::fma(x * x, kGeluCubic, 1.0f));
    case Activation::kGeluErf:
      return x * normal_cdf(x);
    case Activation::kRelu:
      return max(0.0f, x);
  }
  return x;
}

void gated(Activation act, const float* gate, const float* up, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float y = activate(act, gate[i]);
    out[i] = up == nullptr ? y : y * up[i];
  }
}

void add_scaled(float* x, const float* y, float factor, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) x[i] = x[i] + y[i] * factor;
}

void scale(float* x, float factor, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) x[i] = x[i] * factor;
}

void softcap(float* x, float cap, std::int64_t n) {
  const float inverse = 1.0f / cap;
  for (std::int64_t i = 0; i < n; ++i) x[i] = cap * reference::tanh(x[i] * inverse);
}

}  // namespace

extern const ActivationKernel kActivation;
const ActivationKernel kActivation = {{"activation", "activation_reference", 0}, gated, add_scaled, scale, softcap};

}  // namespace nibble::kernel::reference
