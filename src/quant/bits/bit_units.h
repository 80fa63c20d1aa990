// What a bit search gives a scheme to: linears that share one.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/model_layout.h"

namespace nibble {

struct BitUnit {
  /// q, k, v and gate, up of a block are fused when models are loaded, so they keep one scheme.
  enum class Kind : std::uint8_t { kQueryKeyValue, kAttentionOutput, kGateUp, kDown, kEmbedding, kHead };
  Kind kind = Kind::kQueryKeyValue;
  int layer = -1;                 ///< of a block, else -1
  std::vector<LinearId> linears;  ///< in the order in which they are multiplied
};

/// "qkv", "o", "gate_up", "down", "embedding", "head"
std::string_view kind_name(BitUnit::Kind kind);

/// All linears of a model: block by block, then the embedding, then the head where it has weights of its own.
std::vector<BitUnit> bit_units(const ModelLayout& layout);

}  // namespace nibble
