// How much memory this process holds.
#pragma once

#include <cstdint>

namespace nibble {

/// Bytes of this process that are in memory now, mapped pages included; 0 where the system does not say.
std::uint64_t resident_bytes();

/// The most that there have been (VmHWM).
std::uint64_t peak_resident_bytes();

}  // namespace nibble
