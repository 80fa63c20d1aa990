// Tests of opening checkpoints: folders, files, families, what becomes a matrix, and what is said when there is no
// model.
#include "io/checkpoint.h"

#include <gtest/gtest.h>

#include "base/log.h"
#include "io/checkpoint_opener.h"
#include "io/container_test_support.h"
#include "io/safetensors.h"

namespace nibble {
namespace {

/// Modules of a made-up family: X.codes beside X.scale; the weight itself is a 2 x 2 matrix of ones.
bool detect_toy(const FamilyInput& input) {
  return input.quantization_config.is_object() && input.quantization_config.value("quant_method", "") == "toy";
}

Result<std::vector<FamilyModule>> open_toy(const FamilyInput& input) {
  std::vector<FamilyModule> modules;
  for (const StoredTensor& tensor : input.tensors.all()) {
    if (!tensor.name.ends_with(".codes")) continue;
    const std::string module = tensor.name.substr(0, tensor.name.size() - 6);
    const StoredTensor* scale = input.tensors.find(module + ".scale");
    if (scale == nullptr) return fail(ErrorCode::kCorrupt, "{}: {}.scale is missing", input.what, module);
    QuantizedMatrix ones;
    ones.allocate(QuantScheme::of_float(ElementType::kF32), 2, 2, 0, 2);
    modules.push_back({module, make_source(std::move(ones)), {&tensor, scale}});
  }
  return modules;
}

constexpr Family kToy{"toy", detect_toy, open_toy};
constexpr const Family* kToyList[] = {&kToy};

class CheckpointTest : public FolderTest {
 protected:
  struct Planned {
    std::string name;
    std::vector<std::int64_t> shape;
    ElementType element;
    std::string data;
  };

  void put_model(const std::vector<Planned>& tensors) const {
    std::vector<SafetensorsPlan> plan;
    for (const Planned& tensor : tensors) plan.push_back({tensor.name, tensor.shape, tensor.element});
    auto writer = SafetensorsWriter::create(root_, plan);
    ASSERT_TRUE(writer.ok()) << writer.error().message;
    for (std::size_t i = 0; i < tensors.size(); ++i)
      ASSERT_TRUE((*writer)->write(i, 0, bytes_of(tensors[i].data)).ok());
    ASSERT_TRUE((*writer)->finish().ok());
  }

  static std::string doubles(std::initializer_list<double> values) {
    std::string out;
    for (const double value : values) out += raw(value);
    return out;
  }
};

TEST_F(CheckpointTest, FloatFolder) {
  put("config.json", R"({"model_type":"llama"})");
  put_model({{"norm.weight", {2}, ElementType::kF32, std::string(8, '\0')},
             {"up.weight", {3, 2}, ElementType::kF64, doubles({1, 2, 3, 4, 5.0000000001, 6})},
             {"up.bias", {2, 1}, ElementType::kF32, std::string(8, '\0')},
             {"experts.weight", {1, 1, 1}, ElementType::kF32, std::string(4, '\0')},
             {"ids.weight", {1, 1}, ElementType::kI32, std::string(4, '\0')},
             {".weight", {1, 1}, ElementType::kF32, std::string(4, '\0')},
             {"embed.weight", {2, 2}, ElementType::kBf16, from_hex("803f004040408040")}});
  const auto opened = Checkpoint::open(root_);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const Checkpoint& checkpoint = **opened;
  EXPECT_FALSE(checkpoint.is_gguf());
  EXPECT_EQ(checkpoint.gguf(), nullptr);
  EXPECT_EQ(checkpoint.family_name(), "float");
  EXPECT_EQ(checkpoint.config().at("model_type"), "llama");
  EXPECT_TRUE(checkpoint.quantization_config().is_null());
  EXPECT_EQ(checkpoint.file_bytes(), std::filesystem::file_size(root_ / "model.safetensors"));
  EXPECT_EQ(checkpoint.modules(), (std::vector<std::string>{"up", "embed"}));  // F64 lies before BF16
  EXPECT_EQ(checkpoint.plain_tensors().size(), 5u);
  EXPECT_TRUE(checkpoint.has_matrix("up"));
  EXPECT_FALSE(checkpoint.has_matrix("norm"));
  EXPECT_ERROR(checkpoint.matrix("norm"), ErrorCode::kNotFound, "no weight matrix of a module \"norm\"");
  const MatrixPtr up = *checkpoint.matrix("up");
  EXPECT_EQ(up->scheme(), QuantScheme::of_float(ElementType::kF32));
  QuantizedMatrix part;
  ASSERT_TRUE(up->decode(1, 2, part).ok());
  std::vector<float> values(4);
  dequantize(part, values.data());
  EXPECT_EQ(values, (std::vector<float>{3, 4, 5, 6}));  // rounded to f32
  up->release(0, 3);
  const MatrixPtr embed = *checkpoint.matrix("embed");
  EXPECT_EQ(embed->scheme(), QuantScheme::of_float(ElementType::kBf16));
  ASSERT_TRUE(embed->decode(0, 2, part).ok());
  EXPECT_TRUE(part.validate().ok());
  dequantize(part, values.data());
  EXPECT_EQ(values, (std::vector<float>{1, 2, 3, 4}));
  ASSERT_TRUE(embed->decode(2, 0, part).ok());
  EXPECT_TRUE(checkpoint.check_intact().ok());
}

TEST_F(CheckpointTest, MatricesOutliveTheirCheckpointAndNoticeAShrunkFile) {
  put_model({{"up.weight", {100, 100}, ElementType::kF32, std::string(40'000, 'x')}});
  MatrixPtr matrix;
  {
    const auto checkpoint = Checkpoint::open(root_);
    ASSERT_TRUE(checkpoint.ok());
    matrix = *(*checkpoint)->matrix("up");
  }
  QuantizedMatrix out;
  ASSERT_TRUE(matrix->decode(0, 100, out).ok());
  EXPECT_EQ(out.codes.back(), 'x');
  std::filesystem::resize_file(root_ / "model.safetensors", 4096);
  EXPECT_ERROR(matrix->decode(0, 100, out), ErrorCode::kIo, "shrank");
}

TEST_F(CheckpointTest, AFamilyTakesItsTensors) {
  put("config.json", R"({"text_config":{"quantization_config":{"quant_method":"toy"}}})");
  put_model({{"a.codes", {1}, ElementType::kU8, "x"},
             {"a.scale", {1}, ElementType::kF32, "1234"},
             {"a.weight", {1, 1}, ElementType::kF32, "1234"},
             {"b.weight", {1, 1}, ElementType::kF32, "1234"},
             {"c.codes", {1}, ElementType::kU8, "x"},
             {"c.scale", {1}, ElementType::kF64, "12345678"}});
  const auto opened = CheckpointOpener(kToyList).open(root_);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const Checkpoint& checkpoint = **opened;
  EXPECT_EQ(checkpoint.family_name(), "toy");
  // In file order of each module's first tensor: c.scale (F64), a.scale, then b.weight.
  EXPECT_EQ(checkpoint.modules(), (std::vector<std::string>{"c", "a", "b"}));
  EXPECT_EQ((*checkpoint.matrix("a"))->rows(), 2) << "the family's, not the float tensor of the same name";
  ASSERT_EQ(checkpoint.plain_tensors().size(), 1u);
  EXPECT_EQ(checkpoint.plain_tensors()[0]->name, "a.weight");
}

TEST_F(CheckpointTest, AFamilysErrorIsPassedOn) {
  put("config.json", R"({"quantization_config":{"quant_method":"toy"}})");
  put_model({{"a.codes", {1}, ElementType::kU8, "x"}});
  EXPECT_ERROR(CheckpointOpener(kToyList).open(root_), ErrorCode::kCorrupt, "a.scale is missing");
}

TEST_F(CheckpointTest, UnknownQuantizationIsNamed) {
  put_model({{"a.weight", {1, 1}, ElementType::kF32, "1234"}});
  const auto open = [&] { return CheckpointOpener(kToyList).open(root_); };
  put("config.json", R"({"quantization_config":{"quant_method":"vptq"}})");
  EXPECT_ERROR(open(), ErrorCode::kUnsupported, "quant_method \"vptq\" is not supported");
  EXPECT_ERROR(open(), ErrorCode::kUnsupported, "supported families: toy");
  put("config.json", R"({"quantization_config":{"quant_method":7}})");
  EXPECT_ERROR(open(), ErrorCode::kCorrupt, "\"quant_method\" is number, expected a string");
  put("config.json", R"({"quantization_config":[]})");
  EXPECT_ERROR(open(), ErrorCode::kCorrupt, "quantization_config is array");
  put("config.json", R"([])");
  EXPECT_ERROR(open(), ErrorCode::kCorrupt, "config.json: is array, expected an object");
  put("config.json", "{}");
  put("quantize_config.json", R"({"quant_method":"toy"})");
  EXPECT_EQ((*open())->family_name(), "toy");
  std::string warning;
  set_log_sink([&](LogLevel, std::string_view message) { warning = message; });
  put("quantize_config.json", R"({"bits":4})");
  EXPECT_EQ((*open())->family_name(), "float");
  set_log_sink({});
  EXPECT_NE(warning.find("without quant_method"), std::string::npos);
}

TEST_F(CheckpointTest, Gguf) {
  std::string file = "GGUF" + raw(std::uint32_t{3}) + raw(std::uint64_t{3}) + raw(std::uint64_t{0});
  const auto info = [](std::string_view name, std::vector<std::uint64_t> dims, std::uint64_t offset) {
    std::string out = gguf_string(name) + raw(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t size : dims) out += raw(size);
    return out + raw(std::int32_t{1}) + raw(offset);  // f16
  };
  file +=
      info("token_embd.weight", {2, 3}, 0) + info("output_norm.weight", {2}, 32) + info("exps.weight", {1, 1, 2}, 64);
  file.resize((file.size() + 31) / 32 * 32, '\0');
  put("model.gguf", file + std::string(96, '\x3C'));
  for (const auto& path : {root_ / "model.gguf", root_}) {  // a folder that holds nothing else is as good
    const auto opened = CheckpointOpener({}).open(path);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    const Checkpoint& checkpoint = **opened;
    EXPECT_TRUE(checkpoint.is_gguf());
    EXPECT_NE(checkpoint.gguf(), nullptr);
    EXPECT_EQ(checkpoint.path(), root_ / "model.gguf");
    EXPECT_TRUE(checkpoint.config().empty());
    EXPECT_EQ(checkpoint.modules(), std::vector<std::string>{"token_embd"});
    EXPECT_EQ((*checkpoint.matrix("token_embd"))->rows(), 3);
    EXPECT_EQ(checkpoint.plain_tensors().size(), 2u);
  }
  put("other.gguf", file + std::string(96, '\x3C'));
  EXPECT_ERROR(Checkpoint::open(root_), ErrorCode::kInvalidArgument, "holds several GGUF files");
  std::filesystem::remove(root_ / "other.gguf");
  std::filesystem::create_directories(root_ / "Q4_K_M");  // a repository's folder for each quantization
  std::filesystem::rename(root_ / "model.gguf", root_ / "Q4_K_M/model.gguf");
  EXPECT_EQ((*Checkpoint::open(root_))->path(), root_ / "Q4_K_M/model.gguf");
  put("Q8_0/deep/model.gguf", "x");
  EXPECT_ERROR(Checkpoint::open(root_), ErrorCode::kInvalidArgument, "name one of them, for example");
  EXPECT_ERROR(Checkpoint::open(root_), ErrorCode::kInvalidArgument, "Q4_K_M/model.gguf");
  std::filesystem::remove_all(root_ / "Q8_0");
  std::filesystem::rename(root_ / "Q4_K_M/model.gguf", root_ / "m-00001-of-00002.gguf");
  put("m-00002-of-00002.gguf", file + std::string(96, '\x3C'));
  EXPECT_TRUE(Checkpoint::open(root_).ok()) << "other shards are not files to choose from";
}

TEST_F(CheckpointTest, SaysWhatIsMissing) {
  EXPECT_ERROR(Checkpoint::open(root_ / "absent"), ErrorCode::kNotFound, "absent: does not exist");
  EXPECT_ERROR(Checkpoint::open(root_), ErrorCode::kNotFound,
               "it holds no config.json, no *.safetensors, *.bin or *.gguf");
  put("config.json", "{}");
  EXPECT_ERROR(Checkpoint::open(root_), ErrorCode::kNotFound, "is the download complete?");
  put("training_args.bin", "x");
  EXPECT_ERROR(Checkpoint::open(root_), ErrorCode::kNotFound, "is the download complete?");
  EXPECT_ERROR(Checkpoint::open(put("notes.txt", "hello")), ErrorCode::kCorrupt, "this is not a GGUF file");
}

TEST_F(CheckpointTest, TensorsAloneAndASingleFileCanBeInspected) {
  put_model({{"a.weight", {1, 1}, ElementType::kF32, "1234"}});
  EXPECT_TRUE(Checkpoint::open(root_).ok());
  put("config.json", R"({"x":1})");
  const auto checkpoint = Checkpoint::open(root_ / "model.safetensors");
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ((*checkpoint)->config().at("x"), 1);
  EXPECT_EQ((*checkpoint)->modules().size(), 1u);
  EXPECT_EQ((*checkpoint)->folder(), root_) << "where its companions are";
  EXPECT_EQ((*Checkpoint::open(root_))->folder(), root_);
}

TEST_F(CheckpointTest, ALeftoverIndexIsIgnored) {
  put_model({{"a.weight", {1, 1}, ElementType::kF32, "1234"}});
  put("model.safetensors.index.json", R"({"weight_map":{"a.weight":"model-00001-of-00002.safetensors",
                                                        "b.weight":"model-00002-of-00002.safetensors"}})");
  std::string warning;
  set_log_sink([&](LogLevel, std::string_view message) { warning = message; });
  const auto opened = Checkpoint::open(root_);
  set_log_sink({});
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_NE(warning.find("model.safetensors is used"), std::string::npos) << warning;
  put("model-00001-of-00002.safetensors", contents("model.safetensors"));
  EXPECT_ERROR(Checkpoint::open(root_), ErrorCode::kNotFound, "model-00002-of-00002.safetensors");
  std::filesystem::remove(root_ / "model-00001-of-00002.safetensors");
  std::filesystem::remove(root_ / "model.safetensors");
  EXPECT_ERROR(Checkpoint::open(root_), ErrorCode::kNotFound, "is the download complete?");
}

}  // namespace
}  // namespace nibble
