// Bit streams that hold codes of 1..8 bits, least significant bit first: code i of a stream occupies bits
// [i * bits, (i + 1) * bits) of the little-endian bytes. Dense streams of this kind are what GPTQ, compressed-tensors,
// AWQ GEMV, NVFP4, MXFP4 and the nibble family store; each family adds only its own order around them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace nibble {

/// Bytes of a dense stream of `count` codes.
constexpr std::uint64_t packed_bytes(std::uint64_t count, int bits) noexcept {
  return count / 8 * static_cast<std::uint64_t>(bits) + (count % 8 * static_cast<std::uint64_t>(bits) + 7) / 8;
}

/// Bytes of a dense stream of `count` codes that is padded to whole 32-bit words.
constexpr std::uint64_t packed_word_bytes(std::uint64_t count, int bits) noexcept {
  return (packed_bytes(count, bits) + 3) / 4 * 4;
}

/// codes[i] = code i of the stream. Reads packed_bytes(count, bits) bytes, no more. bits is 1..8.
void unpack_bits(const std::byte* stream, int bits, std::size_t count, std::uint8_t* codes) noexcept;

/// The inverse: writes packed_bytes(count, bits) bytes, unused bits of the last one zero. Codes must fit in `bits`.
void pack_bits(const std::uint8_t* codes, int bits, std::size_t count, std::byte* stream) noexcept;

/// Codes in 32-bit words of 32 / bits whole fields each, the top bits of a word unused (compressed-tensors before
/// 0.17). Reads ceil(count / (32 / bits)) words.
void unpack_word_fields(const std::byte* words, int bits, std::size_t count, std::uint8_t* codes) noexcept;

/// Two codes per byte, the first in the HIGH nibble (bitsandbytes): codes [first, first + count) of the stream.
void unpack_high_nibbles(const std::byte* stream, std::uint64_t first, std::size_t count, std::uint8_t* codes) noexcept;

/// The inverse from code 0 on: writes (count + 1) / 2 bytes, the low nibble behind an odd count zero.
void pack_high_nibbles(const std::uint8_t* codes, std::size_t count, std::byte* stream) noexcept;

/// Codes that share an element with those `slab` codes away: code f is at bit shifts[f / slab] of element f % slab.
/// Elements are bytes, or little-endian 32-bit words when `wide`. codes = codes [first, first + count).
void unpack_slabs(const std::byte* elements, bool wide, std::int64_t slab, std::span<const int> shifts, int bits,
                  std::int64_t first, std::int64_t count, std::uint8_t* codes) noexcept;

/// Transposes 8 words of 8 bytes: byte i of word j becomes byte j of word i.
void transpose_8x8(std::uint64_t words[8]) noexcept;

/// The 8 nibbles of a word as 8 bytes, nibble 0 in byte 0.
std::uint64_t spread_nibbles(std::uint32_t word) noexcept;
/// The inverse: the low nibble of each byte.
std::uint32_t gather_nibbles(std::uint64_t bytes) noexcept;

}  // namespace nibble
