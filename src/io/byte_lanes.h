// Sixteen bytes in one register: what moves codes across the rows of packed matrices. The compiler's vectors of this
// size exist in the base instruction set of every 64-bit machine, so that nothing here is chosen at run time.
#pragma once

#include <cstdint>
#include <cstring>

namespace nibble {

typedef std::uint8_t Bytes16 __attribute__((vector_size(16)));
typedef std::uint32_t Words4 __attribute__((vector_size(16)));

inline Bytes16 load_bytes16(const void* from) noexcept {
  Bytes16 bytes;
  std::memcpy(&bytes, from, 16);
  return bytes;
}
inline void store_bytes16(void* to, Bytes16 bytes) noexcept { std::memcpy(to, &bytes, 16); }

/// a0 b0 a1 b1 ... of the first, and of the last, eight bytes.
inline Bytes16 interleave_low(Bytes16 a, Bytes16 b) noexcept {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
inline Bytes16 interleave_high(Bytes16 a, Bytes16 b) noexcept {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/// Word j of row i becomes word i of row j.
inline void transpose_words_4x4(Words4 rows[4]) noexcept {
  const Words4 a = __builtin_shufflevector(rows[0], rows[2], 0, 4, 1, 5);
  const Words4 b = __builtin_shufflevector(rows[0], rows[2], 2, 6, 3, 7);
  const Words4 c = __builtin_shufflevector(rows[1], rows[3], 0, 4, 1, 5);
  const Words4 d = __builtin_shufflevector(rows[1], rows[3], 2, 6, 3, 7);
  rows[0] = __builtin_shufflevector(a, c, 0, 4, 1, 5);
  rows[1] = __builtin_shufflevector(a, c, 2, 6, 3, 7);
  rows[2] = __builtin_shufflevector(b, d, 0, 4, 1, 5);
  rows[3] = __builtin_shufflevector(b, d, 2, 6, 3, 7);
}

/// Byte j of row i becomes byte i of row j. A round interleaves rows i and i + 8, which turns the eight bits of an
/// element's row and column by one; four rounds exchange them.
inline void transpose_bytes_16x16(Bytes16 rows[16]) noexcept {
  Bytes16 other[16];
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 8; ++i) {
      other[2 * i] = interleave_low(rows[i], rows[i + 8]);
      other[2 * i + 1] = interleave_high(rows[i], rows[i + 8]);
    }
    for (int i = 0; i < 8; ++i) {
      rows[2 * i] = interleave_low(other[i], other[i + 8]);
      rows[2 * i + 1] = interleave_high(other[i], other[i + 8]);
    }
  }
}

}  // namespace nibble
