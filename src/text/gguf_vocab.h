// A tokenizer as GGUF metadata holds it (the keys tokenizer.ggml.*), and the way from it to a TokenizerSpec and back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/tokenizer_spec.h"

namespace nibble {

/// The values of the keys. Whoever reads or writes a GGUF fills it in; text/ knows no containers.
struct GgufVocab {
  std::string model;                      ///< tokenizer.ggml.model
  std::string pre;                        ///< .pre; may be empty
  std::vector<std::string> tokens;        ///< .tokens
  std::vector<float> scores;              ///< .scores; empty or one per token
  std::vector<std::int32_t> token_types;  ///< .token_type; empty or one per token
  std::vector<std::string> merges;        ///< .merges; "left right"
  SpecialTokens special;                  ///< .bos_token_id and so on (unk is .unknown_token_id, pad .padding_token_id)
  std::optional<bool> add_bos;            ///< .add_bos_token
  std::optional<bool> add_eos;            ///< .add_eos_token
  std::optional<bool> add_space_prefix;   ///< .add_space_prefix
  std::string model_name;                 ///< general.name: Phi-3's special tokens swallow the white space after them

  std::vector<std::string> warnings;  ///< filled by to_gguf: what the format cannot say
};

/// Reads the description; `what` names the file in messages. Behaves as llama.cpp where keys are absent or doubtful.
/// Fails, naming key and index, on contradictions, and with kUnsupported on models and pre-tokenizers that Nibble
/// lacks.
Result<TokenizerSpec> from_gguf(GgufVocab vocab, std::string what);

/// Writes it. `vocab_size`: the number of rows of the embedding; tokens named [PADi] fill up to it.
/// Fails with kUnsupported, naming the way out, when GGUF has no name for the pre-tokenizer or no place for a step.
Result<GgufVocab> to_gguf(const TokenizerSpec& spec, std::optional<std::int32_t> vocab_size = {});

}  // namespace nibble
