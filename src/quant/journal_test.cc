// The journal: entries come back as they were, runs are told apart, damage costs one entry and no more.
#include "quant/journal.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "io/container_test_support.h"
#include "quant/rtn/rtn.h"

namespace nibble {
namespace {

class JournalTest : public FolderTest {
 protected:
  std::filesystem::path output() const { return root_ / "out"; }
  Journal::Ptr open(bool resume, const Json& run = {{"samples", 3}, {"seed", 1}}) const {
    return Journal::open(output(), run, resume).value();
  }
};

QuantizedMatrix quantized(const std::string& scheme_name, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  QuantizedMatrix floats;
  floats.allocate(QuantScheme::of_float(ElementType::kF32), 24, 256, 0, 24);
  std::vector<float> weights(24 * 256);
  for (float& w : weights) w = normal(random);
  std::memcpy(floats.codes.data(), weights.data(), floats.codes.size());
  ThreadPool pool(1);
  const MatrixPtr source =
      quantize_rtn(make_source(std::move(floats)), parse_scheme(scheme_name).value(), {}, pool).value();
  QuantizedMatrix out;
  EXPECT_TRUE(source->decode(0, 24, out).ok());
  return out;
}

void expect_same(const QuantizedMatrix& got, const QuantizedMatrix& expected) {
  EXPECT_EQ(got.scheme, expected.scheme);
  EXPECT_EQ(got.codes, expected.codes);
  EXPECT_EQ(got.scale, expected.scale);
  EXPECT_EQ(got.zero, expected.zero);
  EXPECT_EQ(got.offset, expected.offset);
  EXPECT_EQ(got.tables, expected.tables);
  EXPECT_EQ(got.selector, expected.selector);
  EXPECT_EQ(got.group_index, expected.group_index);
}

TEST_F(JournalTest, GivesBackWhatAnInterruptedRunRecorded) {
  for (const char* scheme : {"int4-g32-sym", "int3-g64-asym", "nf4-g64-dq", "codebook4-row-g64", "fp8-e4m3-channel"}) {
    SCOPED_TRACE(scheme);
    const QuantizedMatrix matrix = quantized(scheme, 1);
    {
      const Journal::Ptr journal = open(false);
      EXPECT_FALSE(journal->find("a.b").has_value());
      const auto put = journal->put("a.b", matrix, {{"error", 0.1}});
      ASSERT_TRUE(put.ok()) << put.error().message;
      ASSERT_TRUE(journal->put_text("tokens", "[1, 2]").ok());
    }
    const Journal::Ptr journal = open(true);
    EXPECT_EQ(journal->find_text("tokens"), "[1, 2]");
    const std::optional<Journal::Entry> found = journal->find("a.b");
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->notes.at("error"), 0.1);
    QuantizedMatrix got;
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(found->matrix->decode(0, 24, got).ok());
      expect_same(got, matrix);
      found->matrix->release(0, 24);  // it is read again
    }
    journal->remove();
    EXPECT_FALSE(std::filesystem::exists(Journal::folder_of(output())));
  }
}

TEST_F(JournalTest, IsOfOneRun) {
  ASSERT_TRUE(open(false)->put_text("note", "x").ok());
  const auto other = Journal::open(output(), {{"samples", 4}, {"seed", 1}}, true);
  ASSERT_FALSE(other.ok());
  EXPECT_NE(other.error().message.find("samples was 3, is 4"), std::string::npos) << other.error().message;
  EXPECT_TRUE(open(true)->find_text("note").has_value()) << "a refusal keeps it";
  EXPECT_FALSE(open(false)->find_text("note").has_value()) << "starting afresh does not";
}

TEST_F(JournalTest, OneProcessAtATime) {
  const Journal::Ptr journal = open(false);
  const auto second = Journal::open(output(), {}, true);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find("another run"), std::string::npos);
}

/// Every cut, and every flipped byte of the header, is either noticed or leaves a valid matrix.
TEST_F(JournalTest, ADamagedEntryCountsAsNone) {
  const QuantizedMatrix matrix = quantized("int2-g64-asym", 2);
  ASSERT_TRUE(open(false)->put("m", matrix, {}).ok());
  const std::filesystem::path file = Journal::folder_of(output()) / "m";
  std::ifstream in(file, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const Journal::Ptr journal = open(true);
  const auto try_with = [&](const std::string& bytes) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
    return journal->find("m");
  };
  for (std::size_t cut = 0; cut < whole.size(); cut += cut < 400 ? 1 : 97)
    EXPECT_FALSE(try_with(whole.substr(0, cut)).has_value()) << cut;
  EXPECT_FALSE(try_with(whole + "x").has_value());
  const std::size_t header = whole.find('\n');
  for (std::size_t at = 0; at < header; ++at) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 2);
    if (const auto found = try_with(bytes)) {
      QuantizedMatrix got;
      EXPECT_TRUE(found->matrix->decode(0, found->matrix->rows(), got).ok()) << at;
    }
  }
  EXPECT_TRUE(try_with(whole).has_value());
}

}  // namespace
}  // namespace nibble
