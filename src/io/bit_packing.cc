// Eight codes of b bits are exactly b bytes, so a stream is moved eight codes at a time through one 64-bit register:
// halving the distance three times spreads (or gathers) them, without a loop over codes and the same for every width.
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

template <int B>
void unpack(const std::byte* stream, std::size_t count, std::uint8_t* codes) noexcept {
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
  while (count > 0) {
    const std::size_t take = std::min<std::size_t>(count, 8);
    std::uint64_t x = 0;
    std::memcpy(&x, codes, take);
    x = gather8<B>(x);
    const std::size_t bytes = packed_bytes(take, B);
    std::memcpy(stream, &x, bytes);
    stream += bytes, codes += take, count -= take;
  }
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

void unpack_high_nibbles(const std::byte* stream, std::uint64_t first, std::size_t count,
                         std::uint8_t* codes) noexcept {
  stream += first / 2;
  if (first % 2 != 0 && count > 0) {
    *codes++ = std::to_integer<std::uint8_t>(*stream++ & std::byte{15});
    --count;
  }
  for (std::size_t i = 0; i < count / 2; ++i) {
    codes[2 * i] = std::to_integer<std::uint8_t>(stream[i] >> 4);
    codes[2 * i + 1] = std::to_integer<std::uint8_t>(stream[i] & std::byte{15});
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

void WordColumns::unpack(std::int64_t first, std::int64_t column_count, int bits, std::int64_t count,
                         std::uint8_t* codes, std::int64_t pitch) const noexcept {
  // 32 codes are `bits` words. A tile of columns shares the cache lines of its words and keeps as many write streams.
  constexpr std::int64_t kTile = 32;
  for (std::int64_t tile = 0; tile < column_count; tile += kTile) {
    const std::int64_t tile_end = std::min(tile + kTile, column_count);
    for (std::int64_t i = 0; i < count; i += 32) {
      const auto take = static_cast<std::size_t>(std::min<std::int64_t>(32, count - i));
      const auto word_count = static_cast<std::int64_t>(packed_word_bytes(take, bits) / 4);
      const std::int64_t word_row = i / 32 * bits;
      for (std::int64_t c = tile; c < tile_end; ++c) {
        std::uint32_t column[8];
        for (std::int64_t j = 0; j < word_count; ++j) column[j] = word(word_row + j, first + c);
        unpack_bits(reinterpret_cast<const std::byte*>(column), bits, take, codes + c * pitch + i);
      }
    }
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
