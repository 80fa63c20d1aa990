// What a model needs to turn text into tokens and back: tokenizer, chat template, generation defaults. Read from a GGUF
// file or a Hugging Face folder, written to either.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/json.h"
#include "io/checkpoint.h"
#include "text/tokenizer.h"
#include "text/tokenizer_spec.h"

namespace nibble {

struct TextAssets {
  TokenizerSpec tokenizer;
  std::optional<std::string> chat_template;
  std::map<std::string, std::string> named_templates;  ///< those beside the default: "tool_use", "rag"
  Json generation_config = Json::object();
};

/// Reads the tokenizer of a checkpoint: tokenizer.ggml.* of a GGUF file, tokenizer.json and its companions of a folder.
/// Errors: kNotFound when there is none; otherwise as the tokenizer readers.
Result<TextAssets> read_text_assets(const Checkpoint& checkpoint);

/// The files of a folder that say the same: tokenizer.json, tokenizer_config.json (chat template included),
/// special_tokens_map.json, generation_config.json. By name.
Result<std::map<std::string, std::string>> text_assets_as_files(const TextAssets& assets);

/// Sets the tokenizer.* keys that say the same. `vocab_size`: rows of the embedding.
Status text_assets_to_gguf(const TextAssets& assets, std::int64_t vocab_size, GgufMetadata& metadata);

}  // namespace nibble
