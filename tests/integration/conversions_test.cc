// Conversions between checkpoint families on a whole model: where one is exact, codes and scales are the same bits and
// the model computes the same logits to the last bit; where it is not, the refusal says what to do.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <random>

#include "api/loaded_model.h"
#include "io/safetensors.h"
#include "nibble/quantize.h"

namespace nibble {
namespace {

constexpr std::int64_t kHidden = 128;
constexpr std::int64_t kFeedForward = 256;
constexpr std::int64_t kVocab = 160;

/// A Llama of one block with seeded random weights, in BF16.
void write_model(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const std::string block = "model.layers.0.";
  std::vector<SafetensorsPlan> plan{{"model.embed_tokens.weight", {kVocab, kHidden}, ElementType::kBf16},
                                    {"lm_head.weight", {kVocab, kHidden}, ElementType::kBf16},
                                    {"model.norm.weight", {kHidden}, ElementType::kBf16},
                                    {block + "input_layernorm.weight", {kHidden}, ElementType::kBf16},
                                    {block + "post_attention_layernorm.weight", {kHidden}, ElementType::kBf16}};
  for (const char* name : {"q_proj", "o_proj"})
    plan.push_back({block + "self_attn." + name + ".weight", {kHidden, kHidden}, ElementType::kBf16});
  for (const char* name : {"k_proj", "v_proj"})
    plan.push_back({block + "self_attn." + name + ".weight", {kHidden / 2, kHidden}, ElementType::kBf16});
  for (const char* name : {"gate_proj", "up_proj"})
    plan.push_back({block + "mlp." + name + ".weight", {kFeedForward, kHidden}, ElementType::kBf16});
  plan.push_back({block + "mlp.down_proj.weight", {kHidden, kFeedForward}, ElementType::kBf16});
  auto writer = SafetensorsWriter::create(folder, plan);
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  for (std::size_t i = 0; i < plan.size(); ++i) {
    std::size_t count = 1;
    for (const std::int64_t d : plan[i].shape) count *= static_cast<std::size_t>(d);
    std::vector<float> values(count);
    for (float& value : values) value = plan[i].shape.size() == 1 ? 1.0f : normal(random);
    std::vector<std::byte> bytes(2 * count);
    encode_elements(ElementType::kBf16, values.data(), count, bytes.data());
    ASSERT_TRUE((*writer)->write(i, 0, bytes).ok());
  }
  ASSERT_TRUE((*writer)->finish().ok());
  const Json config = {{"architectures", {"LlamaForCausalLM"}},
                       {"model_type", "llama"},
                       {"hidden_size", kHidden},
                       {"intermediate_size", kFeedForward},
                       {"num_hidden_layers", 1},
                       {"num_attention_heads", 4},
                       {"num_key_value_heads", 2},
                       {"vocab_size", kVocab},
                       {"rms_norm_eps", 1e-5},
                       {"rope_theta", 10000.0},
                       {"max_position_embeddings", 64},
                       {"hidden_act", "silu"},
                       {"tie_word_embeddings", false},
                       {"torch_dtype", "bfloat16"}};
  std::ofstream(folder / "config.json") << config.dump(2);
}

class Conversions : public testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() / ("nibble_conversions" + std::to_string(getpid()));
    write_model(root_ / "float");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::string path(const std::string& name) const { return (root_ / name).string(); }

  std::string quantized(const std::string& scheme, const std::string& to) const {
    QuantizeOptions options;
    options.scheme = scheme;
    options.to = to;
    const std::string out = path(scheme + "-" + to);
    const auto written = quantize(path("float"), out, options);
    EXPECT_TRUE(written.ok()) << scheme << " to " << to << ": " << (written.ok() ? "" : written.error().message);
    return out;
  }

  Result<ConversionReport> convert_to(const std::string& model, const std::string& out, const std::string& to,
                                      bool lossy = false) const {
    ConvertOptions options;
    options.to = to;
    options.lossy = lossy;
    return convert(model, out, options);
  }

  /// Logits of a few tokens; the same kernel layouts give the same bits.
  static std::vector<float> logits(const std::string& model, Arithmetic arithmetic = Arithmetic::kF32) {
    LoadOptions options;
    options.threads = 1;
    options.arithmetic = arithmetic;
    Result<LoadedModel> loaded = load_model(model, options);
    EXPECT_TRUE(loaded.ok()) << model << ": " << (loaded.ok() ? "" : loaded.error().message);
    if (!loaded.ok()) return {};
    const std::vector<std::int32_t> tokens{3, 14, 15, 92, 65};
    const auto sequence = loaded->executor->new_sequence();
    std::vector<float> out;
    const BatchItem item{sequence.get(), tokens, BatchItem::Logits::kAll};
    EXPECT_TRUE(loaded->executor
                    ->forward({&item, 1}, [&](std::size_t, std::int64_t, std::int64_t rows,
                                              const float* row) { out.insert(out.end(), row, row + rows * kVocab); })
                    .ok());
    return out;
  }

  /// Converts through the families in turn; every step is exact and changes no logit.
  void expect_exact_chain(const std::string& model, const std::vector<std::string>& families) const {
    const std::vector<float> expected = logits(model);
    std::string from = model;
    for (std::size_t i = 0; i < families.size(); ++i) {
      const std::string out = model + "-" + std::to_string(i) + (families[i].starts_with("gguf") ? ".gguf" : "");
      const auto done = convert_to(from, out, families[i]);
      ASSERT_TRUE(done.ok()) << model << " step " << i << " to " << families[i] << ": " << done.error().message;
      for (const TensorReport& tensor : done->tensors)
        EXPECT_TRUE(tensor.exact) << model << " to " << families[i] << ": " << tensor.name;
      const std::vector<float> found = logits(out);
      ASSERT_EQ(found.size(), expected.size());
      EXPECT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)), 0)
          << model << " step " << i << " to " << families[i];
      from = out;
    }
  }

  /// Codes, zero points and scales of GPTQ and AutoRound are the same bytes in both folders, `count` tensors.
  static void expect_same_gptq(const std::string& one, const std::string& two, std::size_t count) {
    TensorSet first;
    TensorSet second;
    ASSERT_TRUE(open_safetensors_folder(one, first).ok());
    ASSERT_TRUE(open_safetensors_folder(two, second).ok());
    std::size_t compared = 0;
    for (const StoredTensor& tensor : first.all()) {
      if (!tensor.name.ends_with(".qweight") && !tensor.name.ends_with(".scales") && !tensor.name.ends_with(".qzeros"))
        continue;
      const StoredTensor* other = second.find(tensor.name);
      ASSERT_NE(other, nullptr) << tensor.name;
      ++compared;
      EXPECT_TRUE(std::equal(tensor.bytes.begin(), tensor.bytes.end(), other->bytes.begin(), other->bytes.end()))
          << tensor.name;
    }
    EXPECT_EQ(compared, count);
  }

  /// A GPTQ checkpoint (v2) whose modules are of several others, each with its settings in `dynamic`.
  std::string mixed_gptq(const std::vector<std::pair<std::string, std::string>>& scheme_of_module) const {
    const std::string base = quantized("int4-g32-sym", "gptq");
    const std::string out = path("mixed");
    std::filesystem::create_directories(out);
    std::deque<TensorSet> sets(1);
    EXPECT_TRUE(open_safetensors_folder(base, sets.front()).ok());
    Json config = config_of(base);
    config["quantization_config"]["checkpoint_format"] = "gptq_v2";
    std::vector<const StoredTensor*> tensors;
    for (const StoredTensor& tensor : sets.front().all()) tensors.push_back(&tensor);
    for (const auto& [module, scheme] : scheme_of_module) {
      const std::string folder = quantized(scheme, "gptq");
      EXPECT_TRUE(open_safetensors_folder(folder, sets.emplace_back()).ok());
      Json own = config_of(folder)["quantization_config"];
      config["quantization_config"]["dynamic"][".*" + module] = {
          {"bits", own["bits"]}, {"group_size", own["group_size"]}, {"sym", own["sym"]}};
      for (const StoredTensor*& tensor : tensors)
        if (tensor->name.find(module) != std::string::npos) tensor = sets.back().find(tensor->name);
    }
    std::vector<SafetensorsPlan> plan;
    for (const StoredTensor* tensor : tensors) plan.push_back({tensor->name, tensor->shape, tensor->element});
    auto writer = SafetensorsWriter::create(out, plan);
    EXPECT_TRUE(writer.ok());
    for (std::size_t i = 0; writer.ok() && i < tensors.size(); ++i)
      EXPECT_TRUE((*writer)->write(i, 0, tensors[i]->bytes).ok());
    EXPECT_TRUE(writer.ok() && (*writer)->finish().ok());
    std::ofstream(out + "/config.json") << config.dump();
    return out;
  }

  static Json config_of(const std::string& folder) {
    std::ifstream file(folder + "/config.json");
    return Json::parse(file);
  }

  std::filesystem::path root_;
};

TEST_F(Conversions, SymmetricFourBits) {
  for (const char* scheme : {"int4-g32-sym", "int4-g64-sym", "int4-g128-sym", "int4-channel-sym"})
    expect_exact_chain(quantized(scheme, "gptq"), {"auto-round", "gguf", "compressed-tensors", "gptq", "gguf"});
}

TEST_F(Conversions, AsymmetricFourBits) {
  const std::string awq = quantized("int4-g64-asym", "awq");
  expect_exact_chain(awq, {"gptq", "compressed-tensors", "awq", "gguf"});
  expect_exact_chain(awq, {"auto-round", "gptq", "auto-round", "awq"});
  expect_same_gptq(awq + "-0", awq + "-1", 21);
  expect_same_gptq(awq + "-1", awq + "-2", 21);
  EXPECT_EQ(config_of(awq + "-2")["quantization_config"]["packing_format"], "auto_round");
}

/// Widths, groups and zero points of modules apart; the zero points of symmetric ones are stored as those of the
/// others.
TEST_F(Conversions, ModulesOfSeveralSchemes) {
  const std::string gptq = mixed_gptq({{"q_proj", "int4-g32-asym"}, {"down_proj", "int8-g64-sym"}});
  expect_exact_chain(gptq, {"auto-round", "gptq", "auto-round", "compressed-tensors"});
  const Json config = config_of(gptq + "-0")["quantization_config"];
  EXPECT_EQ(config["packing_format"], "auto_round");
  EXPECT_EQ(config["extra_config"]["model.layers.0.mlp.down_proj"]["bits"], 8);
  expect_same_gptq(gptq + "-0", gptq + "-1", 21);
  TensorSet written;
  ASSERT_TRUE(open_safetensors_folder(gptq + "-0", written).ok());
  const auto zeros = written.find("model.layers.0.self_attn.k_proj.qzeros")->bytes;
  EXPECT_TRUE(std::all_of(zeros.begin(), zeros.end(), [](std::byte b) { return b == std::byte{0x88}; }));
}

TEST_F(Conversions, AwqHasOneGroupSize) {
  const auto refused = convert_to(mixed_gptq({{"q_proj", "int4-g64-asym"}}), path("awq"), "awq");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("int4-g64-asym"), std::string::npos) << refused.error().message;
}

TEST_F(Conversions, OtherWidths) {
  expect_exact_chain(quantized("int8-g32-sym", "gptq"), {"gguf", "compressed-tensors", "gptq", "auto-round"});
  expect_exact_chain(quantized("int8-channel-sym", "compressed-tensors"), {"gguf", "gptq"});
  expect_exact_chain(quantized("int3-g64-sym", "gptq"), {"gguf", "compressed-tensors"});
  expect_exact_chain(quantized("int2-g32-asym", "gptq"), {"compressed-tensors", "gptq", "nibble", "gguf"});
}

TEST_F(Conversions, FloatCodesAndTables) {
  expect_exact_chain(quantized("nf4-g64", "bitsandbytes"), {"nibble", "bitsandbytes"});
  expect_exact_chain(quantized("fp8-e4m3-tensor-scale:f32", "fp8"), {"compressed-tensors", "nibble", "fp8"});
}

/// Configurations give the group size of act-order matrices, whose schemes give the number of groups.
TEST_F(Conversions, ActOrderKeepsItsGroupSize) {
  const std::string gptq = quantized("int4-g32-sym", "gptq");
  std::fstream file(gptq + "/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  std::uint64_t length = 0;
  file.read(reinterpret_cast<char*>(&length), 8);
  std::string text(length, ' ');
  file.read(text.data(), static_cast<std::streamsize>(length));
  const auto header = parse_untrusted(text, "header");
  ASSERT_TRUE(header.ok());
  for (const auto& [name, tensor] : header->items()) {
    if (!name.ends_with(".g_idx")) continue;
    const std::int32_t columns = tensor["shape"][0].get<std::int32_t>();
    std::vector<std::int32_t> index;
    for (std::int32_t c = 0; c < columns; ++c) index.push_back(c % (columns / 32));
    file.seekp(static_cast<std::streamoff>(8 + length + tensor["data_offsets"][0].get<std::uint64_t>()));
    file.write(reinterpret_cast<const char*>(index.data()), static_cast<std::streamsize>(index.size() * 4));
  }
  file.close();
  expect_exact_chain(gptq, {"nibble", "gptq", "compressed-tensors"});
  EXPECT_EQ(config_of(gptq + "-1")["quantization_config"]["group_size"], 32);
}

/// Folders carry what GGUF made of its rows: the same bytes come back.
TEST_F(Conversions, ThereAndBackIsTheSameFile) {
  const std::string gptq = quantized("int4-g32-sym", "gptq");
  ASSERT_TRUE(convert_to(gptq, path("a.gguf"), "gguf").ok());
  ASSERT_TRUE(convert_to(path("a.gguf"), path("again"), "gptq").ok());
  expect_same_gptq(gptq, path("again"), 21);
}

TEST_F(Conversions, WhatDoesNotFitIsRefusedWithTheWayOut) {
  const std::string nf4 = quantized("nf4-g64", "bitsandbytes");
  const auto refused = convert_to(nf4, path("x"), "compressed-tensors");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("--lossy"), std::string::npos) << refused.error().message;
  EXPECT_NE(refused.error().message.find("q_proj"), std::string::npos) << refused.error().message;
  EXPECT_FALSE(std::filesystem::exists(path("x")));
  const auto lossy = convert_to(nf4, path("x"), "compressed-tensors", true);
  ASSERT_TRUE(lossy.ok()) << lossy.error().message;
  EXPECT_GT(lossy->relative_error, 0.01);
  EXPECT_LT(lossy->relative_error, 0.2);
}

}  // namespace
}  // namespace nibble
