// Which scales of an input's channels lose least when the linears behind it are rounded (algorithms.md 5.2, in Hessian
// form).
#pragma once

#include <span>
#include <vector>

#include "quant/awq/channel_scales.h"
#include "quant/quadratic_form.h"
#include "tensor/quant_scheme.h"

namespace nibble {

/// losses[i] = sum over the matrices of tr(E H E^T) with E = Q(W s) / s - W, s being scales[i] per column and Q
/// round-to-nearest to `scheme` with its scales as they are stored. The same bits for any number of threads.
std::vector<double> rounding_losses(std::span<const FloatMatrix> matrices, const QuadraticForm& h,
                                    const QuantScheme& scheme, std::span<const std::vector<float>> scales,
                                    ThreadPool& pool);

}  // namespace nibble
