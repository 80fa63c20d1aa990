// Whole models that were damaged, in every container and with every field of their configuration replaced: an error
// that names the file and what is wrong, or a model that runs; quickly, and without large allocations. Cut while they
// are mapped, they end in an error too.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <fstream>

#include "api/loaded_model.h"
#include "base/cpu_time.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/testing/counted_new.h"
#include "io/container_test_support.h"
#include "nibble/inspect.h"
#include "nibble/quantize.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

/// Under sanitizers, where everything takes ten times as long, only every n-th place is damaged.
constexpr std::size_t kStride = NIBBLE_SANITIZED ? 17 : 1;

std::string bytes_of_file(const fs::path& path) { return read_text_file(path).value(); }

void write_bytes(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// The models of tests/golden in a folder of their own, in memory where there is such a place: files are written ten
/// thousands of times.
class CorruptModel : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::is_directory("/dev/shm") ? "/dev/shm/nibble_model_XXXXXX" : "/tmp/nibble_model_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override {
    slowest_.report();
    fs::remove_all(root_);
  }

  fs::path original(const std::string& name) const {
    return fs::path(NIBBLE_SOURCE_DIR) / "tests/golden/models" / name;
  }
  fs::path copy_of(const std::string& name) const {
    fs::create_directories(root_ / name);
    for (const char* file : {"config.json", "model.safetensors"})
      fs::copy_file(original(name) / file, root_ / name / file);
    return root_ / name;
  }
  fs::path quantized(const std::string& name, const std::string& scheme, const std::string& family) const {
    QuantizeOptions options;
    options.scheme = scheme;
    options.to = family;
    options.threads = 1;
    const fs::path out = root_ / (name + "-" + family);
    const auto written = quantize(original(name).string(), out.string(), options);
    EXPECT_TRUE(written.ok()) << (written.ok() ? "" : written.error().message);
    return out;
  }
  fs::path gguf_of(const std::string& name) const {
    ConvertOptions options;
    options.to = "gguf:f32";
    options.threads = 1;
    const fs::path out = root_ / (name + ".gguf");
    EXPECT_TRUE(convert(original(name).string(), out.string(), options).ok());
    return out;
  }

  /// Loads the model and runs it; holds that to its time and memory, and an error to its form.
  bool runs(const fs::path& model, const std::string& what) {
    const std::size_t allocated = allocated_bytes();
    const double begin = thread_cpu_seconds();
    const Status status = load_and_run(model);
    EXPECT_TRUE(slowest_.bears(thread_cpu_seconds() - begin)) << what;
    EXPECT_LT(allocated_bytes() - allocated, std::size_t{8} << 20) << what;
    if (status.ok()) return true;
    message_ = status.error().message;
    EXPECT_NE(message_.find(model.string()), std::string::npos) << what << ": " << message_;
    EXPECT_LT(message_.size(), 1000u) << what;
    return false;
  }

  fs::path root_;
  std::string message_;
  Slowest slowest_{0.1};

 private:
  Status load_and_run(const fs::path& model) {
    LoadOptions options;
    options.arithmetic = Arithmetic::kF32;
    NIBBLE_TRY(LoadedModel loaded, load_model(model.string(), options, pool_));
    if (loaded.weights->context_length() < 2) return {};
    const auto sequence = loaded.executor->new_sequence();
    const std::vector<std::int32_t> tokens{0, 0};
    const BatchItem item{sequence.get(), tokens, BatchItem::Logits::kLast};
    return loaded.executor->forward({&item, 1}, [](std::size_t, std::int64_t, std::int64_t, const float*) {});
  }

  std::shared_ptr<ThreadPool> pool_ = std::make_shared<ThreadPool>(1);
};

TEST_F(CorruptModel, ConfigurationCutAtEveryByte) {
  for (const fs::path& model : {copy_of("llama"), quantized("llama", "int4-g16-asym", "compressed-tensors"),
                                quantized("qwen3", "codebook4-row", "nibble")}) {
    const std::string whole = bytes_of_file(model / "config.json");
    ASSERT_TRUE(runs(model, "whole")) << message_;
    for (std::size_t size = 0; size <= whole.rfind('}'); size += kStride) {
      write_bytes(model / "config.json", whole.substr(0, size));
      EXPECT_FALSE(runs(model, "cut at " + std::to_string(size)));
      EXPECT_NE(message_.find("config.json"), std::string::npos) << message_;
    }
  }
}

TEST_F(CorruptModel, SafetensorsCutAtEveryByteOfTheHeader) {
  for (const fs::path& model : {copy_of("llama-tied"), quantized("llama", "int4-g16-asym", "compressed-tensors"),
                                quantized("llama", "nf4-g16", "nibble")}) {
    const fs::path file = model / "model.safetensors";
    const std::string whole = bytes_of_file(file);
    std::uint64_t header = 0;
    std::memcpy(&header, whole.data(), sizeof(header));
    const auto cut = [&](std::size_t size) {
      write_bytes(file, whole.substr(0, size));
      EXPECT_FALSE(runs(model, "cut at " + std::to_string(size)));
      EXPECT_NE(message_.find("model.safetensors"), std::string::npos) << message_;
    };
    for (std::size_t size = 0; size < 8 + header + 64; size += kStride) cut(size);
    for (std::size_t size = 1; size < 64; size += kStride) cut(whole.size() - size);
  }
}

TEST_F(CorruptModel, GgufCutAtEveryByteOfTheHeader) {
  const fs::path model = gguf_of("llama-rope3");
  const std::string whole = bytes_of_file(model);
  ASSERT_TRUE(runs(model, "whole")) << message_;
  const std::size_t data = whole.find("blk.1.ffn_up.weight") + 256;  // past the last of the tensors' names
  for (std::size_t size = 0; size < data; size += kStride) {
    write_bytes(model, whole.substr(0, size));
    EXPECT_FALSE(runs(model, "cut at " + std::to_string(size)));
  }
  for (std::size_t size = 1; size < 64; size += kStride) {
    write_bytes(model, whole.substr(0, whole.size() - size));
    EXPECT_FALSE(runs(model, std::to_string(size) + " bytes are missing"));
  }
}

/// Whatever is loaded after that has consistent shapes, or the kernels' checks would throw.
TEST_F(CorruptModel, GgufWithEveryFieldReplaced) {
  const fs::path model = gguf_of("llama-yarn");
  const std::string whole = bytes_of_file(model);
  const std::size_t header = whole.find("blk.1.ffn_up.weight") + 64;
  for (std::size_t at = 4; at < header; at += kStride) {
    for (const std::size_t width : {4u, 8u}) {
      for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{1}, UINT64_MAX, std::uint64_t{0} - 8,
                                        std::uint64_t{0x80000000'80000000}, std::uint64_t{0x7F800000'7F800000}}) {
        std::string damaged = whole;
        damaged.replace(at, width, raw(value).substr(0, width));
        write_bytes(model, damaged);
        runs(model, std::to_string(width) + " bytes at " + std::to_string(at) + " = " + std::to_string(value));
      }
    }
  }
}

/// The numbers of the "llama." keys: the message has the key's name, not that of config.json.
TEST_F(CorruptModel, GgufHyperParametersAreNamed) {
  const fs::path model = gguf_of("llama");
  const std::string whole = bytes_of_file(model);
  for (const char* key :
       {"llama.block_count", "llama.context_length", "llama.embedding_length", "llama.feed_forward_length",
        "llama.attention.head_count", "llama.attention.head_count_kv", "llama.attention.key_length",
        "llama.rope.freq_base", "llama.attention.layer_norm_rms_epsilon"}) {
    const std::size_t at = whole.find(gguf_string(key)) + gguf_string(key).size() + 4;
    for (const std::uint32_t value : {0u, 0x80000000u, UINT32_MAX}) {
      if (value != UINT32_MAX && std::string_view(key).ends_with("epsilon")) continue;  // 0.0 and -0.0 are small enough
      std::string damaged = whole;
      damaged.replace(at, 4, raw(value));
      write_bytes(model, damaged);
      EXPECT_FALSE(runs(model, key));
      EXPECT_NE(message_.find(key), std::string::npos) << message_;
    }
  }
}

/// Every value in a document, as JSON pointers.
void collect_fields(const Json& value, const Json::json_pointer& path, std::vector<Json::json_pointer>& fields) {
  if (!path.empty()) fields.push_back(path);
  if (value.is_object())
    for (const auto& [key, child] : value.items()) collect_fields(child, path / key, fields);
  if (value.is_array())
    for (std::size_t i = 0; i < value.size() && i < 2; ++i) collect_fields(value[i], path / i, fields);
}

const std::vector<Json>& hostile_values() {
  static const std::vector<Json> values{0,
                                        1,
                                        -1,
                                        2,
                                        INT32_MAX,
                                        std::uint64_t{1} << 31,
                                        std::uint64_t{1} << 32,
                                        std::uint64_t{1} << 40,
                                        INT64_MAX,
                                        std::uint64_t{1} << 63,
                                        INT64_MIN,
                                        UINT64_MAX,
                                        0.5,
                                        1e308,
                                        -1e308,
                                        1e-308,
                                        Json(),
                                        true,
                                        "",
                                        "x",
                                        Json::array(),
                                        Json::array({1}),
                                        Json::object(),
                                        Json{{"x", 1}}};
  return values;
}

/// The last name in a pointer, that of the field a message must name.
std::string name_of(const Json::json_pointer& field) {
  Json::json_pointer path = field;
  while (!path.empty() && path.back().find_first_not_of("0123456789") == std::string::npos) path.pop_back();
  return path.empty() ? "" : path.back();
}

class CorruptConfiguration : public CorruptModel {
 protected:
  void replace_every_field(const fs::path& model) {
    const Json whole = parse_untrusted(bytes_of_file(model / "config.json"), "config.json").value();
    std::vector<Json::json_pointer> fields;
    collect_fields(whole, Json::json_pointer(), fields);
    ASSERT_GT(fields.size(), 15u);
    std::size_t tried = 0;
    for (const Json::json_pointer& field : fields) {
      for (const Json& value : hostile_values()) {
        if (++tried % kStride != 0) continue;
        Json damaged = whole;
        damaged[field] = value;
        check(model, damaged, field, field.to_string() + " = " + value.dump());
      }
      Json damaged = whole;
      if (Json& parent = damaged[field.parent_pointer()]; parent.is_object()) parent.erase(field.back());
      check(model, damaged, field, field.to_string() + " missing");
    }
  }

 private:
  void check(const fs::path& model, const Json& config, const Json::json_pointer& field, const std::string& what) {
    write_bytes(model / "config.json", config.dump());
    if (runs(model, what)) return;
    // A field is wrong by itself, or beside another one (fewer heads than key-value heads), or beside the tensors.
    const auto says = [&](const std::string& words) { return message_.find(words) != std::string::npos; };
    EXPECT_TRUE(says(name_of(field)) || says("config.json: \"") || says("tensor \"") || says("module \"") ||
                says("quantization_config"))
        << what << ": " << message_;
  }
};

TEST_F(CorruptConfiguration, OfEveryArchitecture) {
  for (const char* name : {"llama", "llama-rope3", "llama-yarn", "mistral-window", "qwen2", "qwen3", "gemma3"})
    replace_every_field(copy_of(name));
}

TEST_F(CorruptConfiguration, OfQuantizedFolders) {
  replace_every_field(quantized("llama", "int4-g16-asym", "compressed-tensors"));
  replace_every_field(quantized("llama", "fp8-e4m3-channel", "compressed-tensors"));
  replace_every_field(quantized("llama", "codebook4-row", "nibble"));
  replace_every_field(quantized("llama", "fp8-e4m3-tensor-scale:f32", "fp8"));
  replace_every_field(quantized("llama", "nf4-flat64-dq", "bitsandbytes"));
}

/// Fields that only matter to what is written.
TEST_F(CorruptModel, ConfigurationsAreWrittenOrRefused) {
  const fs::path model = copy_of("llama-rope3");
  const Json whole = parse_untrusted(bytes_of_file(model / "config.json"), "config.json").value();
  Json::array_t damaged;
  for (const Json& value : hostile_values()) {
    for (const auto& field : whole.items()) {
      damaged.push_back(whole);
      damaged.back()[field.key()] = value;
    }
    damaged.push_back(whole);
    damaged.back()["_name_or_path"] = value;
  }
  for (std::size_t i = 0; i < damaged.size(); i += kStride) {
    write_bytes(model / "config.json", damaged[i].dump());
    for (const char* out : {"out", "out.gguf"}) {
      ConvertOptions options;
      options.to = std::string(out) == "out" ? "hf:f32" : "gguf:f32";
      options.threads = 1;
      const auto written = convert(model.string(), (root_ / out).string(), options);
      if (written.ok()) continue;
      EXPECT_EQ(written.error().message.find("defect"), std::string::npos) << written.error().message;
      EXPECT_NE(written.error().message.find(model.string()), std::string::npos) << written.error().message;
    }
  }
}

/// Weights that are read while the model runs, and those that a quantizer reads.
TEST_F(CorruptModel, FilesThatShrinkWhileMappedAreErrors) {
  for (const fs::path& file : {copy_of("llama") / "model.safetensors", gguf_of("llama")}) {
    const fs::path model = file.extension() == ".gguf" ? file : file.parent_path();
    LoadedModel loaded = load_model(model.string(), {}).value();
    fs::resize_file(file, 4096);
    const auto sequence = loaded.executor->new_sequence();
    const std::vector<std::int32_t> tokens{1, 2, 3};
    const BatchItem item{sequence.get(), tokens, BatchItem::Logits::kLast};
    EXPECT_ERROR(loaded.executor->forward({&item, 1}, [](std::size_t, std::int64_t, std::int64_t, const float*) {}),
                 ErrorCode::kIo, "shrank");
  }
}

TEST_F(CorruptModel, ASourceThatShrinksLeavesNoOutput) {
  const fs::path model = copy_of("llama");
  QuantizeOptions options;
  options.scheme = "int4-g16-sym";
  options.threads = 1;
  options.progress = [&](std::string_view what, std::uint64_t, std::uint64_t, std::string_view) {
    if (what != "preparing") fs::resize_file(model / "model.safetensors", 4096);  // it is open by then
    return true;
  };
  EXPECT_ERROR(quantize(model.string(), (root_ / "out").string(), options), ErrorCode::kIo, "shrank");
  EXPECT_FALSE(fs::exists(root_ / "out"));
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), fs::directory_iterator{}), 1);
}

}  // namespace
}  // namespace nibble
