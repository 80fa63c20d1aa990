// How much memory this process holds.
#pragma once

#include <cstdint>

namespace nibble {

/// Bytes of this process that are in memory now, mapped pages included; 0 where the system does not say.
std::uint64_t resident_bytes();

/// The most that there have been (VmHWM).
std::uint64_t peak_resident_bytes();

/// What was freed goes back to the system where the allocator would keep it: glibc's does, in pieces that fit nothing,
/// and a walk through thirty blocks then holds twice what it uses.
void return_free_memory();

}  // namespace nibble
