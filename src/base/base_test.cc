// Tests of the small things in base: JSON limits, half precision, the pool, mapped files.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "base/byte_reader.h"
#include "base/half.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "base/utf8.h"

namespace nibble {
namespace {

TEST(Json, ReadsObjectsOfManyKeysInOrder) {
  // A vocabulary has hundreds of thousands of keys; a linear search per key would take minutes here.
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += fmt::format("{}\"key{}\": {}", i == 0 ? "" : ", ", i, i);
  const auto document = parse_untrusted(text + "}", "t");
  ASSERT_TRUE(document.ok());
  ASSERT_EQ(document->size(), 200000U);
  int next = 0;
  for (const auto& [key, value] : document->items()) {
    ASSERT_EQ(key, fmt::format("key{}", next));
    ASSERT_EQ(value.get<int>(), next++);
  }
}

TEST(Json, RefusesDuplicatesDepthAndTrailingBytes) {
  EXPECT_TRUE(parse_untrusted(R"({"a": [1, 2.5, null, "x"]})", "t").ok());
  const auto duplicate = parse_untrusted(R"({"a": 1, "b": {"a": 1}, "a": 2})", "t");
  ASSERT_FALSE(duplicate.ok());
  EXPECT_NE(duplicate.error().message.find("\"a\" appears twice"), std::string::npos);
  EXPECT_FALSE(parse_untrusted(std::string(1000, '['), "t").ok());
  EXPECT_FALSE(parse_untrusted("{} x", "t").ok());
  EXPECT_FALSE(parse_untrusted("{\"a\": \"\xff\"}", "t").ok());
}

TEST(JsonFields, RefusesWhatIsNoObject) {
  const Json absent;
  EXPECT_EQ(JsonFields(absent, "t").integer("a").value(), std::nullopt);
  const Json list = {1, 2};
  const JsonFields fields(list, "t: list");
  EXPECT_EQ(fields.integer("a").error().message, "t: list: is array, expected an object");
  EXPECT_FALSE(fields.number("a").ok());
  EXPECT_FALSE(fields.boolean("a").ok());
  EXPECT_FALSE(fields.string("a").ok());
  EXPECT_FALSE(fields.strings("a").ok());
}

/// A vocabulary is one object of a hundred thousand keys; looking each up while building would take minutes.
TEST(Json, WideObjectsCostTimeInProportion) {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += "\"token" + std::to_string(i) + "\":" + std::to_string(i) + ",";
  const auto begin = std::chrono::steady_clock::now();
  const auto document = parse_untrusted(text + "\"last\":[{}]}", "t");
  ASSERT_TRUE(document.ok());
  EXPECT_EQ(document->size(), 200'001u);
  EXPECT_EQ(document->back().dump(), "[{}]");
  EXPECT_FALSE(parse_untrusted(text + "\"token7\":0}", "t").ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));  // 0.3 s when idle; was minutes
}

TEST(Half, EveryCodeSurvivesTheRoundTrip) {
  for (std::uint32_t code = 0; code < 0x10000; ++code) {
    const auto h = static_cast<std::uint16_t>(code);
    const float value = f16_to_f32(h);
    if (std::isnan(value)) {
      ASSERT_EQ(f32_to_f16(value) & 0x7FFF, 0x7E00);
    } else {
      ASSERT_EQ(f32_to_f16(value), h) << code;
    }
    const float wide = bf16_to_f32(h);
    if (!std::isnan(wide)) {
      ASSERT_EQ(f32_to_bf16(wide), h) << code;
    }
  }
}

/// Between two neighbouring halves the midpoint goes to the even one and its neighbours to the nearest one.
TEST(Half, RoundsToNearestEven) {
  for (std::uint32_t code = 0; code < 0x7BFF; ++code) {
    const auto low = static_cast<std::uint16_t>(code);
    const auto high = static_cast<std::uint16_t>(code + 1);
    const float middle = (f16_to_f32(low) + f16_to_f32(high)) * 0.5f;  // exact in float
    ASSERT_EQ(f32_to_f16(middle), (code & 1u) == 0 ? low : high) << code;
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, 0.0f)), low) << code;
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, 1e9f)), high) << code;
    ASSERT_EQ(f32_to_f16(-middle), ((code & 1u) == 0 ? low : high) | 0x8000u) << code;
  }
  EXPECT_EQ(f32_to_f16(65519.99f), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7C00);
}

TEST(ThreadPool, CoversEveryItemOnceAndCarriesExceptions) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> hits(1000);
      pool.run(hits.size(), 7, [&](std::size_t begin, std::size_t end, int) {
        for (std::size_t i = begin; i < end; ++i) hits[i].fetch_add(1);
      });
      for (const auto& hit : hits) ASSERT_EQ(hit.load(), 1);
    }
    EXPECT_THROW(pool.run(100, 1,
                          [](std::size_t begin, std::size_t, int) {
                            if (begin == 50) throw std::runtime_error("x");
                          }),
                 std::runtime_error);
    std::atomic<int> after{0};
    pool.run(10, 1, [&](std::size_t, std::size_t, int) { after.fetch_add(1); });
    EXPECT_EQ(after.load(), 10);
  }
}

TEST(MappedFile, ShrinkingGivesAnErrorNotASignal) {
  const auto path = std::filesystem::temp_directory_path() / "nibble_shrink_test";
  std::ofstream(path, std::ios::binary) << std::string(1 << 20, 'x');
  auto file = MappedFile::open(path);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE((*file)->check_intact().ok());
  std::filesystem::resize_file(path, 4096);
  const volatile std::byte* bytes = (*file)->bytes().data();
  const std::byte lost = bytes[900000];
  EXPECT_EQ(lost, std::byte{0});
  EXPECT_FALSE((*file)->check_intact().ok());

  file = MappedFile::open(path);
  ASSERT_TRUE(file.ok());
  std::filesystem::resize_file(path, 4000);  // its only page stays
  EXPECT_FALSE((*file)->check_intact().ok());

  file = MappedFile::open(path);
  ASSERT_TRUE(file.ok());
  std::filesystem::remove(path);
  std::ofstream(path) << "another, shorter file";
  EXPECT_TRUE((*file)->check_intact().ok());
  std::filesystem::remove(path);
  EXPECT_EQ(MappedFile::open("/nonexistent/file").error().code, ErrorCode::kNotFound);
}

TEST(MappedFile, APipeIsRefusedNotWaitedFor) {
  const auto path = std::filesystem::temp_directory_path() / "nibble_pipe_test";
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(MappedFile::open(path).error().code, ErrorCode::kInvalidArgument);
  std::filesystem::remove(path);
}

TEST(ByteReader, RefusesToReadPastTheEnd) {
  const std::array<std::byte, 6> bytes{};
  ByteReader reader(bytes, "f");
  EXPECT_TRUE(reader.read<std::uint32_t>("a").ok());
  const auto late = reader.read<std::uint32_t>("b");
  ASSERT_FALSE(late.ok());
  EXPECT_NE(late.error().message.find("f: b needs 4 bytes at offset 4"), std::string::npos);
  EXPECT_FALSE(reader.read_bytes(UINT64_MAX, "c").ok());
}

TEST(Utf8, FollowsTheTableOfTheRfc) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("a\xC3\xA9\xE2\x96\x81\xF0\x9F\x98\x80"));
  EXPECT_TRUE(is_utf8("\xC2\x80\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF"));
  for (const char* bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xC3", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x96", "\xE2\x28\xA1", "\xF0\x9F\x98\x28"})
    EXPECT_FALSE(is_utf8(bad)) << printable(bad);
  EXPECT_EQ(printable("a\x1B[2J\xFF\xC3\xA9"), "a?[2J?\xC3\xA9");
  EXPECT_EQ(printable("ab\xC3\xA9xyz", 3), "ab...");
  EXPECT_EQ(printable("ab\xC3\xA9", 4), "ab\xC3\xA9");
}

}  // namespace
}  // namespace nibble
