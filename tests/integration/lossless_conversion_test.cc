// What a conversion may not lose without a word: the precision of norms, scalings of rope, what a configuration says of
// activations, templates.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/json.h"
#include "base/mapped_file.h"
#include "io/gguf.h"
#include "io/safetensors.h"
#include "model/model_files.h"
#include "model/text_assets.h"
#include "nibble/log.h"
#include "nibble/quantize.h"
#include "small_models.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class LosslessConversion : public testing::Test {
 protected:
  struct Tensor {
    std::string name;
    std::vector<std::int64_t> shape;
    ElementType element = ElementType::kF32;
    std::vector<float> values;
  };

  void SetUp() override {
    root_ = fs::temp_directory_path() / ("nibble_lossless" + std::to_string(getpid()));
    fs::create_directories(root_);
    set_log_sink([this](LogLevel, std::string_view message) { log_ += std::string(message) + "\n"; });
  }
  void TearDown() override {
    set_log_sink({});
    fs::remove_all(root_);
  }

  std::string path(const std::string& name) const { return (root_ / name).string(); }

  static Json json_at(const fs::path& file) { return parse_untrusted(read_text_file(file).value(), "json").value(); }
  Json config_of(const std::string& name) const { return json_at(root_ / name / "config.json"); }
  void put_json(const std::string& name, const Json& json) const { std::ofstream(root_ / name) << json.dump(); }

  /// A golden model in compressed-tensors, at root_ / "q".
  void write_compressed(const std::string& scheme) const {
    QuantizeOptions options;
    options.scheme = scheme;
    options.to = "compressed-tensors";
    ASSERT_TRUE(quantize(golden("llama", "m"), path("q"), options).ok());
  }

  /// A copy of a golden model with fields of its config.json changed.
  std::string golden(const std::string& model, const std::string& name, const Json& fields = Json::object()) const {
    fs::remove_all(root_ / name);
    fs::create_directories(root_ / name);
    const fs::path source = fs::path(NIBBLE_SOURCE_DIR) / "tests/golden/models" / model;
    fs::copy_file(source / "model.safetensors", root_ / name / "model.safetensors");
    Json config = json_at(source / "config.json");
    config.update(fields);
    put_json(name + "/config.json", config);
    return path(name);
  }

  /// Adds tensors to the one file of a folder.
  void add_tensors(const std::string& name, const std::vector<Tensor>& added) const {
    TensorSet held;
    ASSERT_TRUE(open_safetensors_folder(root_ / name, held).ok());
    std::vector<SafetensorsPlan> plan;
    for (const StoredTensor& tensor : held.all()) plan.push_back({tensor.name, tensor.shape, tensor.element});
    for (const Tensor& tensor : added) plan.push_back({tensor.name, tensor.shape, tensor.element});
    fs::create_directories(root_ / "with");
    auto writer = SafetensorsWriter::create(root_ / "with", plan);
    ASSERT_TRUE(writer.ok()) << writer.error().message;
    for (std::size_t i = 0; i < held.all().size(); ++i) ASSERT_TRUE((*writer)->write(i, 0, held.all()[i].bytes).ok());
    for (std::size_t i = 0; i < added.size(); ++i) {
      std::vector<std::byte> bytes(added[i].values.size() *
                                   static_cast<std::size_t>(element_info(added[i].element).bits) / 8);
      encode_elements(added[i].element, added[i].values.data(), added[i].values.size(), bytes.data());
      ASSERT_TRUE((*writer)->write(held.all().size() + i, 0, bytes).ok());
    }
    ASSERT_TRUE((*writer)->finish().ok());
    fs::rename(root_ / "with/model.safetensors", root_ / name / "model.safetensors");
  }

  Result<ConversionReport> convert_to(const std::string& from, const std::string& to, const std::string& target) {
    log_.clear();
    ConvertOptions options;
    options.to = target;
    return convert(from, path(to), options);
  }
  void expect_converted(const std::string& from, const std::string& to, const std::string& target) {
    const auto done = convert_to(from, to, target);
    ASSERT_TRUE(done.ok()) << from << " to " << target << ": " << done.error().message;
  }

  std::vector<std::string> names_in_output(const std::string& name) const {
    TensorSet held;
    EXPECT_TRUE(open_safetensors_folder(root_ / name, held).ok());
    std::vector<std::string> names;
    for (const StoredTensor& tensor : held.all()) names.push_back(tensor.name);
    return names;
  }

  kernel::RopeConfig rope_of(const std::string& name) const {
    const auto files = ModelFiles::open(root_ / name);
    EXPECT_TRUE(files.ok()) << (files.ok() ? "" : files.error().message);
    return files.ok() ? (*files)->config().ropes.front() : kernel::RopeConfig{};
  }

  /// `from` with other keys.
  void rewrite_gguf(const std::string& from, const std::string& to, const std::function<void(GgufMetadata&)>& edit) {
    auto file = open_gguf(root_ / from);
    ASSERT_TRUE(file.ok());
    GgufMetadata metadata = *file->metadata;
    edit(metadata);
    std::vector<GgufTensorPlan> plan;
    for (const StoredTensor& tensor : file->tensors.all())
      plan.push_back({tensor.name, tensor.shape, tensor.ggml_type});
    auto writer = GgufWriter::create(root_ / to, metadata, plan, 0);
    ASSERT_TRUE(writer.ok()) << writer.error().message;
    for (std::size_t i = 0; i < plan.size(); ++i)
      ASSERT_TRUE((*writer)->write(i, 0, file->tensors.all()[i].bytes).ok());
    ASSERT_TRUE((*writer)->finish().ok());
  }

  fs::path root_;
  std::string log_;
};

/// The golden models are float32: their norms survive no narrower type.
TEST_F(LosslessConversion, NormsOfGgufKeepTheirPrecision) {
  expect_converted(golden("qwen2", "m"), "m.gguf", "gguf");
  QuantizeOptions options;
  options.scheme = "int4-g16-sym";
  options.to = "compressed-tensors";
  ASSERT_TRUE(quantize(path("m.gguf"), path("q"), options).ok());
  EXPECT_EQ(config_of("q")["torch_dtype"], "float32");
  TensorSet before;
  TensorSet after;
  ASSERT_TRUE(open_safetensors_folder(root_ / "m", before).ok());
  ASSERT_TRUE(open_safetensors_folder(root_ / "q", after).ok());
  for (const char* name : {"model.norm.weight", "model.layers.0.self_attn.k_proj.bias"}) {
    ASSERT_NE(after.find(name), nullptr);
    EXPECT_EQ(read_floats(*before.find(name)).value(), read_floats(*after.find(name)).value()) << name;
  }
  expect_converted(path("m.gguf"), "bf16", "hf:bf16");  // asked for
  TensorSet asked;
  ASSERT_TRUE(open_safetensors_folder(root_ / "bf16", asked).ok());
  EXPECT_EQ(asked.find("model.norm.weight")->element, ElementType::kBf16);
  EXPECT_EQ(config_of("bf16")["torch_dtype"], "bfloat16");
}

TEST_F(LosslessConversion, YarnThroughGguf) {
  const Json scaling = {{"rope_type", "yarn"},      {"factor", 4.0},
                        {"beta_fast", 24.0},        {"beta_slow", 2.0},
                        {"attention_factor", 1.25}, {"original_max_position_embeddings", 32}};
  const std::string model = golden("llama", "m", {{"rope_parameters", scaling}});
  expect_converted(model, "m.gguf", "gguf");
  const auto keys = open_gguf(root_ / "m.gguf");
  EXPECT_NEAR(keys->metadata->number("llama.rope.scaling.attn_factor").value().value(), 1.25 / 1.13862943, 1e-6);
  expect_converted(path("m.gguf"), "back", "hf:f32");
  const kernel::RopeConfig before = rope_of("m");
  const kernel::RopeConfig after = rope_of("back");
  EXPECT_EQ(after.beta_fast, 24.0);
  EXPECT_EQ(after.beta_slow, 2.0);
  EXPECT_EQ(after.original_max_position_embeddings, 32);
  EXPECT_EQ(kernel::rope_frequencies(before, 0).inv_freq, kernel::rope_frequencies(after, 0).inv_freq);
  EXPECT_FLOAT_EQ(kernel::rope_frequencies(after, 0).attention_factor, 1.25f);
  Json blurred = scaling;
  blurred["truncate"] = false;
  EXPECT_FALSE(convert_to(golden("llama", "t", {{"rope_parameters", blurred}}), "t.gguf", "gguf").ok());
}

/// mscale over mscale_all_dim; longrope's two lists of divisors.
TEST_F(LosslessConversion, ScalingsOfConfigJson) {
  golden("llama", "m",
         {{"rope_parameters", {{"rope_type", "yarn"}, {"factor", 4.0}, {"mscale", 1.0}, {"mscale_all_dim", 0.5}}}});
  EXPECT_FLOAT_EQ(kernel::rope_frequencies(rope_of("m"), 0).attention_factor, 1.13862944f / 1.06931472f);
  const auto half = static_cast<std::size_t>(rope_of("m").rotary_dim / 2);
  const std::vector<float> longer(half, 4.0f);
  Json scaling = {{"type", "longrope"}, {"short_factor", std::vector<float>(half, 1.0f)}, {"long_factor", longer}};
  golden("llama", "l", {{"rope_parameters", scaling}, {"original_max_position_embeddings", 16}});
  const kernel::RopeConfig rope = rope_of("l");
  EXPECT_EQ(rope.scaling, kernel::RopeScaling::kLongRope);
  EXPECT_EQ(rope.original_max_position_embeddings, 16);
  EXPECT_FLOAT_EQ(kernel::rope_frequencies(rope, 32).inv_freq[0] * 4.0f, kernel::rope_frequencies(rope, 8).inv_freq[0]);
  scaling["long_factor"].erase(0);
  EXPECT_THAT(ModelFiles::open(golden("llama", "l", {{"rope_parameters", scaling}})).error().message,
              HasSubstr("long_factor"));
}

TEST_F(LosslessConversion, ScalingKeysOfGgufInAllTheirForms) {
  expect_converted(golden("llama", "m"), "m.gguf", "gguf");
  const auto opened = [&](const std::function<void(GgufMetadata&)>& edit) {
    rewrite_gguf("m.gguf", "n.gguf", edit);
    return ModelFiles::open(root_ / "n.gguf");
  };
  const std::string prefix = "llama.rope.scaling.";
  for (const std::string& key : {prefix + "factor", std::string("llama.rope.scale_linear")}) {
    const auto files = opened([&](GgufMetadata& metadata) { metadata.set_f32(key, 4.0f); });
    ASSERT_TRUE(files.ok()) << files.error().message;
    EXPECT_EQ((*files)->config().ropes.front().scaling, kernel::RopeScaling::kLinear) << key;
    EXPECT_EQ((*files)->config().ropes.front().factor, 4.0) << key;
  }
  const auto error = [&](const std::string& key, float value, const char* type) {
    const auto files = opened([&](GgufMetadata& metadata) {
      metadata.set_string(prefix + "type", type);
      metadata.set_f32(prefix + "factor", 4.0f);
      metadata.set_f32(prefix + key, value);
    });
    return files.ok() ? "" : files.error().message;
  };
  EXPECT_EQ(error("yarn_beta_fast", 16.0f, "yarn"), "");
  EXPECT_EQ(error("attn_factor", 0.5f, "yarn"), "");
  EXPECT_EQ(error("yarn_ext_factor", -1.0f, "yarn"), "");
  EXPECT_THAT(error("yarn_ext_factor", 0.5f, "yarn"), HasSubstr("yarn_ext_factor"));
  EXPECT_THAT(error("yarn_log_multiplier", 0.5f, "yarn"), HasSubstr("yarn_log_multiplier"));
  EXPECT_THAT(error("attn_factor", 0.5f, "linear"), HasSubstr("attn_factor"));
  EXPECT_THAT(error("factor", 4.0f, "longrope"), HasSubstr("longrope"));
}

TEST_F(LosslessConversion, WindowsShorterThanTheContextAreSaid) {
  expect_converted(golden("mistral-window", "m"), "m.gguf", "gguf");
  EXPECT_THAT(log_, HasSubstr("positions back"));
  expect_converted(golden("mistral-window", "n", {{"sliding_window", 1 << 20}}), "n.gguf", "gguf");
  EXPECT_THAT(log_, Not(HasSubstr("positions back")));
}

TEST_F(LosslessConversion, GemmaIsRefusedWhereGgufHasNoKey) {
  const Json pattern = {{"layer_types", nullptr}, {"sliding_window_pattern", 6}};
  const auto refused = [&](const Json& fields) {
    Json all = pattern;
    all.update(fields);
    const auto done = convert_to(golden("gemma3", "g", all), "g.gguf", "gguf");
    return done.ok() ? "" : done.error().message;
  };
  EXPECT_THAT(refused({{"query_pre_attn_scalar", 7}}), HasSubstr("query_pre_attn_scalar"));
  const Json head = {{"query_pre_attn_scalar", config_of("g")["head_dim"]}};
  Json capped = head;
  capped["attn_logit_softcapping"] = 50.0;
  EXPECT_THAT(refused(capped), HasSubstr("attn_logit_softcapping"));
}

TEST_F(LosslessConversion, OldNamesOfTheConfigurationDoNotSurvive) {
  ASSERT_NO_FATAL_FAILURE(write_compressed("int4-g16-sym"));
  Json config = config_of("q");
  config["compression_config"] = config["quantization_config"];
  config.erase("quantization_config");
  config["text_config"] = {{"quantization_config", config["compression_config"]}};
  put_json("q/config.json", config);
  expect_converted(path("q"), "f", "hf:f32");
  EXPECT_FALSE(config_of("f").contains("compression_config"));
  EXPECT_FALSE(config_of("f")["text_config"].contains("quantization_config"));
}

/// FP8 with static activations and a quantized KV cache.
TEST_F(LosslessConversion, ScalesOfActivationsGoWhereTheyAreRead) {
  ASSERT_NO_FATAL_FAILURE(write_compressed("fp8-e4m3-tensor-scale:bf16"));
  Json config = config_of("q");
  Json& quantization = config["quantization_config"];
  quantization["config_groups"]["group_0"]["input_activations"] = {
      {"num_bits", 8}, {"type", "float"}, {"symmetric", true}, {"strategy", "tensor"}, {"dynamic", false}};
  quantization["kv_cache_scheme"] = {{"num_bits", 8}, {"type", "float"}};
  put_json("q/config.json", config);
  const std::string attention = "model.layers.0.self_attn.";
  std::vector<Tensor> scales{{attention + "k_scale", {1}, ElementType::kF32, {0.5f}}};
  const auto files = ModelFiles::open(root_ / "q");
  ASSERT_TRUE(files.ok());
  for (const LinearInfo& linear : (*files)->layout().linears)
    if (linear.role == LinearInfo::Role::kBlock)
      scales.push_back({linear.name + ".input_scale", {1}, ElementType::kF32, {0.25f}});
  add_tensors("q", scales);

  expect_converted(path("q"), "f", "hf:bf16");
  for (const std::string& name : names_in_output("f")) EXPECT_FALSE(name.ends_with("_scale")) << name;
  EXPECT_THAT(log_, HasSubstr("kv_cache_scheme"));

  expect_converted(path("q"), "fp8", "fp8");
  EXPECT_THAT(log_, Not(HasSubstr("activations")));
  EXPECT_EQ(config_of("fp8")["quantization_config"]["activation_scheme"], "static");
  EXPECT_THAT(names_in_output("fp8"), Contains(attention + "q_proj.input_scale"));
  EXPECT_THAT(names_in_output("fp8"), Not(Contains(attention + "k_scale")));

  expect_converted(path("q"), "ct", "compressed-tensors");
  EXPECT_EQ(config_of("ct")["quantization_config"]["kv_cache_scheme"]["num_bits"], 8);
  EXPECT_THAT(names_in_output("ct"), Contains(attention + "k_scale"));
  EXPECT_THAT(names_in_output("ct"), Contains(attention + "q_proj.input_scale"));
}

TEST_F(LosslessConversion, Fp8HasOneKindOfScales) {
  QuantizeOptions options;
  options.scheme = "fp8-e4m3-block16x16-scale:f32";
  options.to = "compressed-tensors";
  options.overrides = {"mlp=fp8-e4m3-tensor-scale:f32"};
  const auto mixed = quantize(golden("llama", "m"), path("q"), options);
  ASSERT_TRUE(mixed.ok()) << mixed.error().message;
  const auto refused = convert_to(path("q"), "fp8", "fp8");
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("--to nibble"));
}

TEST_F(LosslessConversion, AWeightsFileBringsItsFolder) {
  const std::string folder = path("m");
  write_chat_model(folder);
  put_json("m/notes.json", Json::object());
  expect_converted(folder + "/model.safetensors", "out", "nibble");
  for (const char* name : {"tokenizer.json", "notes.json", "chat_template.jinja"})
    EXPECT_TRUE(fs::exists(root_ / "out" / name)) << name;
  expect_converted(folder + "/model.safetensors", "m.gguf", "gguf");
  EXPECT_THAT(log_, Not(HasSubstr("no tokenizer")));
  const auto refused = convert_to(folder + "/model.safetensors", "m", "nibble");
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("would replace"));
}

TEST_F(LosslessConversion, NamedTemplatesGoToGgufAndBack) {
  write_chat_model(root_ / "m");
  fs::remove(root_ / "m/chat_template.jinja");
  Json tokenizer = ascii_tokenizer();  // GGUF's byte-level BPE wants a merge
  Json& vocab = tokenizer["model"]["vocab"];
  std::string last;
  for (const auto& [token, id] : vocab.items())
    if (id == 95) last = token;
  vocab.erase(last);
  vocab["ab"] = 95;
  tokenizer["model"]["merges"] = {"a b"};
  put_json("m/tokenizer.json", tokenizer);
  Json config = json_at(root_ / "m/tokenizer_config.json");
  config["chat_template"] = {{{"name", "default"}, {"template", "plain"}},
                             {{"name", "tool_use"}, {"template", "tools"}}};
  put_json("m/tokenizer_config.json", config);
  expect_converted(path("m"), "m.gguf", "gguf");
  const auto file = open_gguf(root_ / "m.gguf");
  EXPECT_EQ(file->metadata->string("tokenizer.chat_template").value().value(), "plain");
  EXPECT_EQ(file->metadata->string("tokenizer.chat_template.tool_use").value().value(), "tools");
  EXPECT_EQ(file->metadata->strings("tokenizer.chat_templates").value().value(), std::vector<std::string>{"tool_use"});
  expect_converted(path("m.gguf"), "back", "hf:f32");
  ASSERT_TRUE(fs::exists(root_ / "back/tokenizer_config.json")) << log_;
  EXPECT_EQ(json_at(root_ / "back/tokenizer_config.json")["chat_template"], config["chat_template"]);

  config["chat_template"] = nullptr;  // hides no file
  put_json("m/tokenizer_config.json", config);
  put_json("m/chat_template.json", {{"chat_template", "other"}});
  const auto checkpoint = Checkpoint::open(root_ / "m");
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(read_text_assets(**checkpoint)->chat_template, "other");
}

}  // namespace
}  // namespace nibble
