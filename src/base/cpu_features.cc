// CPU feature detection: CPUID and XGETBV on x86, the ELF auxiliary vector on ARM.
#include "base/cpu_features.h"

#include <array>
#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace nibble {
namespace {

struct NamedFeature {
  CpuFeature bit;
  std::string_view name;
};
constexpr std::array<NamedFeature, 11> kNames{{{kAvx2, "avx2"},
                                               {kFma, "fma"},
                                               {kF16c, "f16c"},
                                               {kAvxVnni, "avx-vnni"},
                                               {kAvx512, "avx512"},
                                               {kAvx512Vnni, "avx512-vnni"},
                                               {kAvx512Vbmi, "avx512-vbmi"},
                                               {kNeon, "neon"},
                                               {kDotProd, "dotprod"},
                                               {kI8mm, "i8mm"},
                                               {kAmxInt8, "amx-int8"}}};

/// What each value of NIBBLE_ISA allows and what it needs.
struct IsaLevel {
  std::string_view name;
  CpuFeatures allows;
  CpuFeatures needs;
};
constexpr CpuFeatures kAvx2Level = kAvx2 | kFma | kF16c;
constexpr CpuFeatures kAvxVnniLevel = kAvx2Level | kAvxVnni;
constexpr CpuFeatures kAvx512Level = kAvxVnniLevel | kAvx512 | kAvx512Vnni | kAvx512Vbmi;
constexpr CpuFeatures kAmxLevel = kAvx512Level | kAmxInt8;
constexpr CpuFeatures kDotProdLevel = kNeon | kDotProd;
constexpr CpuFeatures kI8mmLevel = kDotProdLevel | kI8mm;
constexpr std::array<IsaLevel, 8> kLevels{{{"portable", 0, 0},
                                           {"avx2", kAvx2Level, kAvx2Level},
                                           {"avxvnni", kAvxVnniLevel, kAvxVnniLevel},
                                           {"avx512", kAvx512Level, kAvx2Level | kAvx512 | kAvx512Vnni},
                                           {"amx", kAmxLevel, kAvx2Level | kAvx512 | kAvx512Vnni | kAmxInt8},
                                           {"neon", kNeon, kNeon},
                                           {"dotprod", kDotProdLevel, kDotProdLevel},
                                           {"i8mm", kI8mmLevel, kI8mmLevel}}};

#if defined(__x86_64__)
bool is_amd() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  constexpr unsigned kAuth = 0x68747541;  // of AuthenticAMD
  return __get_cpuid(0, &eax, &ebx, &ecx, &edx) != 0 && ebx == kAuth;
}

std::uint64_t saved_registers() {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

/// Linux saves the tiles of those who ask, once for the whole process (Documentation/arch/x86/xstate.rst).
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILE_DATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

CpuFeatures detect() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0) return 0;
  constexpr unsigned kOsXsave = 1u << 27;
  if ((ecx & kOsXsave) == 0) return 0;
  const unsigned leaf1_ecx = ecx;
  const std::uint64_t saved = saved_registers();
  const bool ymm_saved = (saved & 0x6u) == 0x6u;
  const bool zmm_saved = (saved & 0xE6u) == 0xE6u;
  if (!ymm_saved) return 0;
  CpuFeatures found = 0;
  if ((leaf1_ecx & (1u << 12)) != 0) found |= kFma;
  if ((leaf1_ecx & (1u << 29)) != 0) found |= kF16c;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return found;
  if ((ebx & (1u << 5)) != 0) found |= kAvx2;
  const unsigned leaf7_ebx = ebx;
  const unsigned leaf7_ecx = ecx;
  const unsigned leaf7_edx = edx;
  if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1u << 4)) != 0) found |= kAvxVnni;
  constexpr unsigned kF = 1u << 16;
  constexpr unsigned kDq = 1u << 17;
  constexpr unsigned kBw = 1u << 30;
  constexpr unsigned kVl = 1u << 31;
  if (zmm_saved && (leaf7_ebx & (kF | kDq | kBw | kVl)) == (kF | kDq | kBw | kVl)) {
    found |= kAvx512;
    if ((leaf7_ecx & (1u << 11)) != 0) found |= kAvx512Vnni;
    if ((leaf7_ecx & (1u << 1)) != 0) found |= kAvx512Vbmi;
  }
  constexpr unsigned kTiles = 1u << 24;
  constexpr unsigned kInt8Tiles = 1u << 25;
  const bool tiles_saved = (saved & 0x60000u) == 0x60000u;
  if (tiles_saved && (leaf7_edx & kTiles) != 0 && (leaf7_edx & kInt8Tiles) != 0 && may_use_tiles()) found |= kAmxInt8;
  return found;
}
#elif defined(__aarch64__)
CpuFeatures detect() {
  const unsigned long caps = getauxval(AT_HWCAP);
  CpuFeatures found = 0;
  if ((caps & HWCAP_ASIMD) != 0) found |= kNeon;
  if ((caps & HWCAP_ASIMDDP) != 0) found |= kDotProd;
  if ((getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0) found |= kI8mm;
  return found;
}
bool is_amd() { return false; }
#else
CpuFeatures detect() { return 0; }
bool is_amd() { return false; }
#endif

const IsaLevel* forced_level() {
  const char* name = std::getenv("NIBBLE_ISA");
  if (name == nullptr) return nullptr;
  for (const IsaLevel& level : kLevels)
    if (level.name == name) return &level;
  return nullptr;
}

}  // namespace

CpuFeatures detected_cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

CpuFeatures cpu_features() {
  static const CpuFeatures features = [] {
    const IsaLevel* level = forced_level();
    return level == nullptr ? detected_cpu_features() : (detected_cpu_features() & level->allows);
  }();
  return features;
}

bool cpu_prefetcher_stops_at_pages() {
  static const bool stops = !is_amd();
  return stops;
}

Status check_forced_isa() {
  const char* name = std::getenv("NIBBLE_ISA");
  if (name == nullptr) return {};
  std::string known;
  for (const IsaLevel& level : kLevels) known += (known.empty() ? "" : ", ") + std::string(level.name);
  const IsaLevel* level = forced_level();
  if (level == nullptr)
    return fail(ErrorCode::kInvalidArgument, "NIBBLE_ISA=\"{}\": unknown instruction set; known: {}", name, known);
  if ((detected_cpu_features() & level->needs) != level->needs)
    return fail(ErrorCode::kInvalidArgument,
                "NIBBLE_ISA={}: this processor does not have it; unset it or use another of {}", name, known);
  return {};
}

std::vector<std::string> cpu_feature_names(CpuFeatures features) {
  std::vector<std::string> names;
  for (const NamedFeature& feature : kNames)
    if ((features & feature.bit) != 0) names.emplace_back(feature.name);
  return names;
}

}  // namespace nibble
