// Sizes of slabs and register tiles on 16 registers of 256 bits.
#pragma once

#include "kernel/lanes/int_lanes_avx2.h"

namespace nibble::kernel::avx2 {
namespace {

constexpr int kFloatTile = 6;   // tokens in a register tile of the float path
constexpr int kMostPanels = 4;  // panels of a slab

// Panels of a register tile: accumulators, weights and an activation fit in 16 registers.
template <int tokens>
constexpr int kTilePanels = tokens <= 2 ? 2 : 1;
template <int tokens>
constexpr int kFloatTilePanels = TileWidth<tokens>::value;

}  // namespace

/// The same four bytes of activations in every int32 lane.
NIBBLE_LANES __m256i broadcast_word(const void* q) {
  std::int32_t word;
  __builtin_memcpy(&word, q, sizeof(word));
  return _mm256_set1_epi32(word);
}

}  // namespace nibble::kernel::avx2
