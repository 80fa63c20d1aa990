// Eight codes of b bits are exactly b bytes, so a stream is moved eight codes at a time through one 64-bit register:
// halving the distance three times spreads (or gathers) them, without a loop over codes and the same for every width.
// Four bits, the width that most checkpoints have, are a loop over bytes, which compilers turn into vectors.
#include "io/bit_packing.h"

#include <algorithm>
#include <bit>

namespace nibble {
namespace {

static_assert(std::endian::native == std::endian::little, "streams are read in the order of a little-endian machine");

/// The low 8 * B bits of `x`, as eight fields of B bits, moved to one byte each.
template <int B>
inline std::uint64_t spread8(std::uint64_t x) noexcept {
  constexpr std::uint64_t kHalf = (std::uint64_t{1} << (4 * B)) - 1;
  constexpr std::uint64_t kQuarter = ((std::uint64_t{1} << (2 * B)) - 1) * 0x0000000100000001u;
  constexpr std::uint64_t kOne = ((std::uint64_t{1} << B) - 1) * 0x0001000100010001u;
  x = (x & kHalf) | (((x >> (4 * B)) & kHalf) << 32);
  x = (x & kQuarter) | (((x >> (2 * B)) & kQuarter) << 16);
  return (x & kOne) | (((x >> B) & kOne) << 8);
}

template <int B>
inline std::uint64_t gather8(std::uint64_t x) noexcept {
  constexpr std::uint64_t kHalf = (std::uint64_t{1} << (4 * B)) - 1;
  constexpr std::uint64_t kQuarter = ((std::uint64_t{1} << (2 * B)) - 1) * 0x0000000100000001u;
  constexpr std::uint64_t kOne = ((std::uint64_t{1} << B) - 1) * 0x0001000100010001u;
  x = (x & kOne) | (((x >> 8) & kOne) << B);
  x = (x & kQuarter) | (((x >> 16) & kQuarter) << (2 * B));
  return (x & kHalf) | (((x >> 32) & kHalf) << (4 * B));
}

/// `bytes` pairs of nibbles, the low one first.
inline void spread_pairs(const std::byte* stream, std::size_t bytes, std::uint8_t* codes) noexcept {
  for (std::size_t i = 0; i < bytes; ++i) {
    const auto pair = std::to_integer<std::uint32_t>(stream[i]);
    const auto both = static_cast<std::uint16_t>((pair | pair << 4) & 0x0F0Fu);
    std::memcpy(codes + 2 * i, &both, 2);
  }
}

inline void gather_pairs(const std::uint8_t* codes, std::size_t bytes, std::byte* stream) noexcept {
  for (std::size_t i = 0; i < bytes; ++i) {
    std::uint16_t both;
    std::memcpy(&both, codes + 2 * i, 2);
    stream[i] = static_cast<std::byte>((both | both >> 4) & 0xFFu);
  }
}

template <int B>
inline void unpack(const std::byte* stream, std::size_t count, std::uint8_t* codes) noexcept {
  if constexpr (B == 4) {
    spread_pairs(stream, count / 2, codes);
    if (count % 2 != 0) codes[count - 1] = std::to_integer<std::uint8_t>(stream[count / 2] & std::byte{15});
    return;
  }
  if constexpr (B == 8) {
    std::memcpy(codes, stream, count);
    return;
  }
  std::size_t left = packed_bytes(count, B);
  while (count >= 8 && left >= 8) {  // a whole register may be loaded
    std::uint64_t x;
    std::memcpy(&x, stream, 8);
    x = spread8<B>(x);
    std::memcpy(codes, &x, 8);
    stream += B, left -= B, codes += 8, count -= 8;
  }
  while (count > 0) {
    const std::size_t take = std::min<std::size_t>(count, 8);
    const std::size_t bytes = std::min<std::size_t>(left, B);
    std::uint64_t x = 0;
    std::memcpy(&x, stream, bytes);
    x = spread8<B>(x);
    std::memcpy(codes, &x, take);
    stream += bytes, left -= bytes, codes += take, count -= take;
  }
}

template <int B>
void pack(const std::uint8_t* codes, std::size_t count, std::byte* stream) noexcept {
  if constexpr (B == 4) {
    gather_pairs(codes, count / 2, stream);
    if (count % 2 != 0) stream[count / 2] = static_cast<std::byte>(codes[count - 1] & 15);
    return;
  }
  for (; count >= 8; stream += B, codes += 8, count -= 8) {
    std::uint64_t x;
    std::memcpy(&x, codes, 8);
    x = gather8<B>(x);
    std::memcpy(stream, &x, B);
  }
  if (count == 0) return;
  std::uint64_t x = 0;
  std::memcpy(&x, codes, count);
  x = gather8<B>(x);
  std::memcpy(stream, &x, packed_bytes(count, B));
}

}  // namespace

void unpack_bits(const std::byte* stream, int bits, std::size_t count, std::uint8_t* codes) noexcept {
  switch (bits) {
    case 1:
      return unpack<1>(stream, count, codes);
    case 2:
      return unpack<2>(stream, count, codes);
    case 3:
      return unpack<3>(stream, count, codes);
    case 4:
      return unpack<4>(stream, count, codes);
    case 5:
      return unpack<5>(stream, count, codes);
    case 6:
      return unpack<6>(stream, count, codes);
    case 7:
      return unpack<7>(stream, count, codes);
    default:
      if (count > 0) std::memcpy(codes, stream, count);  // of nothing, the pointers may be null
      return;
  }
}

void pack_bits(const std::uint8_t* codes, int bits, std::size_t count, std::byte* stream) noexcept {
  switch (bits) {
    case 1:
      return pack<1>(codes, count, stream);
    case 2:
      return pack<2>(codes, count, stream);
    case 3:
      return pack<3>(codes, count, stream);
    case 4:
      return pack<4>(codes, count, stream);
    case 5:
      return pack<5>(codes, count, stream);
    case 6:
      return pack<6>(codes, count, stream);
    case 7:
      return pack<7>(codes, count, stream);
    default:
      if (count > 0) std::memcpy(stream, codes, count);
      return;
  }
}

void unpack_word_fields(const std::byte* words, int bits, std::size_t count, std::uint8_t* codes) noexcept {
  const std::size_t fields = static_cast<std::size_t>(32 / bits);
  const std::uint32_t mask = (1u << bits) - 1u;
  for (std::size_t i = 0; i < count; i += fields) {
    std::uint32_t word;
    std::memcpy(&word, words + i / fields * 4, 4);
    for (std::size_t j = i; j < std::min(i + fields, count); ++j) {
      codes[j] = static_cast<std::uint8_t>(word & mask);
      word >>= bits;
    }
  }
}

void pack_high_nibbles(const std::uint8_t* codes, std::size_t count, std::byte* stream) noexcept {
  for (std::size_t i = 0; i < count / 2; ++i) {
    std::uint16_t both;
    std::memcpy(&both, codes + 2 * i, 2);
    stream[i] = static_cast<std::byte>((both << 4 | both >> 8) & 0xFF);
  }
  if (count % 2 != 0) stream[count / 2] = static_cast<std::byte>(codes[count - 1] << 4);
}

void unpack_high_nibbles(const std::byte* stream, std::uint64_t first, std::size_t count,
                         std::uint8_t* codes) noexcept {
  stream += first / 2;
  if (first % 2 != 0 && count > 0) {
    *codes++ = std::to_integer<std::uint8_t>(*stream++ & std::byte{15});
    --count;
  }
  for (std::size_t i = 0; i < count / 2; ++i) {
    const auto pair = std::to_integer<std::uint32_t>(stream[i]);
    const auto both = static_cast<std::uint16_t>((pair >> 4 | pair << 8) & 0x0F0Fu);
    std::memcpy(codes + 2 * i, &both, 2);
  }
  if (count % 2 != 0) codes[count - 1] = std::to_integer<std::uint8_t>(stream[count / 2] >> 4);
}

void unpack_slabs(const std::byte* elements, bool wide, std::int64_t slab, std::span<const int> shifts, int bits,
                  std::int64_t first, std::int64_t count, std::uint8_t* codes) noexcept {
  const std::uint32_t mask = (1u << bits) - 1u;
  while (count > 0) {
    const int shift = shifts[static_cast<std::size_t>(first / slab)];
    const std::int64_t from = first % slab;
    const std::int64_t run = std::min(count, slab - from);
    for (std::int64_t i = 0; i < run; ++i) {
      auto element = std::to_integer<std::uint32_t>(elements[wide ? 0 : from + i]);
      if (wide) std::memcpy(&element, elements + (from + i) * 4, 4);
      codes[i] = static_cast<std::uint8_t>((element >> shift) & mask);
    }
    first += run, count -= run, codes += run;
  }
}

void transpose_8x8(std::uint64_t words[8]) noexcept {
  const auto swap_between = [words](int a, int b, int shift, std::uint64_t mask) {
    const std::uint64_t t = ((words[a] >> shift) ^ words[b]) & mask;
    words[a] ^= t << shift;
    words[b] ^= t;
  };
  for (int i = 0; i < 4; ++i) swap_between(i, i + 4, 32, 0x00000000FFFFFFFFu);
  for (int i : {0, 1, 4, 5}) swap_between(i, i + 2, 16, 0x0000FFFF0000FFFFu);
  for (int i : {0, 2, 4, 6}) swap_between(i, i + 1, 8, 0x00FF00FF00FF00FFu);
}

std::uint64_t spread_nibbles(std::uint32_t word) noexcept { return spread8<4>(word); }
std::uint32_t gather_nibbles(std::uint64_t bytes) noexcept { return static_cast<std::uint32_t>(gather8<4>(bytes)); }

}  // namespace nibble
