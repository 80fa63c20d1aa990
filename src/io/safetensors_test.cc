// Tests of safetensors: the published layout byte for byte, every rule of the reader, folders, shards.
#include "io/safetensors.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "io/container_test_support.h"

namespace nibble {
namespace {

using Safetensors = FolderTest;

/// The test vector of formats-hf.md 1.7 (derived from the official writer's code; also written by safetensors 0.8.0).
constexpr std::string_view kVectorHeader =
    R"({"__metadata__":{"format":"pt"},"a.qweight":{"dtype":"I32","shape":[1,2],"data_offsets":[0,8]},"b.scales":{"dtype":"F16","shape":[2],"data_offsets":[8,12]},"c":{"dtype":"U8","shape":[3],"data_offsets":[12,15]}}      )";
const std::string kVectorData = from_hex("21436587f078e16900380034010203");

std::vector<SafetensorsPlan> vector_plan() {
  return {{"b.scales", {2}, ElementType::kF16}, {"a.qweight", {1, 2}, ElementType::kI32}, {"c", {3}, ElementType::kU8}};
}

TEST_F(Safetensors, WritesTheOfficialBytes) {
  auto writer = SafetensorsWriter::create(root_, vector_plan());
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  const std::string_view data = kVectorData;
  EXPECT_TRUE((*writer)->write(2, 1, bytes_of(data.substr(13, 2))).ok());  // pieces in any order
  EXPECT_TRUE((*writer)->write(0, 0, bytes_of(data.substr(8, 4))).ok());
  EXPECT_TRUE((*writer)->write(1, 5, bytes_of(data.substr(5, 3))).ok());
  EXPECT_TRUE((*writer)->write(1, 0, bytes_of(data.substr(0, 5))).ok());
  EXPECT_EQ(names().size(), 1u);
  EXPECT_EQ(names().front().front(), '.') << "nothing may bear the final name yet";
  EXPECT_ERROR((*writer)->finish(), ErrorCode::kInvalidArgument, "tensor \"c\": byte 0 of 3 was never written");
  EXPECT_TRUE((*writer)->write(2, 0, bytes_of(data.substr(12, 1))).ok());
  ASSERT_TRUE((*writer)->finish().ok());
  EXPECT_EQ(names(), std::vector<std::string>{"model.safetensors"});
  EXPECT_EQ(safetensors_bytes(vector_plan(), {{"format", "pt"}}).value(), contents("model.safetensors").size());
  const std::string written = contents("model.safetensors");
  EXPECT_EQ(written.size(), 239u);
  EXPECT_EQ(written, safetensors_file(kVectorHeader, kVectorData));
  EXPECT_EQ(crc32(written), 0x6DAA5CCAu);
}

TEST_F(Safetensors, ReadsTensorsInFileOrder) {
  TensorSet tensors;
  const auto bytes = open_safetensors(put("x.safetensors", safetensors_file(kVectorHeader, kVectorData)), tensors);
  ASSERT_TRUE(bytes.ok()) << bytes.error().message;
  EXPECT_EQ(*bytes, 239u);
  ASSERT_EQ(tensors.all().size(), 3u);
  EXPECT_EQ(tensors.all()[0].name, "a.qweight");
  EXPECT_EQ(tensors.all()[0].shape, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(tensors.all()[0].ggml_type, -1);
  const StoredTensor* scales = tensors.find("b.scales");
  ASSERT_NE(scales, nullptr);
  EXPECT_EQ(scales->element, ElementType::kF16);
  EXPECT_EQ(scales->bytes.size(), 4u);
  EXPECT_EQ(scales->bytes.data(), scales->file->bytes().data() + scales->file_offset);
  const auto values = read_floats(*scales);
  ASSERT_TRUE(values.ok());
  EXPECT_EQ(*values, (std::vector<float>{0.5f, 0.25f}));
  EXPECT_EQ(tensors.find("d"), nullptr);
}

TEST_F(Safetensors, ScalarsEmptyTensorsPaddingAndPairsOfFp4AreFine) {
  const std::string header =
      R"(   {"z":{"shape":[0,7],"dtype":"F64","data_offsets":[1,1]},"s":{"dtype":"F4","shape":[2],"data_offsets":[0,1]},)"
      R"("e":{"dtype":"BF16","shape":[],"data_offsets":[1,3],"extra":null}} )";
  TensorSet tensors;
  const auto opened = open_safetensors(put("x", safetensors_file(header, "\x2F\x80\x3F")), tensors);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(tensors.find("z")->elements(), 0);
  EXPECT_TRUE(read_floats(*tensors.find("z"))->empty());
  EXPECT_EQ(*read_floats(*tensors.find("e")), std::vector<float>{1.0f});
  EXPECT_EQ(*read_floats(*tensors.find("s")), (std::vector<float>{-6.0f, 1.0f}));  // low nibble first
}

struct BadHeader {
  const char* header;
  const char* data;
  const char* message;  ///< part of it
};
constexpr BadHeader kBadHeaders[] = {
    {R"([])", "", "header is array, expected an object"},
    {R"({"a")", "", "not valid JSON"},
    {R"({"a":[]})", "", "tensor \"a\": is array, expected an object"},
    {R"({"a":{"shape":[1],"data_offsets":[0,1]}})", "x", "tensor \"a\": dtype is missing"},
    {R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", "x", "tensor \"a\": shape is missing"},
    {R"({"a":{"dtype":"U8","shape":[1]}})", "x", "tensor \"a\": data_offsets is missing"},
    {R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,1]}})", "x", "dtype is number"},
    {R"({"a":{"dtype":"U9","shape":[1],"data_offsets":[0,1]}})", "x", "dtype \"U9\" is unknown; known: BOOL, F4, U8"},
    {R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", "x", "shape is number"},
    {R"({"a":{"dtype":"U8","shape":[1,-1],"data_offsets":[0,1]}})", "x", "shape[1] is -1"},
    {R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}})", "x", "shape[0] is 1.5"},
    {R"({"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}})", "x", "shape[0] is \"1\""},
    {R"({"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,1]}})", "x", "shape[0] is 1e+20"},
    {R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", "", "overflows"},
    {R"({"a":{"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", "", "overflows"},
    {R"({"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,0]}})", "", "overflows"},
    {R"({"a":{"dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,0]}})", "", "not a whole number of bytes"},
    {R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", "xx", "not a whole number of bytes"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", "x", "data_offsets is not a list of two"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", "x", "data_offsets is not a list of two"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}})", "x", "data_offsets is not a list of two"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", "x", "end before they begin"},
    {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,1]}})", "x", "hold 1 bytes, 2 elements of U8 need 2"},
    {R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}})", "x",
     "overflows"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", "xx", "between tensors belong to none"},
    {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
     "xxx", "tensor \"b\": data_offsets begin at 1, expected 2: bytes are used by two tensors"},
    {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", "x", "end at 2, the file holds 1 bytes"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "xy", "1 bytes follow the last tensor"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
     "xx", "\"a\" appears twice"},
    {R"({"__metadata__":[]})", "", "__metadata__ is array"},
    {R"({"__metadata__":{"n":1}})", "", "__metadata__: \"n\" is number"},
    {"{\"\xff\":{}}", "", "not valid JSON"},
    {R"({"a":{"dtype":"U8","shape":[[[1]]],"data_offsets":[0,1]}})", "x", "nested deeper than"},
};

TEST_F(Safetensors, RefusesEveryBreachByName) {
  for (const BadHeader& bad : kBadHeaders) {
    TensorSet tensors;
    const auto path = put("bad.safetensors", safetensors_file(bad.header, bad.data));
    EXPECT_ERROR(open_safetensors(path, tensors), ErrorCode::kCorrupt, bad.message);
    EXPECT_EQ(open_safetensors(path, tensors).error().message.find(path.string()), 0u) << bad.header;
  }
  TensorSet tensors;
  const char* foreign = R"({"a":{"dtype":"C64","shape":[0],"data_offsets":[0,0]}})";
  EXPECT_ERROR(open_safetensors(put("c64", safetensors_file(foreign, "")), tensors), ErrorCode::kUnsupported, "C64");
  EXPECT_ERROR(open_safetensors(root_ / "absent", tensors), ErrorCode::kNotFound, "absent");
}

TEST_F(Safetensors, RefusesImpossibleHeaderLengths) {
  TensorSet tensors;
  for (const std::uint64_t length : {std::uint64_t{100'000'001}, UINT64_MAX, UINT64_MAX - 7, std::uint64_t{1} << 63})
    EXPECT_ERROR(open_safetensors(put("x", raw(length) + "{}"), tensors), ErrorCode::kCorrupt, "header length");
  EXPECT_ERROR(open_safetensors(put("x", raw(std::uint64_t{3}) + "{}"), tensors), ErrorCode::kCorrupt,
               "header needs 3");
  EXPECT_ERROR(open_safetensors(put("x", "1234567"), tensors), ErrorCode::kCorrupt, "header length needs 8");
  EXPECT_ERROR(open_safetensors(put("x", ""), tensors), ErrorCode::kCorrupt, "header length needs 8");
  EXPECT_TRUE(open_safetensors(put("x", raw(std::uint64_t{2}) + "{}"), tensors).ok());
}

TEST_F(Safetensors, NamesFromOutsideAreMadePrintableAndShort) {
  TensorSet tensors;
  const std::string header = "{\"\\u001b[2J" + std::string(100'000, 'n') + "\":0}";
  const auto result = open_safetensors(put("x", safetensors_file(header, "")), tensors);
  ASSERT_FALSE(result.ok());
  EXPECT_LT(result.error().message.size(), 500u);
  EXPECT_EQ(result.error().message.find('\x1b'), std::string::npos);
}

TEST_F(Safetensors, WriterEscapesSortsAndKeepsEmptyTensors) {
  std::vector<SafetensorsPlan> plan = {{"b\"\\\n\xC3\xA9", {1}, ElementType::kI8},
                                       {"empty", {0, 4}, ElementType::kF32},
                                       {"a", {}, ElementType::kI8},
                                       {"packed", {2, 2}, ElementType::kF4},
                                       {"flag", {1}, ElementType::kBool},
                                       {"wide", {1}, ElementType::kU64}};
  auto writer = SafetensorsWriter::create(root_, plan, {});
  ASSERT_TRUE(writer.ok());
  for (const std::size_t index : {0u, 2u, 4u}) EXPECT_TRUE((*writer)->write(index, 0, bytes_of("x")).ok());
  EXPECT_TRUE((*writer)->write(3, 0, bytes_of("yz")).ok());
  EXPECT_TRUE((*writer)->write(5, 0, bytes_of("01234567")).ok());
  EXPECT_TRUE((*writer)->write(5, 2, bytes_of("23")).ok()) << "a piece may be written again";
  ASSERT_TRUE((*writer)->finish().ok());
  const std::string text = contents("model.safetensors");
  EXPECT_EQ(safetensors_bytes(plan, {}).value(), text.size());
  const std::string header = text.substr(8);
  EXPECT_EQ(
      header.find(R"({"wide":{"dtype":"U64","shape":[1],"data_offsets":[0,8]},"empty":{"dtype":"F32","shape":[0,4],)"
                  R"("data_offsets":[8,8]},"a":{"dtype":"I8","shape":[],"data_offsets":[8,9]},"b\"\\\n)"
                  "\xC3\xA9"
                  R"(":{"dtype":"I8","shape":[1],"data_offsets":[9,10]},"packed":{"dtype":"F4","shape":[2,2],)"
                  R"("data_offsets":[10,12]},"flag":{"dtype":"BOOL","shape":[1],"data_offsets":[12,13]}})"),
      0u)
      << header;
  TensorSet tensors;
  EXPECT_TRUE(open_safetensors(root_ / "model.safetensors", tensors).ok());
  EXPECT_EQ(tensors.all().size(), plan.size());
}

TEST_F(Safetensors, WriterRefusesImpossiblePlans) {
  const auto create = [&](std::vector<SafetensorsPlan> plan) {
    return SafetensorsWriter::create(root_, std::move(plan));
  };
  EXPECT_ERROR(create({{"a", {1}, ElementType::kU8}, {"a", {1}, ElementType::kU8}}), ErrorCode::kInvalidArgument,
               "twice");
  EXPECT_ERROR(create({{"__metadata__", {1}, ElementType::kU8}}), ErrorCode::kInvalidArgument, "__metadata__");
  EXPECT_ERROR(create({{"a", {-1}, ElementType::kU8}}), ErrorCode::kInvalidArgument, "impossible shape");
  EXPECT_ERROR(create({{"a", {3}, ElementType::kF4}}), ErrorCode::kInvalidArgument, "whole number");
  EXPECT_ERROR(create({{"\xff", {1}, ElementType::kU8}}), ErrorCode::kInvalidArgument, "\"?\"");
  EXPECT_TRUE(names().empty());
}

/// Sizes 4, 6, 20, 3, 8 under a limit of 10: 4 + 6 fill the first file; 20 is above the limit and is numbered before
/// the file under way (as in huggingface_hub), then 3, then 8.
TEST_F(Safetensors, ShardsAreFilledInPlanOrder) {
  const std::vector<std::pair<std::string, std::int64_t>> sizes = {{"a", 4}, {"b", 6}, {"c", 20}, {"d", 3}, {"e", 8}};
  std::vector<SafetensorsPlan> plan;
  for (const auto& size : sizes) plan.push_back({size.first, {size.second}, ElementType::kU8});
  auto writer = SafetensorsWriter::create(root_, plan, {{"format", "pt"}}, 10);
  ASSERT_TRUE(writer.ok());
  for (std::size_t i = sizes.size(); i-- > 0;) {
    const std::string data(static_cast<std::size_t>(sizes[i].second), static_cast<char>('A' + i));
    ASSERT_TRUE((*writer)->write(i, 0, bytes_of(data)).ok());
  }
  ASSERT_TRUE((*writer)->finish().ok());
  const std::string index = contents("model.safetensors.index.json");
  EXPECT_EQ(index,
            "{\n  \"metadata\": {\n    \"total_size\": 41\n  },\n  \"weight_map\": {\n"
            "    \"a\": \"model-00002-of-00004.safetensors\",\n    \"b\": \"model-00002-of-00004.safetensors\",\n"
            "    \"c\": \"model-00001-of-00004.safetensors\",\n    \"d\": \"model-00003-of-00004.safetensors\",\n"
            "    \"e\": \"model-00004-of-00004.safetensors\"\n  }\n}\n");
  EXPECT_EQ(names().size(), 5u);
  TensorSet tensors;
  const auto total = open_safetensors_folder(root_, tensors);
  ASSERT_TRUE(total.ok()) << total.error().message;
  ASSERT_EQ(tensors.all().size(), 5u);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const StoredTensor* tensor = tensors.find(sizes[i].first);
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->shape[0], sizes[i].second);
    EXPECT_EQ(static_cast<char>(tensor->bytes[0]), static_cast<char>('A' + i));
  }
}

class SafetensorsFolder : public FolderTest {
 protected:
  /// A file that holds one-byte tensors of these names.
  void put_file(const std::string& file, const std::vector<std::string>& tensors) const {
    std::string header;
    for (std::size_t i = 0; i < tensors.size(); ++i)
      header += (i == 0 ? "{\"" : ",\"") + tensors[i] + R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" +
                std::to_string(i) + "," + std::to_string(i + 1) + "]}";
    put(file, safetensors_file(header + "}", std::string(tensors.size(), 'x')));
  }
  void put_index(const std::string& weight_map) const {
    put("model.safetensors.index.json", "{\"metadata\":{\"x\":1},\"weight_map\":" + weight_map + "}");
  }
  Result<std::uint64_t> open() {
    tensors_ = TensorSet();
    return open_safetensors_folder(root_, tensors_);
  }
  TensorSet tensors_;
};

TEST_F(SafetensorsFolder, ReadsOnlyWhatTheIndexLists) {
  put_file("s1.safetensors", {"a", "b"});
  put_file("layer/s2.safetensors", {"c", "a"});
  put_file("consolidated.safetensors", {"a", "b", "c"});
  put_index(R"({"a":"s1.safetensors","b":"s1.safetensors","c":"layer/s2.safetensors"})");
  ASSERT_TRUE(open().ok()) << open().error().message;
  EXPECT_EQ(tensors_.all().size(), 3u);
  EXPECT_EQ(tensors_.find("a")->file->path(), (root_ / "s1.safetensors").string())
      << "the index decides, not the order";
  put_index(R"({"a":"s1.safetensors","c":"layer/s2.safetensors"})");
  ASSERT_TRUE(open().ok());
  EXPECT_NE(tensors_.find("b"), nullptr) << "held by a listed file";
}

TEST_F(SafetensorsFolder, RefusesBadIndexes) {
  put_file("s1.safetensors", {"a"});
  put("model.safetensors.index.json", "[]");
  EXPECT_ERROR(open(), ErrorCode::kCorrupt, "weight_map is missing");
  put("model.safetensors.index.json", "{");
  EXPECT_ERROR(open(), ErrorCode::kCorrupt, "model.safetensors.index.json: not valid JSON");
  put_index("{}");
  EXPECT_ERROR(open(), ErrorCode::kCorrupt, "weight_map is empty");
  put_index(R"({"a":"s1.safetensors","z":"s1.safetensors"})");
  EXPECT_ERROR(open(), ErrorCode::kCorrupt, "tensor \"z\" should be in s1.safetensors");
  put_index(R"({"a":"s2.safetensors"})");
  EXPECT_ERROR(open(), ErrorCode::kNotFound, "s2.safetensors: the index lists this file");
  for (const char* path : {"\"../s1.safetensors\"", "\"/etc/passwd\"", "\"x/../../s1.safetensors\"", "\"\"", "7",
                           "\"x/\"", "\"a\\\\b\"", "\"s1.safetensors\\u0000\""}) {
    put_index("{\"a\":" + std::string(path) + "}");
    EXPECT_ERROR(open(), ErrorCode::kCorrupt, "expected a file below this folder");
  }
}

TEST_F(SafetensorsFolder, WithoutIndexTakesTheOneFile) {
  EXPECT_ERROR(open(), ErrorCode::kNotFound, "holds no *.safetensors");
  put_file("gptq_model-4bit-128g.safetensors", {"a"});
  EXPECT_TRUE(open().ok());
  put_file("consolidated.safetensors", {"a", "b"});
  EXPECT_TRUE(open().ok());
  EXPECT_EQ(tensors_.all().size(), 1u);
  put_file("other.safetensors", {"b"});
  EXPECT_ERROR(open(), ErrorCode::kNotFound, "gptq_model-4bit-128g.safetensors, other.safetensors");
  put("gptq_model-4bit-128g.safetensors.index.json", R"({"weight_map":{"a":"gptq_model-4bit-128g.safetensors"}})");
  EXPECT_TRUE(open().ok());
  put_file("model.safetensors", {"m"});
  EXPECT_TRUE(open().ok());
  EXPECT_NE(tensors_.find("m"), nullptr);
}

TEST_F(Safetensors, AFileThatShrinksIsAnError) {
  const std::string header = R"({"a":{"dtype":"F32","shape":[25000],"data_offsets":[0,100000]}})";
  const auto path = put("x", safetensors_file(header, std::string(100'000, 'x')));
  TensorSet tensors;
  ASSERT_TRUE(open_safetensors(path, tensors).ok());
  std::filesystem::resize_file(path, 5000);
  EXPECT_ERROR(read_floats(*tensors.find("a")), ErrorCode::kIo, "shrank");
}

}  // namespace
}  // namespace nibble
