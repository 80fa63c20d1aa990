// The list of matmul kernels, and which one a machine uses: a pure function of layout and CPU features.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/cpu_features.h"
#include "kernel/matmul/matmul_tables.h"
#include "kernel/matmul/packed_matrix.h"

namespace nibble::kernel {

/// All kernels of this build, fastest instruction set first, the portable reference last.
std::span<const MatmulKernel* const> all_matmul_kernels();
std::span<const QuantizeKernel* const> all_quantize_kernels();

/// The first kernel of the list that computes `layout` in this way and whose needs are met. There always is one when
/// `compute` is kF32, or kInt8 and the layout has codes of 1 to 8 bits.
const MatmulKernel& choose_kernel(Layout layout, Compute compute, CpuFeatures features);
const QuantizeKernel& choose_quantize(CpuFeatures features);

/// Why choose_kernel passes over `kernel`: "needs avx512-vnni". Empty when it does not.
std::string why_not(const MatmulKernel& kernel, CpuFeatures features);

/// "q4", "e4m3", "generic" ...
std::string_view layout_word(Layout layout);

}  // namespace nibble::kernel
