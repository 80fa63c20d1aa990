// Every architecture against transformers: tiny seeded checkpoints with golden logits (tests/golden/models, made by
// scripts/golden/make_tiny_models.py).
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "api/loaded_model.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "nibble/quantize.h"

namespace nibble {
namespace {

std::filesystem::path golden_folder() { return std::filesystem::path(NIBBLE_SOURCE_DIR) / "tests/golden/models"; }

struct Golden {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> greedy;
  std::vector<float> logits;  ///< [ids, vocabulary]
};

Golden read_golden(const std::string& name) {
  const auto text = read_text_file(golden_folder() / name / "golden.json");
  const Json json = parse_untrusted(text.value(), name).value();
  Golden golden;
  golden.ids = json["ids"].get<std::vector<std::int32_t>>();
  golden.greedy = json["greedy"].get<std::vector<std::int32_t>>();
  for (const Json& row : json["logits"])
    for (const Json& value : row) golden.logits.push_back(value.get<float>());
  return golden;
}

/// Logits of every position of `tokens`.
std::vector<float> logits_of(LoadedModel& model, Sequence& sequence, const std::vector<std::int32_t>& tokens) {
  std::vector<float> out;
  const BatchItem item{&sequence, tokens, BatchItem::Logits::kAll};
  const auto vocab = model.weights->config().vocab_size;
  const Status status =
      model.executor->forward({&item, 1}, [&](std::size_t, std::int64_t, std::int64_t rows, const float* logits) {
        out.insert(out.end(), logits, logits + rows * vocab);
      });
  EXPECT_TRUE(status.ok());
  return out;
}

LoadedModel load(const std::string& path, Arithmetic arithmetic = Arithmetic::kF32, const std::string& scheme = "") {
  LoadOptions options;
  options.threads = 2;
  options.arithmetic = arithmetic;
  options.scheme = scheme;
  Result<LoadedModel> model = load_model(path, options);
  EXPECT_TRUE(model.ok()) << (model.ok() ? "" : model.error().message);
  return std::move(model).value();
}

class Architectures : public testing::TestWithParam<const char*> {
 protected:
  std::string folder() const { return (golden_folder() / GetParam()).string(); }
  std::filesystem::path scratch() const {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    std::string name = std::string("nibble_") + info->name() + std::to_string(getpid());
    std::replace(name.begin(), name.end(), '/', '_');
    return std::filesystem::temp_directory_path() / name;
  }
};

/// Within 1e-4 of the largest logit: hundreds of float32 roundings of a few 1e-7 each, and no more.
TEST_P(Architectures, LogitsEqualTransformers) {
  const Golden golden = read_golden(GetParam());
  LoadedModel model = load(folder());
  const auto sequence = model.executor->new_sequence();
  const std::vector<float> logits = logits_of(model, *sequence, golden.ids);
  ASSERT_EQ(logits.size(), golden.logits.size());
  float largest = 0;
  float difference = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    largest = std::max(largest, std::fabs(golden.logits[i]));
    difference = std::max(difference, std::fabs(golden.logits[i] - logits[i]));
  }
  EXPECT_LE(difference, 1e-4f * largest);
  std::vector<float> last = logits;
  const auto vocab = static_cast<std::ptrdiff_t>(model.weights->config().vocab_size);
  for (const std::int32_t expected : golden.greedy) {
    const auto best =
        static_cast<std::int32_t>(std::max_element(last.end() - vocab, last.end()) - (last.end() - vocab));
    EXPECT_EQ(best, expected);
    last = logits_of(model, *sequence, {expected});
  }
}

TEST_P(Architectures, TokenByTokenIsTheWholePrompt) {
  const Golden golden = read_golden(GetParam());
  for (const bool int8 : {false, true}) {
    LoadedModel model = load(folder(), int8 ? Arithmetic::kInt8 : Arithmetic::kF32, int8 ? "int4-g32-sym" : "");
    const auto whole_sequence = model.executor->new_sequence();
    const std::vector<float> whole = logits_of(model, *whole_sequence, golden.ids);
    const auto sequence = model.executor->new_sequence();
    std::vector<float> single;
    for (const std::int32_t id : golden.ids) {
      const std::vector<float> row = logits_of(model, *sequence, {id});
      single.insert(single.end(), row.begin(), row.end());
    }
    ASSERT_EQ(whole.size(), single.size());
    EXPECT_EQ(std::memcmp(whole.data(), single.data(), whole.size() * sizeof(float)), 0);
  }
}

/// To a GGUF file in float32 and back to a folder: the same logits to the bit, where GGUF can say the configuration.
TEST_P(Architectures, GgufAndBackChangesNothing) {
  const Golden golden = read_golden(GetParam());
  const std::filesystem::path out = scratch();
  std::filesystem::create_directories(out);
  ConvertOptions to_gguf;
  to_gguf.to = "gguf:f32";
  const auto written = convert(folder(), (out / "m.gguf").string(), to_gguf);
  if (std::string(GetParam()) == "gemma3" || std::string(GetParam()) == "mistral-window") {
    std::filesystem::remove_all(out);
    GTEST_SKIP() << "GGUF has no key for this pattern of windows";
  }
  ASSERT_TRUE(written.ok()) << written.error().message;
  ConvertOptions back;
  back.to = "hf:f32";
  const auto folder_again = convert((out / "m.gguf").string(), (out / "hf").string(), back);
  ASSERT_TRUE(folder_again.ok()) << folder_again.error().message;
  LoadedModel original = load(folder());
  const auto expected_sequence = original.executor->new_sequence();
  const std::vector<float> expected = logits_of(original, *expected_sequence, golden.ids);
  for (const std::filesystem::path& path : {out / "m.gguf", out / "hf"}) {
    LoadedModel model = load(path.string());
    const auto sequence = model.executor->new_sequence();
    const std::vector<float> logits = logits_of(model, *sequence, golden.ids);
    ASSERT_EQ(logits.size(), expected.size());
    EXPECT_EQ(std::memcmp(logits.data(), expected.data(), logits.size() * sizeof(float)), 0) << path;
  }
  std::filesystem::remove_all(out);
}

/// A written quantized folder runs as quantize-on-load does, to the bit, in every family that can hold the scheme.
TEST_P(Architectures, QuantizedFoldersAreQuantizeOnLoad) {
  const Golden golden = read_golden(GetParam());
  for (const auto& [scheme, family] :
       {std::pair("int4-g16-asym", "compressed-tensors"), std::pair("int8-channel-sym", "compressed-tensors"),
        std::pair("nf4-g16", "nibble"), std::pair("codebook4-row", "nibble"),
        std::pair("fp8-e4m3-channel", "compressed-tensors")}) {
    const std::filesystem::path out = scratch();
    QuantizeOptions options;
    options.scheme = scheme;
    options.to = family;
    const auto written = quantize(folder(), out.string(), options);
    ASSERT_TRUE(written.ok()) << written.error().message;
    LoadedModel stored = load(out.string(), Arithmetic::kInt8);
    LoadedModel on_load = load(folder(), Arithmetic::kInt8, scheme);
    const auto a = stored.executor->new_sequence();
    const auto b = on_load.executor->new_sequence();
    const std::vector<float> x = logits_of(stored, *a, golden.ids);
    const std::vector<float> y = logits_of(on_load, *b, golden.ids);
    EXPECT_EQ(std::memcmp(x.data(), y.data(), x.size() * sizeof(float)), 0) << scheme;
    std::filesystem::remove_all(out);
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, Architectures,
                         testing::Values("llama", "llama-tied", "llama-rope3", "llama-linear", "llama-yarn",
                                         "mistral-window", "qwen2", "qwen3", "gemma3"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace nibble
