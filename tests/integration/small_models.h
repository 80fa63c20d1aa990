// Small models for tests of the whole program: the llama of tests/golden with a tokenizer and a chat template, and one
// that takes a while to quantize.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/mapped_file.h"
#include "io/safetensors.h"

namespace nibble {

/// One token per printable ASCII character, the space as byte-level BPE writes it: 96 tokens.
inline Json ascii_tokenizer() {
  Json vocab = {{"<pad>", 0}, {"<s>", 1}, {"</s>", 2}, {"\xC4\xA0", 3}};
  for (char c = '!'; vocab.size() < 96; ++c) vocab[std::string(1, c)] = vocab.size();
  Json added = Json::array();
  for (const auto& [text, id] : {std::pair("<pad>", 0), std::pair("<s>", 1), std::pair("</s>", 2)})
    added.push_back({{"id", id},
                     {"content", text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return {{"version", "1.0"},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}}};
}

/// `size` printable characters, always the same ones.
inline std::string random_text(int size) {
  std::mt19937 random(3);
  std::string text;
  for (int i = 0; i < size; ++i) text += static_cast<char>(' ' + random() % 90);
  return text;
}

/// A model that can chat, in nonsense, for as long as it is let.
inline void write_chat_model(const std::filesystem::path& folder) {
  const std::filesystem::path source = std::filesystem::path(NIBBLE_SOURCE_DIR) / "tests/golden/models/llama";
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(source / "model.safetensors", folder / "model.safetensors");
  Json config = parse_untrusted(read_text_file(source / "config.json").value(), "config.json").value();
  config["max_position_embeddings"] = 1 << 20;
  std::ofstream(folder / "config.json") << config.dump(2);
  std::ofstream(folder / "tokenizer.json") << ascii_tokenizer().dump(2);
  std::ofstream(folder / "tokenizer_config.json") << R"({"bos_token": "<s>", "eos_token": "</s>"})";
  std::ofstream(folder / "chat_template.jinja") << "{% for m in messages %}{{ m.content }}{% endfor %}";
}

/// 27 million weights in float32.
inline void write_large_model(const std::filesystem::path& folder) {
  constexpr std::int64_t kHidden = 512;
  constexpr std::int64_t kFfn = 1536;
  constexpr std::int64_t kVocab = 512;
  constexpr int kLayers = 8;
  std::filesystem::create_directories(folder);
  const Json config = {{"architectures", {"LlamaForCausalLM"}},
                       {"model_type", "llama"},
                       {"vocab_size", kVocab},
                       {"hidden_size", kHidden},
                       {"intermediate_size", kFfn},
                       {"num_hidden_layers", kLayers},
                       {"num_attention_heads", 8},
                       {"num_key_value_heads", 8},
                       {"max_position_embeddings", 2048},
                       {"rms_norm_eps", 1e-5},
                       {"tie_word_embeddings", true}};
  std::ofstream(folder / "config.json") << config.dump(2);
  std::vector<SafetensorsPlan> plan{{"model.embed_tokens.weight", {kVocab, kHidden}, ElementType::kF32},
                                    {"model.norm.weight", {kHidden}, ElementType::kF32}};
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    for (const char* norm : {"input_layernorm", "post_attention_layernorm"})
      plan.push_back({prefix + norm + ".weight", {kHidden}, ElementType::kF32});
    for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"})
      plan.push_back({prefix + "self_attn." + name + ".weight", {kHidden, kHidden}, ElementType::kF32});
    for (const char* name : {"gate_proj", "up_proj"})
      plan.push_back({prefix + "mlp." + name + ".weight", {kFfn, kHidden}, ElementType::kF32});
    plan.push_back({prefix + "mlp.down_proj.weight", {kHidden, kFfn}, ElementType::kF32});
  }
  std::vector<float> values(static_cast<std::size_t>(kFfn * kHidden));
  std::uint32_t state = 1;
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<std::int32_t>(state)) * 1e-11f;
  }
  const auto writer = SafetensorsWriter::create(folder, plan, {}, 0).value();
  for (std::size_t i = 0; i < plan.size(); ++i) {
    std::size_t count = 1;
    for (const std::int64_t extent : plan[i].shape) count *= static_cast<std::size_t>(extent);
    (void)writer->write(i, 0, std::as_bytes(std::span(values).first(count)));
  }
  (void)writer->finish();
}

}  // namespace nibble
