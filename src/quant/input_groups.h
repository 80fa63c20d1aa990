// Which linears of a block share an input.
#pragma once

#include <array>
#include <vector>

#include "model/model_layout.h"

namespace nibble {

/// In the order in which the block multiplies: q, k, v; o; gate, up; down.
inline std::array<std::vector<LinearId>, 4> input_groups(const BlockLayout& block) {
  return {{{block.q_proj, block.k_proj, block.v_proj},
           {block.o_proj},
           {block.gate_proj, block.up_proj},
           {block.down_proj}}};
}

}  // namespace nibble
