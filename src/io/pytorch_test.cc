// Tests of PyTorch files: what torch wrote reads as torch says, files built by hand, folders, and what is refused.
#include "io/pytorch.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/log.h"
#include "io/checkpoint.h"
#include "io/pytorch_test_support.h"
#include "io/safetensors.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = NIBBLE_SOURCE_DIR "/tests/golden/pytorch";

std::string hex(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte byte : bytes) out += fmt::format("{:02x}", std::to_integer<int>(byte));
  return out;
}

class PytorchTest : public FolderTest {
 protected:
  Result<TensorSet> open(const std::string& file) {
    TensorSet tensors;
    const auto opened = open_pytorch(put("m.bin", file), tensors);
    if (!opened.ok()) return opened.error();
    return tensors;
  }

  static std::string floats(int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += raw(static_cast<float>(i));
    return out;
  }
};

/// A tensor of the one storage of six floats.
std::string view(std::int64_t offset, const std::vector<std::int64_t>& shape,
                 const std::vector<std::int64_t>& strides) {
  return pickled_tensor(pickled_storage("FloatStorage", "0", 6), offset, shape, strides);
}

std::vector<float> values_of(const TensorSet& tensors, const std::string& name) {
  const StoredTensor* tensor = tensors.find(name);
  return tensor == nullptr ? std::vector<float>{-999} : read_floats(*tensor).value();
}

TEST(PytorchGolden, TensorsAreAsTorchSays) {
  const auto text = read_text_file(kGolden / "state_dict.json");
  ASSERT_TRUE(text.ok());
  const Json golden = Json::parse(*text);
  for (const char* name : {"state_dict.bin", "nested.bin"}) {
    TensorSet tensors;
    const auto opened = open_pytorch(kGolden / name, tensors);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    EXPECT_EQ(*opened, fs::file_size(kGolden / name));
    EXPECT_EQ(tensors.all().size(), golden["tensors"].size());
    for (const auto& [tensor_name, expected] : golden["tensors"].items()) {
      const StoredTensor* tensor = tensors.find(tensor_name);
      ASSERT_NE(tensor, nullptr) << tensor_name;
      EXPECT_EQ(element_info(tensor->element).safetensors, expected["dtype"].get<std::string>()) << tensor_name;
      EXPECT_EQ(tensor->shape, expected["shape"].get<std::vector<std::int64_t>>()) << tensor_name;
      EXPECT_EQ(hex(tensor->bytes), expected["hex"].get<std::string>()) << tensor_name;
    }
    EXPECT_EQ(tensors.find("tied")->bytes.data(), tensors.find("weight")->bytes.data());
  }
}

/// Families see tensors, not containers: a folder of PyTorch shards opens as the same tensors in safetensors do.
TEST_F(PytorchTest, FamiliesReadTheirTensorsFromIt) {
  const auto torch = Checkpoint::open(kGolden / "gptq");
  ASSERT_TRUE(torch.ok()) << torch.error().message;
  EXPECT_EQ((*torch)->container(), "pytorch");
  EXPECT_EQ((*torch)->family_name(), "gptq");
  ASSERT_EQ((*torch)->modules(),
            (std::vector<std::string>{"model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj"}));
  std::vector<SafetensorsPlan> plan;
  for (const StoredTensor& tensor : (*torch)->tensors().all())
    plan.push_back({tensor.name, tensor.shape, tensor.element});
  auto writer = SafetensorsWriter::create(root_, plan);
  ASSERT_TRUE(writer.ok());
  for (std::size_t i = 0; i < plan.size(); ++i)
    ASSERT_TRUE((*writer)->write(i, 0, (*torch)->tensors().all()[i].bytes).ok());
  ASSERT_TRUE((*writer)->finish().ok());
  fs::copy_file(kGolden / "gptq/config.json", root_ / "config.json");
  const auto safetensors = Checkpoint::open(root_);
  ASSERT_TRUE(safetensors.ok());
  for (const std::string& module : (*torch)->modules()) {
    QuantizedMatrix a;
    QuantizedMatrix b;
    ASSERT_TRUE((*(*torch)->matrix(module))->decode(0, 32, a).ok());
    ASSERT_TRUE((*(*safetensors)->matrix(module))->decode(0, 32, b).ok());
    std::vector<float> from_torch(32 * 32);
    std::vector<float> from_safetensors(32 * 32);
    dequantize(a, from_torch.data());
    dequantize(b, from_safetensors.data());
    EXPECT_EQ(from_torch, from_safetensors);
    EXPECT_NE(from_torch.front(), from_torch.back());
  }
}

TEST_F(PytorchTest, Views) {
  const auto tensors = open(pytorch_file(pickle_of_dict({{"whole", view(0, {2, 3}, {3, 1})},
                                                         {"transposed", view(0, {3, 2}, {1, 3})},
                                                         {"middle", view(2, {2}, {1})},
                                                         {"scalar", view(5, {}, {})},
                                                         {"one", view(4, {1, 1, 2}, {77, 99, 1})},
                                                         {"repeated", view(1, {2, 2}, {0, 1})},
                                                         {"none", view(6, {0, 4}, {4, 1})}}),
                                         {floats(6)}));
  ASSERT_TRUE(tensors.ok()) << tensors.error().message;
  EXPECT_EQ(values_of(*tensors, "whole"), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(values_of(*tensors, "transposed"), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(values_of(*tensors, "middle"), (std::vector<float>{2, 3}));
  EXPECT_EQ(values_of(*tensors, "scalar"), (std::vector<float>{5}));
  EXPECT_EQ(values_of(*tensors, "one"), (std::vector<float>{4, 5}));
  EXPECT_EQ(values_of(*tensors, "repeated"), (std::vector<float>{1, 2, 1, 2}));
  EXPECT_TRUE(values_of(*tensors, "none").empty());
}

TEST_F(PytorchTest, ViewsStayInTheirStorage) {
  const auto open_view = [&](const std::string& tensor) {
    return open(pytorch_file(pickle_of_dict({{"a", tensor}}), {floats(6)}));
  };
  const auto expect_past = [&](const std::string& tensor) {
    EXPECT_ERROR(open_view(tensor), ErrorCode::kCorrupt,
                 "tensor \"a\": storage_offset, size and stride reach past the 6 elements of its storage");
  };
  expect_past(view(1, {2, 3}, {3, 1}));
  expect_past(view(0, {2, 3}, {4, 1}));
  expect_past(view(6, {1}, {1}));
  expect_past(view(7, {0}, {1}));
  expect_past(view(0, {7}, {1}));
  expect_past(view(INT64_MAX, {1}, {1}));
  expect_past(view(0, {2, 2}, {INT64_MAX, INT64_MAX}));
  EXPECT_ERROR(open_view(view(-1, {1}, {1})), ErrorCode::kCorrupt, "storage_offset is -1");
  EXPECT_ERROR(open_view(view(0, {-1}, {1})), ErrorCode::kCorrupt, "size is -1");
  EXPECT_ERROR(open_view(view(0, {2}, {-1})), ErrorCode::kCorrupt, "stride is -1");
  EXPECT_ERROR(open_view(view(0, {2}, {1, 1})), ErrorCode::kCorrupt, "stride has 2 numbers, size has 1");
  EXPECT_ERROR(open_view(view(0, {1 << 30, 1 << 30, 1 << 30}, {0, 0, 0})), ErrorCode::kCorrupt, "overflows 63 bits");
  EXPECT_ERROR(open_view(view(0, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1})), ErrorCode::kUnsupported,
               "9 dimensions");
  EXPECT_ERROR(open_view(view(0, {1 << 30, 1 << 30}, {0, 0})), ErrorCode::kUnsupported, "larger than the file");
}

TEST_F(PytorchTest, StoragesMustBeThere) {
  const auto of_storage = [&](const std::string& storage) {
    return open(pytorch_file(pickle_of_dict({{"a", pickled_tensor(storage, 0, {1}, {1})}}), {floats(6)}));
  };
  EXPECT_TRUE(of_storage(pickled_storage("IntStorage", "0", 6)).ok());
  EXPECT_ERROR(of_storage(pickled_storage("FloatStorage", "1", 6)), ErrorCode::kCorrupt, "no record \"data/1\"");
  EXPECT_ERROR(of_storage(pickled_storage("FloatStorage", "../version", 6)), ErrorCode::kCorrupt, "no record");
  EXPECT_ERROR(of_storage(pickled_storage("DoubleStorage", "0", 6)), ErrorCode::kCorrupt,
               "its storage has 48 bytes, the record \"data/0\" has 24");
  EXPECT_ERROR(of_storage(pickled_storage("DoubleStorage", "0", INT64_MAX)), ErrorCode::kCorrupt, "overflows");
  EXPECT_ERROR(of_storage(pickled_storage("UntypedStorage", "0", 24)), ErrorCode::kCorrupt, "untyped storage");
  EXPECT_ERROR(of_storage(pickled_storage("QInt8Storage", "0", 24)), ErrorCode::kUnsupported,
               "asks for \"torch.QInt8Storage\"");
  EXPECT_ERROR(of_storage(pickled_storage("float32", "0", 6)), ErrorCode::kCorrupt, "no type or no key");
  EXPECT_ERROR(of_storage("N"), ErrorCode::kCorrupt, "lies in a value of type None");
  EXPECT_ERROR(of_storage(pickled_tuple({pickled_text("storage")}) + "Q"), ErrorCode::kCorrupt, "not a storage");
}

TEST_F(PytorchTest, NothingIsCalledThatIsNotKnown) {
  const auto of_value = [&](const std::string& value) {
    return open(pytorch_file(pickle_of_dict({{"a", value}}), {floats(6)}));
  };
  EXPECT_ERROR(of_value(pickled_global("os", "system") + pickled_tuple({pickled_text("true")}) + "R"),
               ErrorCode::kUnsupported, "asks for \"os.system\"");
  EXPECT_ERROR(of_value(pickled_global("collections", "OrderedDict.__init__")), ErrorCode::kUnsupported,
               "collections.OrderedDict.__init__");
  EXPECT_ERROR(of_value(pickled_global("collections", "OrderedDict") + pickled_ints({1}) + "R"),
               ErrorCode::kUnsupported, "collections.OrderedDict with 1 arguments");
  EXPECT_ERROR(of_value(pickled_global("torch._utils", "_rebuild_tensor_v2") + pickled_ints({1}) + "R"),
               ErrorCode::kUnsupported, "_rebuild_tensor_v2 with 1 arguments, expected 6 to 7");
  EXPECT_ERROR(of_value(pickled_global("torch", "FloatStorage") + pickled_ints({1}) + "R"), ErrorCode::kCorrupt,
               "calls torch.FloatStorage, expected a function");
  EXPECT_ERROR(of_value("K\1)R"), ErrorCode::kCorrupt, "calls int, expected a function");
  EXPECT_ERROR(of_value(pickled_global("torch._utils", "_rebuild_parameter") + pickled_ints({1, 2, 3}) + "R"),
               ErrorCode::kCorrupt, "a parameter of a value of type int");
}

TEST_F(PytorchTest, FindsTheStateDict) {
  const auto open_dict = [&](const std::vector<std::pair<std::string, std::string>>& items) {
    return open(pytorch_file(pickle_of_dict(items), {floats(6)}));
  };
  const std::string tensor = view(0, {6}, {1});
  const auto dict = [&](const std::string& key) { return "}" + pickled_text(key) + tensor + "s"; };
  for (const char* key : {"state_dict", "model"}) {
    const auto nested = open_dict({{"lr", tensor}, {key, dict("w")}, {"optimizer", "}"}});
    ASSERT_TRUE(nested.ok()) << nested.error().message;
    EXPECT_EQ(nested->all().size(), 1u);
    EXPECT_NE(nested->find("w"), nullptr);
  }
  EXPECT_NE(open_dict({{"model", tensor}})->find("model"), nullptr) << "a tensor may have that name";
  std::string warning;
  set_log_sink([&](LogLevel, std::string_view message) { warning = message; });
  EXPECT_EQ(open_dict({{"w", tensor}, {"step", "K\1"}, {"name", pickled_text("x")}})->all().size(), 1u);
  set_log_sink({});
  EXPECT_NE(warning.find("2 entries of the state dict are no tensors"), std::string::npos) << warning;
  EXPECT_ERROR(open_dict({{"w", tensor}, {"w", tensor}}), ErrorCode::kCorrupt, "\"w\" appears twice");
  EXPECT_ERROR(open_dict({{"w", tensor}, {"x", dict("y")}}), ErrorCode::kUnsupported, "\"x\" in the state dict");
  EXPECT_ERROR(open_dict({{"other", dict("w")}}), ErrorCode::kUnsupported, "a dict without tensors");
  EXPECT_ERROR(open(pytorch_file("\x80\x02N.", {})), ErrorCode::kUnsupported, "a value of type None");
}

TEST_F(PytorchTest, CopiesOfViewsOutliveTheirTensorSet) {
  MappedFile::Ptr file;
  std::span<const std::byte> bytes;
  {
    const auto tensors = open(pytorch_file(pickle_of_dict({{"t", view(0, {3, 2}, {1, 3})}}), {floats(6)}));
    ASSERT_TRUE(tensors.ok());
    file = tensors->find("t")->file;
    bytes = tensors->find("t")->bytes;
  }
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()) + 4, 4), raw(3.0f));
  EXPECT_TRUE(file->check_intact().ok());
}

/// A file that needs ZIP64: a storage of 5 GB that is a hole and takes no room on the disk, then another.
TEST_F(PytorchTest, RecordsPastFourGigabytes) {
  constexpr std::uint64_t kHole = std::uint64_t{5} << 30;
  const auto bytes = static_cast<std::int64_t>(kHole);
  const std::string pickle =
      pickle_of_dict({{"hole", pickled_tensor(pickled_storage("ByteStorage", "0", bytes), 0, {bytes}, {1})},
                      {"end", pickled_tensor(pickled_storage("FloatStorage", "1", 6), 0, {6}, {1})}});
  std::string head = pytorch_file(pickle, {}, {false, false, false});
  std::string directory = head.substr(head.find("PK\1\2"));
  head.resize(head.size() - directory.size());
  directory.resize(directory.size() - 22);
  const auto u16 = [](std::size_t value) { return raw(static_cast<std::uint16_t>(value)); };
  const auto list = [&](const std::string& name, std::uint64_t size, std::uint64_t begin) {
    directory += "PK\1\2" + raw(0) + u16(8) + u16(0) + raw(std::uint64_t{0}) + raw(-1) + raw(-1) + u16(name.size()) +
                 u16(28) + std::string(10, '\0') + raw(-1) + name + u16(1) + u16(24) + raw(size) + raw(size) +
                 raw(begin);
  };
  const auto local = [&](const std::string& name) {
    return "PK\3\4" + u16(0) + u16(8) + std::string(18, '\0') + u16(name.size()) + u16(0) + name;
  };
  const auto descriptor = [](std::uint64_t size) { return "PK\7\x8" + raw(0) + raw(size) + raw(size); };
  list("m/data/0", kHole, head.size());
  head += local("m/data/0");
  const std::uint64_t second = head.size() + kHole + 24;
  list("m/data/1", 24, second);
  const std::string tail = descriptor(kHole) + local("m/data/1") + floats(6) + descriptor(24);
  const std::uint64_t directory_at = head.size() + kHole + tail.size();
  const std::string end = "PK\6\6" + raw(std::uint64_t{44}) + raw(0) + raw(std::uint64_t{0}) + raw(std::uint64_t{5}) +
                          raw(std::uint64_t{5}) + raw(std::uint64_t{directory.size()}) + raw(directory_at) + "PK\6\7" +
                          raw(0) + raw(directory_at + directory.size()) + raw(1) + "PK\5\6" + raw(0) + u16(5) + u16(5) +
                          raw(-1) + raw(-1) + u16(0);
  const fs::path path = put("m.bin", head);
  fs::resize_file(path, head.size() + kHole);
  std::ofstream(path, std::ios::binary | std::ios::app) << tail << directory << end;
  TensorSet tensors;
  const auto opened = open_pytorch(path, tensors);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(tensors.find("hole")->bytes.size(), kHole);
  EXPECT_EQ(values_of(tensors, "end"), (std::vector<float>{0, 1, 2, 3, 4, 5}));
}

class PytorchFolder : public PytorchTest {
 protected:
  void put_model(const std::string& name, const std::string& tensor) const {
    put(name, pytorch_file(pickle_of_dict({{tensor, view(0, {2, 3}, {3, 1})}}), {floats(6)}));
  }
  std::string names() const {
    const auto checkpoint = Checkpoint::open(root_);
    if (!checkpoint.ok()) return checkpoint.error().message;
    std::string out((*checkpoint)->container());
    for (const StoredTensor& tensor : (*checkpoint)->tensors().all()) out += " " + tensor.name;
    return out;
  }
};

TEST_F(PytorchFolder, TheModelIsFoundAmongOtherFiles) {
  put("config.json", "{}");
  put("training_args.bin", "x");
  put("optimizer.pt", "x");
  put("rng_state_0.pth", "x");
  EXPECT_NE(names().find("is the download complete?"), std::string::npos) << names();
  put_model("model-w4-g128.pt", "a.weight");
  EXPECT_EQ(names(), "pytorch a.weight");
  put_model("other.pth", "b.weight");
  EXPECT_NE(names().find("several PyTorch files (model-w4-g128.pt, other.pth)"), std::string::npos) << names();
  put_model("pytorch_model.bin", "c.weight");
  EXPECT_EQ(names(), "pytorch c.weight");
  put_model("pytorch_model-00001-of-00001.bin", "d.weight");
  put("pytorch_model.bin.index.json", R"({"weight_map":{"d.weight":"pytorch_model-00001-of-00001.bin"}})");
  EXPECT_EQ(names(), "pytorch d.weight");
  put("pytorch_model.bin.index.json", R"({"weight_map":{"d.weight":"../pytorch_model.bin"}})");
  EXPECT_NE(names().find("expected a file below this folder"), std::string::npos) << names();
  put("model.safetensors", safetensors_file(R"({"s.weight":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"));
  EXPECT_EQ(names(), "safetensors s.weight");
}

TEST_F(PytorchFolder, OneFileIsAModelToo) {
  put_model("x.pt", "a.weight");
  put("config.json", R"({"x":1})");
  const auto checkpoint = Checkpoint::open(root_ / "x.pt");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ((*checkpoint)->config().at("x"), 1);
  EXPECT_EQ((*checkpoint)->modules(), std::vector<std::string>{"a"});
  put("x.pt", "hello");
  EXPECT_ERROR(Checkpoint::open(root_), ErrorCode::kCorrupt, "x.pt: begins neither as a zip archive nor as a pickle");
}

}  // namespace
}  // namespace nibble
