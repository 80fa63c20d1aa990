// Tests of GGUF: the golden file read and written again byte for byte, metadata, every rule of the reader, split files.
#include "io/gguf.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "io/container_test_support.h"
#include "io/gguf_format.h"

namespace nibble {
namespace {

using Gguf = FolderTest;

constexpr int kF32 = 0;
constexpr int kQ8 = 8;

/// A file put together field by field, so that each can be wrong.
struct Parts {
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::vector<std::string> pairs;
  std::vector<std::string> infos;
  std::string data;
  std::uint64_t alignment = 32;
  bool padded = true;

  std::string build() const {
    std::string out = magic + raw(version) + raw(std::uint64_t{infos.size()}) + raw(std::uint64_t{pairs.size()});
    for (const std::string& pair : pairs) out += pair;
    for (const std::string& info : infos) out += info;
    if (padded) out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    return out + data;
  }
};

std::string pair(std::string_view key, GgufType type, const std::string& value) {
  return gguf_string(key) + raw(static_cast<std::uint32_t>(type)) + value;
}

std::string info(std::string_view name, const std::vector<std::uint64_t>& dims, int type, std::uint64_t offset) {
  std::string out = gguf_string(name) + raw(static_cast<std::uint32_t>(dims.size()));
  for (const std::uint64_t size : dims) out += raw(size);
  return out + raw(std::int32_t{type}) + raw(offset);
}

std::string golden_file() {
  const auto text = read_text_file(NIBBLE_SOURCE_DIR "/tests/golden/gguf/ggml-container.json");
  const auto document = parse_untrusted(text.value(), "golden");
  return from_hex(document->at("file_hex").get<std::string>());
}

TEST_F(Gguf, ReadsTheGoldenFile) {
  const auto file = open_gguf(put("golden.gguf", golden_file()));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->file_bytes, 768u);
  const GgufMetadata& metadata = *file->metadata;
  EXPECT_EQ(metadata.all().size(), 14u);
  EXPECT_EQ(metadata.all().front().first, "general.architecture");
  EXPECT_EQ(**metadata.string("general.architecture"), "llama");
  const std::vector<std::pair<const char*, std::int64_t>> integers = {
      {"demo.u8", 200},         {"demo.i8", -5},  {"demo.u16", 65535},         {"demo.i16", -2},
      {"llama.block_count", 1}, {"demo.i32", -7}, {"demo.u64", 1099511627776}, {"demo.i64", -1099511627776}};
  for (const auto& expected : integers)
    EXPECT_EQ(**metadata.integer(expected.first), expected.second) << expected.first;
  EXPECT_EQ(**metadata.number("demo.f32"), 0.5);
  EXPECT_EQ(**metadata.number("demo.f64"), 0.1);
  EXPECT_EQ(**metadata.boolean("demo.bool"), true);
  EXPECT_EQ(**metadata.strings("tokenizer.ggml.tokens"), (std::vector<std::string>{"a",
                                                                                   "\xE2\x96\x81"
                                                                                   "b",
                                                                                   "<0x0A>"}));
  EXPECT_EQ(**metadata.numbers("tokenizer.ggml.scores"), (std::vector<double>{0, -1, -2.5}));
  ASSERT_EQ(file->tensors.all().size(), 2u);
  const StoredTensor& embedding = file->tensors.all()[0];
  EXPECT_EQ(embedding.name, "token_embd.weight");
  EXPECT_EQ(embedding.shape, (std::vector<std::int64_t>{3, 32}));
  EXPECT_EQ(embedding.ggml_type, kQ8);
  EXPECT_EQ(embedding.bytes.size(), 102u);
  EXPECT_EQ(embedding.file_offset, 608u);
  EXPECT_ERROR(read_floats(embedding), ErrorCode::kUnsupported, "tensor \"token_embd.weight\" is q8_0");
  EXPECT_EQ(*read_floats(*file->tensors.find("output_norm.weight")), (std::vector<float>{1, 2, 3, 4, 5}));
}

TEST_F(Gguf, GettersRefuseOtherTypes) {
  const auto file = open_gguf(put("golden.gguf", golden_file()));
  ASSERT_TRUE(file.ok());
  const GgufMetadata& metadata = *file->metadata;
  EXPECT_FALSE(metadata.integer("absent")->has_value());
  EXPECT_FALSE(metadata.strings("absent")->has_value());
  EXPECT_ERROR(metadata.integer("demo.f32"), ErrorCode::kCorrupt, "golden.gguf: demo.f32 is f32, expected an integer");
  EXPECT_ERROR(metadata.integer("demo.bool"), ErrorCode::kCorrupt, "demo.bool is bool");
  EXPECT_ERROR(metadata.number("demo.u8"), ErrorCode::kCorrupt, "expected f32 or f64");
  EXPECT_ERROR(metadata.boolean("demo.u8"), ErrorCode::kCorrupt, "expected bool");
  EXPECT_ERROR(metadata.string("tokenizer.ggml.tokens"), ErrorCode::kCorrupt, "an array of string, expected a string");
  EXPECT_ERROR(metadata.strings("tokenizer.ggml.scores"), ErrorCode::kCorrupt, "an array of f32");
  EXPECT_ERROR(metadata.integers("tokenizer.ggml.tokens"), ErrorCode::kCorrupt, "expected integers");
  EXPECT_ERROR(metadata.numbers("tokenizer.ggml.tokens"), ErrorCode::kCorrupt, "expected an array of f32 or f64");
  EXPECT_EQ(**metadata.integers("demo.i8"), std::vector<std::int64_t>{-5});
}

TEST_F(Gguf, ArraysOfEveryIntegerType) {
  Parts parts;
  const auto array = [](GgufType type, std::uint64_t count, const std::string& bytes) {
    return raw(static_cast<std::uint32_t>(type)) + raw(count) + bytes;
  };
  parts.pairs = {pair("u8", GgufType::kArray, array(GgufType::kU8, 2, "\xFF\x01")),
                 pair("bool", GgufType::kArray, array(GgufType::kBool, 2, std::string("\0\x01", 2))),
                 pair("i16", GgufType::kArray, array(GgufType::kI16, 1, "\xFE\xFF")),
                 pair("i64", GgufType::kArray, array(GgufType::kI64, 1, raw(std::int64_t{-3}))),
                 pair("u64", GgufType::kArray, array(GgufType::kU64, 1, raw(UINT64_MAX))),
                 pair("scalar64", GgufType::kU64, raw(UINT64_MAX)),
                 pair("none", GgufType::kArray, array(GgufType::kU32, 0, "")),
                 pair("text", GgufType::kString, gguf_string("\xFF raw"))};
  const auto file = open_gguf(put("a.gguf", parts.build()));
  ASSERT_TRUE(file.ok()) << file.error().message;
  const GgufMetadata& metadata = *file->metadata;
  EXPECT_EQ(**metadata.integers("u8"), (std::vector<std::int64_t>{255, 1}));
  EXPECT_EQ(**metadata.integers("bool"), (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ(**metadata.integers("i16"), std::vector<std::int64_t>{-2});
  EXPECT_EQ(**metadata.integers("i64"), std::vector<std::int64_t>{-3});
  EXPECT_ERROR(metadata.integers("u64"), ErrorCode::kCorrupt, "u64");
  EXPECT_ERROR(metadata.integer("scalar64"), ErrorCode::kCorrupt, "below 2^63");
  EXPECT_TRUE((*metadata.strings("none"))->empty());
  EXPECT_EQ(**metadata.string("text"), "\xFF raw");
}

/// Every tensor's bytes, written again in pieces of `step` bytes, the last tensor and its last piece first.
std::string rewrite(const GgufFile& file, const std::filesystem::path& target, std::size_t step,
                    std::uint64_t shard_bytes = 0) {
  std::vector<GgufTensorPlan> plan;
  for (const StoredTensor& tensor : file.tensors.all()) plan.push_back({tensor.name, tensor.shape, tensor.ggml_type});
  auto writer = GgufWriter::create(target, *file.metadata, plan, shard_bytes);
  if (!writer.ok()) return writer.error().message;
  for (std::size_t i = plan.size(); i-- > 0;) {
    const std::span<const std::byte> bytes = file.tensors.all()[i].bytes;
    for (std::size_t piece = (bytes.size() + step - 1) / step; piece-- > 0;) {
      const std::size_t at = piece * step;
      if (!(*writer)->write(i, at, bytes.subspan(at, std::min(step, bytes.size() - at))).ok()) return "write failed";
    }
  }
  const Status finished = (*writer)->finish();
  if (finished.ok() && shard_bytes == 0) {
    EXPECT_EQ(gguf_bytes(*file.metadata, plan).value(), std::filesystem::file_size(target));
  }
  return finished.ok() ? "" : finished.error().message;
}

TEST_F(Gguf, WritesTheGoldenFileAgain) {
  const std::string golden = golden_file();
  const auto file = open_gguf(put("golden.gguf", golden));
  ASSERT_TRUE(file.ok());
  for (const std::size_t step : {1u, 7u, 102u, 1000u}) {
    EXPECT_EQ(rewrite(*file, root_ / "again.gguf", step), "");
    EXPECT_EQ(contents("again.gguf"), golden) << step;
  }
}

TEST_F(Gguf, SettingAKeyMovesItToTheEnd) {
  GgufMetadata metadata("x");
  metadata.set_u32("a", 1);
  metadata.set_f32("b", 0.1f);
  metadata.set_bool("c", true);
  metadata.set_string("a", "text");
  ASSERT_EQ(metadata.all().size(), 3u);
  EXPECT_EQ(metadata.all()[0].first, "b");
  EXPECT_EQ(metadata.all()[2].first, "a");
  EXPECT_EQ(**metadata.string("a"), "text");
  EXPECT_EQ(static_cast<float>(**metadata.number("b")), 0.1f);
  metadata.remove("b");
  EXPECT_EQ(metadata.find("b"), nullptr);
}

struct BadFile {
  const char* message;
  ErrorCode code;
  Parts parts;
};

std::vector<BadFile> bad_files() {
  const auto u32 = [](std::uint32_t value) { return raw(value); };
  const std::string f32_one = raw(1.0f);
  const std::string one = f32_one + std::string(28, '\0');
  const auto with_pair = [](const std::string& text) {
    Parts parts;
    parts.pairs = {text};
    return parts;
  };
  const auto with_infos = [&](std::vector<std::string> infos, const std::string& data) {
    Parts parts;
    parts.infos = std::move(infos);
    parts.data = data;
    return parts;
  };
  const auto versioned = [](std::uint32_t version) {
    Parts parts;
    parts.version = version;
    return parts;
  };
  const auto twice = [&](std::string text) {
    Parts parts;
    parts.pairs = {text, text};
    return parts;
  };
  constexpr ErrorCode kBad = ErrorCode::kCorrupt;
  constexpr ErrorCode kNo = ErrorCode::kUnsupported;
  const std::string array_of_arrays = u32(9) + raw(std::uint64_t{0});
  Parts magic;
  magic.magic = "GGJT";
  return {
      {"magic is \"GGJT\"", kBad, magic},
      {"version is 0", kBad, versioned(0)},
      {"version 1 (2023)", kNo, versioned(1)},
      {"version is 4", kNo, versioned(4)},
      {"big-endian", kNo, versioned(0x03000000)},
      {"key 0 is empty", kBad, with_pair(pair("", GgufType::kU8, "x"))},
      {"key 0 (\"?\") is not UTF-8", kBad, with_pair(pair("\xFF", GgufType::kU8, "x"))},
      {"the key a appears twice", kBad, twice(pair("a", GgufType::kU8, "x"))},
      {"the value of a has type 13", kBad, with_pair(pair("a", static_cast<GgufType>(13), "x"))},
      {"the value of a is an array of type 9", kBad, with_pair(pair("a", GgufType::kArray, array_of_arrays))},
      {"the value of a is an array of type 13", kBad, with_pair(pair("a", GgufType::kArray, u32(13) + raw(0ull)))},
      {"general.alignment is u64, expected u32", kBad,
       with_pair(pair("general.alignment", GgufType::kU64, raw(32ull)))},
      {"general.alignment is 0", kBad, with_pair(pair("general.alignment", GgufType::kU32, u32(0)))},
      {"general.alignment is 24", kBad, with_pair(pair("general.alignment", GgufType::kU32, u32(24)))},
      {"the name of tensor 0 has 64 bytes", kBad, with_infos({info(std::string(64, 'n'), {1}, kF32, 0)}, one)},
      {"the name of tensor 0 has 0 bytes", kBad, with_infos({info("", {1}, kF32, 0)}, one)},
      {"the name of tensor 0 (\"?\") is not UTF-8", kBad, with_infos({info("\x80", {1}, kF32, 0)}, one)},
      {"the tensor \"t\" appears twice", kBad,
       with_infos({info("t", {1}, kF32, 0), info("t", {1}, kF32, 32)}, one + one)},
      {"tensor \"t\": n_dims is 5", kBad, with_infos({info("t", {1, 1, 1, 1, 1}, kF32, 0)}, one)},
      {"dimension 0 is 9223372036854775808", kBad, with_infos({info("t", {1ull << 63}, kF32, 0)}, one)},
      {"dimension 1 is 4294967296", kBad, with_infos({info("t", {1ull << 32, 1ull << 32}, kF32, 0)}, one)},
      {"values of f32 overflow", kBad, with_infos({info("t", {1ull << 62}, kF32, 0)}, one)},
      {"type 4 (q4_2) was removed", kNo, with_infos({info("t", {32}, 4, 0)}, one)},
      {"type 31 (q4_0_4_4) was removed", kNo, with_infos({info("t", {32}, 31, 0)}, one)},
      {"type 43 is unknown", kNo, with_infos({info("t", {32}, 43, 0)}, one)},
      {"type -1 is unknown", kNo, with_infos({info("t", {32}, -1, 0)}, one)},
      {"rows of 33 values, q8_0 needs a multiple of 32", kBad, with_infos({info("t", {33}, kQ8, 0)}, one + one)},
      {"tensor \"t\": offset is 32, expected 0", kBad, with_infos({info("t", {1}, kF32, 32)}, one + one)},
      {"tensor \"u\": offset is 4, expected 32", kBad,
       with_infos({info("t", {1}, kF32, 0), info("u", {1}, kF32, 4)}, one)},
      {"tensor \"u\": offset is 64, expected 32", kBad,
       with_infos({info("t", {1}, kF32, 0), info("u", {1}, kF32, 64)}, one + one + one)},
      {"tensor \"t\": 8 bytes at offset 0 of the data section, which has 4", kBad,
       with_infos({info("t", {2}, kF32, 0)}, f32_one)},
      {"36 bytes follow the last tensor", kBad, with_infos({info("t", {1}, kF32, 0)}, one + one + "tail")},
      {"1 bytes follow the last tensor", kBad, with_infos({}, "x")},
      {"tensor \"u\": 4 bytes at offset 32 of the data section, which has 32", kBad,
       with_infos({info("t", {1}, kF32, 0), info("u", {1}, kF32, 32)}, one)},
  };
}

TEST_F(Gguf, RefusesEveryBreachByName) {
  for (const BadFile& bad : bad_files()) {
    const auto path = put("bad.gguf", bad.parts.build());
    const auto result = open_gguf(path);
    ASSERT_FALSE(result.ok()) << bad.message;
    EXPECT_EQ(result.error().message.find(path.string() + ": "), 0u) << result.error().message;
    EXPECT_NE(result.error().message.find(bad.message), std::string::npos) << result.error().message;
    EXPECT_EQ(result.error().code, bad.code) << result.error().message;
  }
}

/// Counts and lengths far beyond the file are refused before memory is asked for.
TEST_F(Gguf, CountsAreBoundedByTheBytesLeft) {
  const std::string start = "GGUF" + raw(std::uint32_t{3});
  for (const std::uint64_t count : {std::uint64_t{2}, std::uint64_t{1} << 40, std::uint64_t{1} << 63, UINT64_MAX}) {
    const std::string filler(30, '\0');
    EXPECT_ERROR(open_gguf(put("x", start + raw(count) + filler)), ErrorCode::kCorrupt, "tensor_count is");
    EXPECT_ERROR(open_gguf(put("x", start + raw(0ull) + raw(count | 64) + filler)), ErrorCode::kCorrupt, "kv_count is");
    const std::string one_pair = start + raw(0ull) + raw(1ull);
    EXPECT_ERROR(open_gguf(put("x", one_pair + raw(count | 64) + filler)), ErrorCode::kCorrupt, "key 0");
    const std::string text = pair("k", GgufType::kString, raw(count | 64));
    EXPECT_ERROR(open_gguf(put("x", one_pair + text + filler)), ErrorCode::kCorrupt, "the value of k: a string of");
    for (const GgufType type : {GgufType::kU8, GgufType::kString, GgufType::kF64}) {
      const std::string array = pair("k", GgufType::kArray, raw(static_cast<std::uint32_t>(type)) + raw(count | 64));
      EXPECT_ERROR(open_gguf(put("x", one_pair + array + filler)), ErrorCode::kCorrupt, "the value of k");
    }
  }
}

TEST_F(Gguf, AcceptsVersion2AlignmentScalarsEmptyTensorsAndMissingLastPadding) {
  Parts parts;
  parts.version = 2;
  parts.alignment = 8;
  parts.pairs = {pair("general.alignment", GgufType::kU32, raw(std::uint32_t{8}))};
  parts.infos = {info("empty", {0, 5}, kQ8, 0), info("scalar", {}, kF32, 0), info("pair", {2, 1}, kF32, 8)};
  parts.data = raw(1.0f) + std::string(4, '\0') + raw(2.0f) + raw(3.0f);
  const auto file = open_gguf(put("x.gguf", parts.build()));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_TRUE(file->tensors.find("empty")->bytes.empty());
  EXPECT_EQ(*read_floats(*file->tensors.find("scalar")), std::vector<float>{1});
  EXPECT_EQ(file->tensors.find("pair")->shape, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(*read_floats(*file->tensors.find("pair")), (std::vector<float>{2, 3}));
  const std::string one_padded = raw(1.0f) + std::string(28, '\0');
  Parts last;
  last.infos = {info("t", {1}, kF32, 0)};
  last.data = raw(1.0f);  // llama.cpp, too, only asks for the tensor's own bytes
  EXPECT_TRUE(open_gguf(put("y.gguf", last.build())).ok());
  last.data = one_padded + std::string(100, '\0');
  EXPECT_TRUE(open_gguf(put("y.gguf", last.build())).ok()) << "zeros at the end are padding";
  Parts vocabulary_only;
  vocabulary_only.pairs = {pair("a", GgufType::kBool, "\x02")};
  vocabulary_only.padded = false;
  const auto vocabulary = open_gguf(put("z.gguf", vocabulary_only.build()));
  ASSERT_TRUE(vocabulary.ok());
  EXPECT_EQ(**vocabulary->metadata->boolean("a"), true);
}

/// Five tensors of 64 bytes; metadata with two keys.
class GgufSplit : public FolderTest {
 protected:
  GgufFile whole() const {
    Parts parts;
    parts.pairs = {pair("general.architecture", GgufType::kString, gguf_string("llama")),
                   pair("x", GgufType::kU32, raw(std::uint32_t{7}))};
    for (int i = 0; i < 5; ++i) {
      parts.infos.push_back(info("t" + std::to_string(i), {16}, kF32, static_cast<std::uint64_t>(i) * 64));
      parts.data += std::string(64, static_cast<char>('A' + i));
    }
    return open_gguf(put("whole.gguf", parts.build())).value();
  }
};

TEST_F(GgufSplit, WritesAndReadsShards) {
  const GgufFile file = whole();
  EXPECT_EQ(rewrite(file, root_ / "out.gguf", 50, 128), "");
  EXPECT_EQ(names(), (std::vector<std::string>{"out-00001-of-00003.gguf", "out-00002-of-00003.gguf",
                                               "out-00003-of-00003.gguf", "whole.gguf"}));
  const auto again = open_gguf(root_ / "out-00001-of-00003.gguf");
  ASSERT_TRUE(again.ok()) << again.error().message;
  ASSERT_EQ(again->tensors.all().size(), 5u);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(again->tensors.all()[static_cast<std::size_t>(i)].name, "t" + std::to_string(i));
    EXPECT_EQ(static_cast<char>(again->tensors.all()[static_cast<std::size_t>(i)].bytes[63]), 'A' + i);
  }
  const auto& pairs = again->metadata->all();
  ASSERT_EQ(pairs.size(), 5u);
  EXPECT_EQ(pairs[2].first, "split.no");
  EXPECT_EQ(pairs[3].first, "split.tensors.count");
  EXPECT_EQ(pairs[4].first, "split.count");
  EXPECT_EQ(pairs[4].second.type, GgufType::kU16);
  EXPECT_EQ(pairs[3].second.type, GgufType::kI32);
  // Merged again, the split's keys go and the bytes are those of the whole file.
  EXPECT_EQ(rewrite(*again, root_ / "merged.gguf", 1000), "");
  EXPECT_EQ(contents("merged.gguf"), contents("whole.gguf"));
  // Names of a split model are not extended twice.
  EXPECT_EQ(rewrite(*again, root_ / "new-00001-of-00009.gguf", 1000, 200), "");
  EXPECT_TRUE(std::filesystem::exists(root_ / "new-00002-of-00002.gguf"));
}

TEST_F(GgufSplit, RefusesIncompleteAndMixedShards) {
  const GgufFile file = whole();
  ASSERT_EQ(rewrite(file, root_ / "out.gguf", 50, 128), "");
  const auto first = root_ / "out-00001-of-00003.gguf";
  EXPECT_ERROR(open_gguf(root_ / "out-00002-of-00003.gguf"), ErrorCode::kInvalidArgument,
               "is shard 2 of 3; give the first one, " + first.string());
  std::filesystem::copy_file(first, root_ / "renamed.gguf");
  EXPECT_ERROR(open_gguf(root_ / "renamed.gguf"), ErrorCode::kInvalidArgument, "NAME-00001-of-00003.gguf");
  const std::string third = contents("out-00003-of-00003.gguf");
  put("out-00003-of-00003.gguf", contents("out-00002-of-00003.gguf"));
  EXPECT_FALSE(open_gguf(first).ok());
  std::filesystem::remove(root_ / "out-00003-of-00003.gguf");
  EXPECT_ERROR(open_gguf(first), ErrorCode::kNotFound, "out-00003-of-00003.gguf");
  // A shard of another model that was split in as many parts.
  Parts parts;
  parts.pairs = {pair("split.no", GgufType::kU16, raw(std::uint16_t{2})),
                 pair("split.count", GgufType::kU16, raw(std::uint16_t{3})),
                 pair("split.tensors.count", GgufType::kI32, raw(std::int32_t{5}))};
  put("out-00003-of-00003.gguf", parts.build());
  EXPECT_ERROR(open_gguf(first), ErrorCode::kCorrupt, "split.tensors.count is 5, the 3 shards hold 4 tensors");
  parts.pairs[0] = pair("split.no", GgufType::kU16, raw(std::uint16_t{1}));
  put("out-00003-of-00003.gguf", parts.build());
  EXPECT_ERROR(open_gguf(first), ErrorCode::kCorrupt, "split.no 1 of 3, expected 2 of 3");
  parts.pairs[0] = pair("split.no", GgufType::kU16, raw(std::uint16_t{3}));
  put("out-00003-of-00003.gguf", parts.build());
  EXPECT_ERROR(open_gguf(first), ErrorCode::kCorrupt, "contradict");
  put("out-00003-of-00003.gguf", third);
  EXPECT_TRUE(open_gguf(first).ok());
}

TEST_F(Gguf, WriterRefusesImpossiblePlans) {
  const GgufMetadata none("x");
  const auto create = [&](GgufTensorPlan plan) {
    return GgufWriter::create(root_ / "x.gguf", none, {std::move(plan)});
  };
  constexpr ErrorCode kBad = ErrorCode::kInvalidArgument;
  EXPECT_ERROR(create({std::string(64, 'n'), {1}, kF32}), kBad, "1 to 63 bytes");
  EXPECT_ERROR(create({"t", {}, kF32}), kBad, "1 to 4 dimensions");
  EXPECT_ERROR(create({"t", {1, 1, 1, 1, 1}, kF32}), kBad, "1 to 4 dimensions");
  EXPECT_ERROR(create({"t", {-1}, kF32}), kBad, "negative");
  EXPECT_ERROR(create({"t", {33}, kQ8}), kBad, "1 x 33 values cannot be q8_0, whose blocks hold 32");
  EXPECT_ERROR(create({"t", {32}, 4}), kBad, "4 is no ggml type");
  EXPECT_ERROR(GgufWriter::create(root_ / "x.gguf", none, {{"t", {1}, kF32}, {"t", {1}, kF32}}), kBad, "planned twice");
  GgufMetadata wrong("x");
  wrong.set("k", {GgufType::kU8, std::uint64_t{256}});
  EXPECT_ERROR(GgufWriter::create(root_ / "x.gguf", wrong, {}), kBad, "k: the value does not fit its type u8");
  wrong.set("k", {GgufType::kI8, std::int64_t{-129}});
  EXPECT_ERROR(GgufWriter::create(root_ / "x.gguf", wrong, {}), kBad, "does not fit its type i8");
  wrong.set("k", {GgufType::kString, true});
  EXPECT_ERROR(GgufWriter::create(root_ / "x.gguf", wrong, {}), kBad, "does not fit its type string");
  auto writer = create({"t", {2}, kF32});
  ASSERT_TRUE(writer.ok());
  EXPECT_TRUE((*writer)->write(0, 0, bytes_of("12345")).ok());
  EXPECT_ERROR((*writer)->finish(), kBad, "tensor \"t\": byte 5 of 8 was never written");
  writer->reset();
  EXPECT_TRUE(names().empty());
}

TEST(GgufFormat, ShardNames) {
  const auto name = parse_gguf_shard_name("/a/b-c-00002-of-00012.gguf");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->prefix, "/a/b-c");
  EXPECT_EQ(name->number, 2u);
  EXPECT_EQ(name->count, 12u);
  EXPECT_EQ(gguf_shard_path(name->prefix, 2, 12), "/a/b-c-00002-of-00012.gguf");
  for (const char* other : {"model.gguf", "a-1-of-2.gguf", "-of-00002.gguf", "a-00001-of-00002.bin",
                            "a00001-of-00002.gguf", "a-00001-of-00002x.gguf", "a-0000000001-of-00002.gguf"})
    EXPECT_FALSE(parse_gguf_shard_name(other).has_value()) << other;
}

}  // namespace
}  // namespace nibble
