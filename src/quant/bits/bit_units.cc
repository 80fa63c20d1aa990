#include "quant/bits/bit_units.h"

namespace nibble {

std::string_view kind_name(BitUnit::Kind kind) {
  constexpr std::string_view kNames[] = {"qkv", "o", "gate_up", "down", "embedding", "head"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::vector<BitUnit> bit_units(const ModelLayout& layout) {
  using Kind = BitUnit::Kind;
  std::vector<BitUnit> units;
  for (std::size_t i = 0; i < layout.blocks.size(); ++i) {
    const BlockLayout& b = layout.blocks[i];
    const auto layer = static_cast<int>(i);
    units.push_back({Kind::kQueryKeyValue, layer, {b.q_proj, b.k_proj, b.v_proj}});
    units.push_back({Kind::kAttentionOutput, layer, {b.o_proj}});
    units.push_back({Kind::kGateUp, layer, {b.gate_proj, b.up_proj}});
    units.push_back({Kind::kDown, layer, {b.down_proj}});
  }
  units.push_back({Kind::kEmbedding, -1, {layout.embedding}});
  if (layout.head != layout.embedding) units.push_back({Kind::kHead, -1, {layout.head}});
  return units;
}

}  // namespace nibble
