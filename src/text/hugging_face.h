// A tokenizer as a Hugging Face folder holds it (tokenizer.json and the small files beside it), and the way from it to
// a TokenizerSpec and back.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "text/tokenizer_spec.h"

namespace nibble {

/// The texts of the files; all but the first may be empty (absent).
struct HuggingFaceFiles {
  std::string_view tokenizer_json;
  std::string_view tokenizer_config_json;
  std::string_view special_tokens_map_json;
  std::string_view generation_config_json;  ///< its eos_token_id ends generation
};

/// Reads the description; `what` names the folder in messages. Refused by name, with kUnsupported: models other than
/// BPE, and normalizers, pre-tokenizers, post-processors and decoders that Nibble lacks.
Result<TokenizerSpec> from_hugging_face(const HuggingFaceFiles& files, std::string what);

/// The documents to write, in the order of keys that people know. The chat template is the caller's to add.
struct HuggingFaceDocuments {
  Json tokenizer;           ///< tokenizer.json
  Json tokenizer_config;    ///< tokenizer_config.json
  Json special_tokens_map;  ///< special_tokens_map.json
};

/// Writes it, so that Hugging Face's `tokenizers` gives the same ids (but for added tokens that overlap each other: see
/// TokenizerSpec::longest_added_first). Fails when a token is not UTF-8.
Result<HuggingFaceDocuments> to_hugging_face(const TokenizerSpec& spec);

/// Parses the "normalizer", "pre_tokenizer" and "decoder" of a tokenizer.json, and writes them. For hugging_face.cc.
Status parse_normalizer(const Json& json, const std::string& what, std::vector<NormalizerStep>& steps);
Status parse_pre_tokenizer(const Json& json, const std::string& what, std::vector<PreTokenizerStep>& steps);
Status parse_decoder(const Json& json, const std::string& what, std::vector<DecoderStep>& steps);

}  // namespace nibble
