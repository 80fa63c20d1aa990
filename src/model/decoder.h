// The common decoder, written once against Ops: embed, block, head. Drivers run one block at a time.
#pragma once

#include "model/model_layout.h"
#include "model/ops.h"

namespace nibble {

/// Embedding rows of the batch's tokens.
Value decoder_embed(Ops& ops, const ModelConfig& config, const ModelLayout& layout);

/// Block `layer`: x -> x + attention + MLP.
Value decoder_block(Ops& ops, const ModelConfig& config, const ModelLayout& layout, int layer, const Value& x);

/// Hidden states, after the final norm, of the rows that were asked for.
Value decoder_hidden_states(Ops& ops, const ModelConfig& config, const ModelLayout& layout, const Value& x);

/// Final norm and logits of the rows that were asked for.
Value decoder_head(Ops& ops, const ModelConfig& config, const ModelLayout& layout, const Value& x);

}  // namespace nibble
