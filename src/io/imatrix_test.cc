// Tests of importance matrices: both forms, and files that are not what they say.
#include "io/imatrix.h"

#include "io/container_test_support.h"

namespace nibble {
namespace {

Imatrix sample() {
  Imatrix out;
  out.datasets = {"wiki.txt"};
  out.chunks = 3;
  out.chunk_size = 512;
  out.entries = {{"blk.1.ffn_up.weight", 1, {3, 6, 9, 0}, {3}}, {"blk.0.ffn_up_exps.weight", 2, {2, 4, 5, 5}, {2, 0}}};
  return out;
}

class ImatrixFile : public FolderTest {
 protected:
  std::string error_of(std::string_view bytes) const {
    const auto read = read_imatrix(put("x.imatrix", bytes));
    return read.ok() ? "" : read.error().message;
  }
};

TEST_F(ImatrixFile, ComesBackFromItsGgufForm) {
  ASSERT_TRUE(write_imatrix(sample(), root_ / "a.gguf").ok());
  const auto read = read_imatrix(root_ / "a.gguf");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->datasets, sample().datasets);
  EXPECT_EQ(read->chunks, 3u);
  EXPECT_EQ(read->chunk_size, 512u);
  ASSERT_EQ(read->entries.size(), 2u);
  EXPECT_EQ(read->entries[0].name, "blk.0.ffn_up_exps.weight") << "by name";
  for (const ImatrixEntry& expected : sample().entries) {
    const ImatrixEntry* entry = read->find(expected.name);
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->matrices, expected.matrices);
    EXPECT_EQ(entry->sums, expected.sums);
    EXPECT_EQ(entry->counts, expected.counts);
  }
  EXPECT_EQ(read->find("blk.9.ffn_up.weight"), nullptr);
  ASSERT_TRUE(write_imatrix(*read, root_ / "b.gguf").ok());
  EXPECT_EQ(contents("b.gguf"), contents("a.gguf"));
}

TEST_F(ImatrixFile, GivesMeansAndOnesWhereNothingWasSeen) {
  EXPECT_EQ(sample().entries[0].means(), (std::vector<float>{1, 2, 3, 0}));
  EXPECT_EQ(sample().entries[1].means(), (std::vector<float>{1, 2, 1, 1}));
}

std::string legacy_name(std::string_view name) {
  return raw(static_cast<std::int32_t>(name.size())) + std::string(name);
}

std::string legacy_entry(std::string_view name, std::int32_t calls, const std::vector<float>& values) {
  std::string out = legacy_name(name) + raw(calls) + raw(static_cast<std::int32_t>(values.size()));
  for (const float value : values) out += raw(value);
  return out;
}

TEST_F(ImatrixFile, ReadsTheLegacyForm) {
  const std::string entries =
      raw(std::int32_t{2}) + legacy_entry("a.weight", 4, {8, 2}) + legacy_entry("b.weight", 0, {7});
  for (const bool with_end : {false, true}) {
    const std::string end = with_end ? raw(std::int32_t{12}) + legacy_name("wiki.txt") : "";
    const auto read = read_imatrix(put("x.dat", entries + end));
    ASSERT_TRUE(read.ok()) << read.error().message;
    ASSERT_EQ(read->entries.size(), 2u);
    EXPECT_EQ(read->entries[0].means(), (std::vector<float>{2, 0.5}));
    EXPECT_EQ(read->entries[1].means(), (std::vector<float>{7}));
    EXPECT_EQ(read->chunks, with_end ? 12u : 0u);
    EXPECT_EQ(read->datasets, with_end ? std::vector<std::string>{"wiki.txt"} : std::vector<std::string>());
  }
}

TEST_F(ImatrixFile, RefusesWhatIsNoMatrix) {
  EXPECT_NE(error_of("").find("number of entries"), std::string::npos);
  EXPECT_NE(error_of(raw(std::int32_t{-1})).find("-1 entries"), std::string::npos);
  EXPECT_NE(error_of(raw(std::int32_t{1}) + raw(std::int32_t{0})).find("name of 0"), std::string::npos);
  EXPECT_NE(error_of(raw(std::int32_t{1}) + legacy_entry("a", 1, {})).find("0 values"), std::string::npos);
  EXPECT_NE(error_of(raw(std::int32_t{1}) + legacy_entry("a", 1, {-1})).find("negative"), std::string::npos);
  EXPECT_NE(error_of(raw(std::int32_t{1}) + legacy_entry("a", 1, {NAN})).find("not finite"), std::string::npos);
  EXPECT_NE(error_of(raw(std::int32_t{2}) + legacy_entry("a", 1, {1}) + legacy_entry("a", 1, {1})).find("twice"),
            std::string::npos);
  const std::string good = raw(std::int32_t{1}) + legacy_entry("a.weight", 4, {8, 2});
  for (std::size_t cut = 0; cut < good.size(); ++cut) EXPECT_NE(error_of(good.substr(0, cut)), "") << cut;
}

TEST_F(ImatrixFile, RefusesTensorsThatDoNotFit) {
  Imatrix wrong = sample();
  wrong.entries[0].sums.pop_back();
  wrong.entries[0].counts = {3};
  ASSERT_TRUE(write_imatrix(wrong, root_ / "a.gguf").ok()) << "three columns are as good as four";
  ASSERT_TRUE(write_imatrix(sample(), root_ / "b.gguf").ok());
  std::string bytes = contents("b.gguf");
  const auto renamed = [&](std::string_view from, std::string_view to) {
    std::string copy = bytes;
    copy.replace(copy.find(from), from.size(), to);
    return error_of(copy);
  };
  EXPECT_NE(renamed("ffn_up.weight.counts", "ffn_xx.weight.counts").find("no counts"), std::string::npos);
  EXPECT_NE(renamed("ffn_up.weight.in_sum2", "ffn_up.weight.in_sum3").find("2 tensors of counts"), std::string::npos);
  EXPECT_NE(renamed("general.type", "general.typo").find("general.type"), std::string::npos);
}

}  // namespace
}  // namespace nibble
