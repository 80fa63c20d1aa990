// What this processor and operating system let a kernel use.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble {

/// Bits of CpuFeatures. A wide-register bit is set only when the operating system also saves those registers.
enum CpuFeature : std::uint32_t {
  kAvx2 = 1u << 0,
  kFma = 1u << 1,
  kF16c = 1u << 2,
  kAvx512 = 1u << 3,  ///< F, BW, VL and DQ together
  kAvx512Vnni = 1u << 4,
  kAvx512Vbmi = 1u << 5,
  kNeon = 1u << 6,
  kDotProd = 1u << 7,
  kAvxVnni = 1u << 8,   ///< integer dot products on 256 bits, without AVX-512
  kI8mm = 1u << 9,      ///< integer products of small matrices, and of bytes with and without signs
  kAmxInt8 = 1u << 10,  ///< tiles of bytes; set only when the operating system lets this process use them
};

using CpuFeatures = std::uint32_t;

/// Detected once. NIBBLE_ISA=portable|avx2|avxvnni|avx512|amx|neon|dotprod|i8mm lowers the level; see
/// check_forced_isa().
CpuFeatures cpu_features();

/// What the machine has, whatever NIBBLE_ISA says.
CpuFeatures detected_cpu_features();

/// The error to report at start when NIBBLE_ISA names an unknown or unsupported level; success otherwise.
Status check_forced_isa();

/// Whether the processor's own prefetcher, which follows memory that is read in ascending order, stops at the end of a
/// page of 4 KiB, as Intel's do. AMD's (measured: Zen 4) go on, and asking far ahead is slower there than not at all.
bool cpu_prefetcher_stops_at_pages();

/// Names of the bits set, for `nibble info`.
std::vector<std::string> cpu_feature_names(CpuFeatures features);

}  // namespace nibble
