// Tests of the zip reader: the styles that exist, and what the parts of an archive must agree on.
#include "io/zip_index.h"

#include <gtest/gtest.h>

#include "io/pytorch_test_support.h"

namespace nibble {
namespace {

Result<std::vector<ZipRecord>> index_of(const std::string& file) { return read_zip_index(bytes_of(file), "a.zip"); }

/// A valid archive with one of its bytes sequences, which must be there, replaced.
std::string with(std::string file, const std::string& part, const std::string& other, std::size_t from = 0) {
  const std::size_t at = file.find(part, from);
  EXPECT_NE(at, std::string::npos);
  return file.replace(at, part.size(), other);
}

TEST(ZipIndex, EveryStyleIsRead) {
  for (const ZipStyle style : {ZipStyle{true, true, false}, ZipStyle{false, false, false}, ZipStyle{false, true, false},
                               ZipStyle{true, true, true}, ZipStyle{false, true, true}}) {
    ZipBuilder zip(style);
    const std::size_t a = zip.add("a", "hello");
    const std::size_t b = zip.add("folder/b", "");
    const std::size_t c = zip.add("c", std::string(100, 'x'));
    const auto records = index_of(zip.finish());
    ASSERT_TRUE(records.ok()) << records.error().message;
    ASSERT_EQ(records->size(), 3u);
    EXPECT_EQ((*records)[0].name, "a");
    EXPECT_EQ((*records)[0].offset, a);
    EXPECT_EQ((*records)[0].size, 5u);
    EXPECT_FALSE((*records)[0].is_compressed);
    EXPECT_EQ((*records)[1].name, "folder/b");
    EXPECT_EQ((*records)[1].offset, b);
    EXPECT_EQ((*records)[1].size, 0u);
    EXPECT_EQ((*records)[2].offset, c);
    EXPECT_EQ((*records)[2].size, 100u);
  }
}

TEST(ZipIndex, AnEmptyArchiveHasNoRecords) {
  EXPECT_TRUE(index_of(ZipBuilder().finish())->empty());
  EXPECT_TRUE(index_of(ZipBuilder({false, false, false}).finish())->empty());
}

TEST(ZipIndex, MustBeTheWholeFile) {
  ZipBuilder zip;
  zip.add("a", "hello");
  const std::string file = zip.finish();
  EXPECT_ERROR(index_of(file + "x"), ErrorCode::kCorrupt, "does not end with a zip end record");
  EXPECT_ERROR(index_of(file.substr(0, file.size() - 1)), ErrorCode::kCorrupt, "may be cut short");
  EXPECT_ERROR(index_of("x" + file), ErrorCode::kCorrupt, "the zip64 locator points to byte");
  EXPECT_ERROR(index_of(""), ErrorCode::kCorrupt, "zip end record needs 4 bytes");
}

TEST(ZipIndex, HeadersMustAgreeWithTheDirectory) {
  ZipBuilder zip;
  zip.add("first", "hello");
  zip.add("other", "world");
  const std::string file = zip.finish();
  EXPECT_ERROR(index_of(with(file, "first", "third")), ErrorCode::kCorrupt,
               "zip record \"first\": the local header has another name");
  EXPECT_ERROR(index_of(with(file, "PK\3\4", "PK\3\5", 1)), ErrorCode::kCorrupt, "no local header");
  EXPECT_ERROR(index_of(with(file, raw(crc32("hello")), "abcd")), ErrorCode::kCorrupt, "another checksum");
  EXPECT_ERROR(index_of(with(file, raw(5) + raw(5), raw(4) + raw(4))), ErrorCode::kCorrupt, "other sizes");
  ZipBuilder plain({false, false, false});
  plain.add("first", "hello");
  EXPECT_ERROR(index_of(with(plain.finish(), raw(5) + raw(5), raw(4) + raw(4))), ErrorCode::kCorrupt,
               "differ in size or checksum");
}

TEST(ZipIndex, RecordsDoNotOverlapNorRepeat) {
  ZipBuilder twice;
  twice.add("a", "1");
  twice.add("a", "2");
  EXPECT_ERROR(index_of(twice.finish()), ErrorCode::kCorrupt, "\"a\" appears twice");
  ZipBuilder inner({false, false, false});
  inner.add("b", "hello");
  std::string hidden = inner.finish();
  hidden.resize(hidden.find("PK\1\2"));  // a record inside the content of another, which the directory lists as well
  ZipBuilder outer({false, false, false});
  const std::size_t at = outer.add("a", hidden);
  outer.add("b", "hello");
  const std::string file = outer.finish();
  const std::size_t second = file.find("PK\3\4", at + hidden.size());
  const std::size_t entry = file.rfind(raw(static_cast<std::uint32_t>(second)), file.size() - 22);
  EXPECT_ERROR(index_of(std::string(file).replace(entry, 4, raw(static_cast<std::uint32_t>(at)))), ErrorCode::kCorrupt,
               "zip record \"a\" ends at byte");
}

TEST(ZipIndex, OtherKindsAreRefused) {
  ZipBuilder zip({false, false, false});
  zip.add("a", "hello");
  const std::string file = zip.finish();
  const std::string flags = raw(std::uint16_t{0x800}) + raw(std::uint16_t{0});
  const std::size_t directory = file.find("PK\1\2");
  EXPECT_ERROR(index_of(with(file, flags, raw(std::uint16_t{0x801}) + raw(std::uint16_t{0}), directory)),
               ErrorCode::kUnsupported, "encrypted");
  const std::string deflated = raw(std::uint16_t{0x800}) + raw(std::uint16_t{8});
  const auto records = index_of(with(with(file, flags, deflated), flags, deflated, directory));
  ASSERT_TRUE(records.ok()) << records.error().message;
  EXPECT_TRUE(records->front().is_compressed);
  ZipBuilder named;
  named.add("\xFF", "");
  EXPECT_ERROR(index_of(named.finish()), ErrorCode::kCorrupt, "not UTF-8");
}

}  // namespace
}  // namespace nibble
