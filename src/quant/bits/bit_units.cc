#include "quant/bits/bit_units.h"

#include <utility>

#include "quant/input_groups.h"

namespace nibble {

std::string_view kind_name(BitUnit::Kind kind) {
  constexpr std::string_view kNames[] = {"qkv", "o", "gate_up", "down", "embedding", "head"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::vector<BitUnit> bit_units(const ModelLayout& layout) {
  using Kind = BitUnit::Kind;
  std::vector<BitUnit> units;
  for (std::size_t i = 0; i < layout.blocks.size(); ++i) {
    auto kind = Kind::kQueryKeyValue;
    for (std::vector<LinearId>& group : input_groups(layout.blocks[i])) {
      units.push_back({kind, static_cast<int>(i), std::move(group)});
      kind = static_cast<Kind>(static_cast<std::uint8_t>(kind) + 1);
    }
  }
  units.push_back({Kind::kEmbedding, -1, {layout.embedding}});
  if (layout.head != layout.embedding) units.push_back({Kind::kHead, -1, {layout.head}});
  return units;
}

}  // namespace nibble
