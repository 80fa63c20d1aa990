// Tokenizers of real models: the expected ids of llama.cpp's vocabularies (../shared/data/vocab, where it exists), the
// same through a tokenizer.json that we wrote, and time on texts that are long and dull. SmolLM2 takes part where the
// demo has fetched it.
#include <filesystem>
#include <sstream>

#include "base/mapped_file.h"
#include "model/text_assets.h"
#include "nibble/inspect.h"
#include "text/hugging_face.h"
#include "text/tokenizer_test_support.h"

namespace nibble {
namespace {

std::filesystem::path vocab_path(const std::string& name) {
  return std::filesystem::path(NIBBLE_SOURCE_DIR) / "../shared/data/vocab" / name;
}

std::filesystem::path smollm2_path() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::filesystem::path folder =
      cache != nullptr ? std::filesystem::path(cache) : std::filesystem::path(home != nullptr ? home : ".") / ".cache";
  return folder / "nibble/models/SmolLM2-135M-Instruct.Q4_1.gguf";
}

TokenizerSpec read_spec(const std::filesystem::path& path) {
  const auto checkpoint = Checkpoint::open(path);
  auto assets = read_text_assets(*checkpoint.value());
  return std::move(assets.value().tokenizer);
}

/// The tokenizer.json and its companions that `nibble convert` writes, read again.
std::shared_ptr<const Tokenizer> through_files(const TokenizerSpec& spec) {
  TextAssets assets;
  assets.tokenizer = spec;
  const auto written = text_assets_as_files(assets);
  if (!written.ok()) {
    ADD_FAILURE() << written.error().message;
    return nullptr;
  }
  const auto& files = *written;
  return must_create(from_hugging_face({files.at("tokenizer.json"), files.at("tokenizer_config.json"),
                                        files.at("special_tokens_map.json"), files.at("generation_config.json")},
                                       "written"));
}

struct Expected {
  std::string text;
  std::vector<std::int32_t> ids;
};

std::vector<Expected> read_expected(const std::string& name) {
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::string texts = read_text_file(vocab_path(name + ".inp")).value();
  std::istringstream lines(read_text_file(vocab_path(name + ".out")).value());
  std::vector<Expected> out;
  for (std::size_t end = texts.find(separator); end != std::string::npos; end = texts.find(separator)) {
    Expected expected;
    expected.text = texts.substr(0, end);
    texts.erase(0, end + separator.size());
    std::string line;
    std::getline(lines, line);
    std::istringstream words(line);
    for (std::int32_t id = 0; words >> id;) expected.ids.push_back(id);
    out.push_back(std::move(expected));
  }
  return out;
}

class Vocabulary : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(path())) GTEST_SKIP() << path() << " is absent";
  }
  static std::filesystem::path path() { return vocab_path(std::string(GetParam()) + ".gguf"); }
};

/// Every text of the reference's list, from the GGUF and from a tokenizer.json; and back.
TEST_P(Vocabulary, EveryExpectedId) {
  const TokenizerSpec spec = read_spec(path());
  const std::vector<Expected> all = read_expected(std::string(GetParam()) + ".gguf");
  ASSERT_GE(all.size(), 40u);
  for (const auto& tokenizer : {must_create(spec), through_files(spec)}) {
    ASSERT_NE(tokenizer, nullptr);
    for (const Expected& expected : all) {
      const auto ids = tokenizer->encode(expected.text, {.add_special = false, .parse_special = false});
      ASSERT_TRUE(ids.ok()) << ids.error().message;
      EXPECT_EQ(*ids, expected.ids) << testing::PrintToString(expected.text);
      std::string bytes;
      for (const std::int32_t id : *ids) bytes += tokenizer->piece(id);
      if (spec.model == TokenizerModel::kScoreBpe && !bytes.empty()) bytes.erase(0, 1);  // the space before the text
      EXPECT_EQ(bytes, expected.text);
    }
  }
}

TEST_P(Vocabulary, LinearTime) {
  const TokenizerSpec spec = read_spec(path());
  expect_linear_time(*must_create(spec));
  if (spec.model == TokenizerModel::kScoreBpe) expect_linear_time(*through_files(spec));
}

INSTANTIATE_TEST_SUITE_P(Models, Vocabulary, testing::Values("gpt-2", "llama-spm", "starcoder", "mpt"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Vocabularies, WordPieceIsRefusedByName) {
  const std::filesystem::path path = vocab_path("bert-bge.gguf");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  const auto result = tokenize_text(path.string(), "Hello", true, true);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
  for (const char* part : {"bert-bge.gguf", "tokenizer.ggml.model is \"bert\"", "not supported", "gpt2"})
    EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
}

TEST(Vocabularies, LinearTimeOfSmolLm2) {
  if (!std::filesystem::exists(smollm2_path())) GTEST_SKIP() << smollm2_path() << " is absent; make demo fetches it";
  const TokenizerSpec spec = read_spec(smollm2_path());
  expect_linear_time(*must_create(spec));
  expect_linear_time(*through_files(spec));
}

}  // namespace
}  // namespace nibble
