// A tiny seeded decoder and a tokenizer of bytes, for tests of what runs models.
#pragma once

#include <cstring>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "kernel/matmul/packed_matrix.h"
#include "model/model_weights.h"
#include "text/byte_alphabet.h"
#include "text/gguf_vocab.h"
#include "text/tokenizer.h"

namespace nibble {

/// Seeded weights in float32, or rounded to a grid of int4 groups so that the integer kernels run.
class TinyWeights final : public ModelWeights {
 public:
  TinyWeights(ModelConfig config, bool int4, bool tied)
      : config_(std::move(config)), layout_(decoder_layout(config_, !tied)), int4_(int4) {}
  const ModelConfig& config() const override { return config_; }
  const ModelLayout& layout() const override { return layout_; }
  std::string path() const override { return "tiny"; }

  Result<MatrixPtr> matrix(LinearId id) const override {
    const LinearInfo& info = layout_.linears[static_cast<std::size_t>(id)];
    std::mt19937 random(static_cast<unsigned>(id) + 17);
    QuantizedMatrix m;
    if (!int4_ || info.role != LinearInfo::Role::kBlock) {
      m.allocate(QuantScheme::of_float(ElementType::kF32), info.rows, info.cols, 0, info.rows);
      std::normal_distribution<float> normal(0.0f, 0.2f);
      for (std::size_t i = 0; i < m.codes.size() / 4; ++i) {
        const float value = normal(random);
        std::memcpy(m.codes.data() + 4 * i, &value, 4);
      }
      return make_source(std::move(m));
    }
    m.allocate(*parse_scheme("int4-g32-sym"), info.rows, info.cols, 0, info.rows);
    for (std::uint8_t& code : m.codes) code = static_cast<std::uint8_t>(random() % 16);
    for (std::size_t i = 0; i < m.scale.entries.size() / 2; ++i) {
      const float scale = 0.02f + 0.001f * static_cast<float>(random() % 50);
      encode_elements(ElementType::kF16, &scale, 1, m.scale.entries.data() + 2 * i);
    }
    return make_source(std::move(m));
  }
  Result<std::vector<float>> bias(LinearId id) const override {
    const LinearInfo& info = layout_.linears[static_cast<std::size_t>(id)];
    std::vector<float> values;
    if (!info.bias) return values;
    for (std::int64_t i = 0; i < info.rows; ++i) values.push_back(0.1f * static_cast<float>(i % 7));
    return values;
  }
  Result<std::vector<float>> vector(VectorId id) const override {
    std::vector<float> values;
    for (std::int64_t i = 0; i < layout_.vectors[static_cast<std::size_t>(id)].size; ++i)
      values.push_back(0.5f + 0.05f * static_cast<float>((i + id) % 11));
    return values;
  }

 private:
  ModelConfig config_;
  ModelLayout layout_;
  bool int4_;
};

inline ModelConfig plain_config(std::int64_t vocab) {
  ModelConfig config;
  config.vocab_size = vocab;
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 16;
  config.max_position_embeddings = 1024;
  config.attention_scale = 0.25f;
  kernel::RopeConfig rope;
  rope.rotary_dim = 16;
  rope.max_position_embeddings = 1024;
  config.ropes = {rope};
  config.layers.assign(3, LayerKind{});
  return config;
}

/// Everything that Gemma 3 and Qwen add, at once.
inline ModelConfig rich_config(std::int64_t vocab) {
  ModelConfig config = plain_config(vocab);
  config.attention_bias = config.qk_norm = config.sandwich_norms = config.norm_plus_one = true;
  config.hidden_act = Activation::kGeluTanh;
  config.embedding_scale = 8.0f;
  config.final_logit_softcapping = 30.0f;
  config.attn_logit_softcapping = 20.0f;
  kernel::RopeConfig local = config.ropes[0];
  local.rope_theta = 1000.0;
  config.ropes.push_back(local);
  config.layers = {LayerKind{70, 1}, LayerKind{0, 0}, LayerKind{3, 1}};
  return config;
}

/// What tests of all kinds of models run through.
struct TinyKind {
  const char* name;
  bool rich;  ///< rich_config
  bool int4;
  kernel::Compute compute;
  int kv_bits = 0;
};
inline void PrintTo(const TinyKind& kind, std::ostream* out) { *out << kind.name; }

constexpr std::int64_t kByteVocab = 258;

/// 256 bytes, "aa", and a token that ends generation.
inline std::shared_ptr<const Tokenizer> byte_tokenizer() {
  GgufVocab vocab;
  vocab.model = "gpt2";
  vocab.pre = "gpt-2";
  for (unsigned byte = 0; byte < 256; ++byte) {
    vocab.tokens.emplace_back();
    append_utf8(vocab.tokens.back(), byte_to_alphabet(static_cast<std::uint8_t>(byte)));
  }
  vocab.tokens.emplace_back("aa");  // a vocabulary without merges is refused
  vocab.merges = {"a a"};
  vocab.token_types.assign(vocab.tokens.size(), 1);
  vocab.tokens.emplace_back("<|im_end|>");
  vocab.token_types.push_back(3);
  vocab.special.eos = 257;
  return Tokenizer::create(from_gguf(std::move(vocab), "bytes").value()).value();
}

inline std::vector<std::int32_t> random_tokens(std::size_t count, unsigned seed, std::int64_t vocab) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> out(count);
  for (std::int32_t& token : out) token = static_cast<std::int32_t>(random() % static_cast<unsigned>(vocab));
  return out;
}

}  // namespace nibble
