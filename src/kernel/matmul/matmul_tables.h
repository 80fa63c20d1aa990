// What an instruction-set file exports: plain tables of kernels. Included by those files, so nothing but plain structs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "kernel/matmul/packed_view.h"

namespace nibble::kernel {

struct MatmulKernel {
  const char* name;  ///< matmul_<weights>_<activations>_<instruction set>
  Layout layout;
  bool int8;            ///< activations are int8; else float32
  std::uint32_t needs;  ///< bits of CpuFeature
  MatmulRun run;
  bool takes_tiles = false;  ///< of InputView, where they are prepared
};

struct QuantizeKernel {
  const char* name;
  std::uint32_t needs;
  QuantizeRun run;
};

/// A table of kernels; instruction-set files define one each.
struct KernelTable {
  const MatmulKernel* kernels;
  std::size_t count;
  QuantizeKernel quantize;  ///< run is null where the next table's serves as well
};

namespace reference {
extern const KernelTable kMatmulKernels;
}
namespace avx2 {
extern const KernelTable kMatmulKernels;
}
namespace avxvnni {
extern const KernelTable kMatmulKernels;
}
namespace avx512 {
extern const KernelTable kMatmulKernels;
}
namespace amx {
extern const KernelTable kMatmulKernels;
}
namespace neon {
extern const KernelTable kMatmulKernels;
}
namespace dotprod {
extern const KernelTable kMatmulKernels;
}
namespace i8mm {
extern const KernelTable kMatmulKernels;
}

}  // namespace nibble::kernel
