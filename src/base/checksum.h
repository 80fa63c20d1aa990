// A checksum that finds damage at the speed of memory. Not against forgery: for that there is SHA-256.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace nibble {

/// 64 bits that depend on every byte and on their order. Eight lanes of 8 bytes, lane = rotate((lane ^ word) * odd,
/// 31), and at the end all lanes and the length through a finalizer; each step is a bijection of the lane, so that one
/// damaged word is always seen; other damage, unless it was made for that, goes unseen with a chance of 2^-64.
std::uint64_t checksum64(std::span<const std::byte> bytes) noexcept;

}  // namespace nibble
