// Sizes of slabs and register tiles on 16 registers of 256 bits.
#pragma once

#include "kernel/lanes/int_lanes_avx2.h"

namespace nibble::kernel::avx2 {
namespace {

constexpr int kFloatTile = 6;    // tokens in a register tile of the float path
constexpr int kMostPanels = 4;   // panels of a slab
constexpr int kChunkBlocks = 8;  // integer path: 256 columns, 4 KiB a panel
constexpr int kChunksAhead = 2;  // how far ahead weights are asked for: the hardware stops at 4 KiB page ends
constexpr int kFloatBlocks = 2;  // float path: 64 columns, 4 KiB a panel
constexpr int kFloatAhead = 8;   // and prefetch, in blocks

// Panels of a register tile: accumulators, weights and an activation fit in 16 registers.
template <int tokens>
constexpr int kTilePanels = tokens <= 2 ? 2 : 1;
template <int tokens>
constexpr int kFloatTilePanels = TileWidth<tokens>::value;

}  // namespace

/// Four int8 activations in every int32 lane.
NIBBLE_LANES __m256i broadcast_quad(const std::int8_t* q) {
  std::int32_t quad;
  __builtin_memcpy(&quad, q, sizeof(quad));
  return _mm256_set1_epi32(quad);
}

}  // namespace nibble::kernel::avx2
