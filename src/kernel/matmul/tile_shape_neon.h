// Sizes of slabs and register tiles on 32 registers of 128 bits.
#pragma once

#include "kernel/lanes/int_lanes_neon.h"

namespace nibble::kernel::neon {
namespace {

constexpr int kFloatTile = 6;   // tokens in a register tile of the float path
constexpr int kMostPanels = 4;  // panels of a slab

// Panels of a register tile: accumulators, weights and an activation fit in 32 registers.
template <int tokens>
constexpr int kFloatTilePanels = TileWidth<tokens>::value;

}  // namespace

/// The same four activations in every int32 lane.
NIBBLE_LANES int8x16_t broadcast_word(const std::int8_t* q) {
  std::int32_t word;
  __builtin_memcpy(&word, q, sizeof(word));
  return vreinterpretq_s8_s32(vdupq_n_s32(word));
}

}  // namespace nibble::kernel::neon
