// A model in a PyTorch file is the same model: its logits, and what conversion makes of its tied head.
#include <gtest/gtest.h>

#include "api/loaded_model.h"
#include "io/pytorch_test_support.h"
#include "io/safetensors.h"
#include "nibble/quantize.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

const fs::path kModel = NIBBLE_SOURCE_DIR "/tests/golden/models/llama-tied";

class PytorchModel : public FolderTest {
 protected:
  /// The golden model's weights as pytorch_model.bin, lm_head.weight a second name of the embedding's storage.
  void SetUp() override {
    FolderTest::SetUp();
    TensorSet tensors;
    ASSERT_TRUE(open_safetensors_folder(kModel, tensors).ok());
    std::vector<std::pair<std::string, std::string>> items;
    std::vector<std::string> storages;
    for (const StoredTensor& tensor : tensors.all()) {
      std::vector<std::int64_t> strides(tensor.shape.size(), 1);
      for (std::size_t i = strides.size(); i-- > 1;) strides[i - 1] = strides[i] * tensor.shape[i];
      const std::string storage = pickled_storage("FloatStorage", std::to_string(storages.size()), tensor.elements());
      items.emplace_back(tensor.name, pickled_tensor(storage, 0, tensor.shape, strides));
      if (tensor.name == "model.embed_tokens.weight") items.emplace_back("lm_head.weight", items.back().second);
      storages.emplace_back(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
    }
    put("torch/pytorch_model.bin", pytorch_file(pickle_of_dict(items), storages));
    fs::copy_file(kModel / "config.json", root_ / "torch/config.json");
  }

  static std::vector<float> logits(const fs::path& folder) {
    LoadOptions options;
    options.arithmetic = Arithmetic::kF32;
    Result<LoadedModel> model = load_model(folder, options);
    EXPECT_TRUE(model.ok()) << (model.ok() ? "" : model.error().message);
    const auto sequence = model->executor->new_sequence();
    const std::vector<std::int32_t> tokens{1, 5, 9, 42};
    const BatchItem item{sequence.get(), tokens, BatchItem::Logits::kAll};
    std::vector<float> out;
    const auto vocab = model->weights->config().vocab_size;
    const Status status =
        model->executor->forward({&item, 1}, [&](std::size_t, std::int64_t, std::int64_t rows, const float* values) {
          out.insert(out.end(), values, values + rows * vocab);
        });
    EXPECT_TRUE(status.ok());
    return out;
  }
};

TEST_F(PytorchModel, GivesTheSameLogits) {
  const std::vector<float> expected = logits(kModel);
  ASSERT_FALSE(expected.empty());
  EXPECT_EQ(logits(root_ / "torch"), expected);
}

TEST_F(PytorchModel, ConversionKeepsTheHeadTied) {
  const auto files = ModelFiles::open(root_ / "torch");
  ASSERT_TRUE(files.ok()) << files.error().message;
  EXPECT_TRUE((*files)->stores_tied_head());
  EXPECT_TRUE((*files)->checkpoint().has_matrix("lm_head"));
  ConvertOptions options;
  options.to = "hf:f32";
  const auto report = convert((root_ / "torch").string(), (root_ / "out").string(), options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(contents("out/model.safetensors").find("lm_head"), std::string::npos);
  EXPECT_FALSE(fs::exists(root_ / "out/pytorch_model.bin"));
  EXPECT_EQ(logits(root_ / "out"), logits(kModel));
}

}  // namespace
}  // namespace nibble
