// Kept columns and products of low rank beside codes.
#include "tensor/supplement.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tensor/permuted_rows.h"
#include "tensor/regrid.h"

namespace nibble {
namespace {

constexpr std::int64_t kRows = 7;
constexpr std::int64_t kCols = 100;

void set_halves(std::vector<std::byte>& bytes, std::mt19937& random) {
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    const float value = static_cast<float>(random() % 256) / 64.0f - 2.0f;  // exact in f16
    encode_elements(ElementType::kF16, &value, 1, bytes.data() + i);
  }
}

QuantizedMatrix made(const char* name) {
  std::mt19937 random(3);
  QuantizedMatrix m;
  m.allocate(parse_scheme(name).value(), kRows, kCols, 0, kRows);
  for (std::uint8_t& code : m.codes) code = static_cast<std::uint8_t>(random() % 8);
  set_halves(m.scale.entries, random);
  for (std::size_t i = 0; i < m.supplement.columns.size(); ++i)
    m.supplement.columns[i] = static_cast<std::int32_t>(5 + 9 * i);
  if (m.supplement.kept_scale.empty()) {
    set_halves(m.supplement.kept, random);
  } else {
    set_halves(m.supplement.kept_scale, random);
    for (std::byte& code : m.supplement.kept) code = static_cast<std::byte>(random());
  }
  set_halves(m.supplement.left, random);
  set_halves(m.supplement.right, random);
  EXPECT_TRUE(m.validate().ok());
  return m;
}

std::vector<float> values_of(const QuantizedMatrix& m) {
  std::vector<float> values(static_cast<std::size_t>(m.row_count * m.cols));
  dequantize(m, values.data());
  return values;
}

float half_at(const std::vector<std::byte>& bytes, std::int64_t index) {
  float value = 0;
  decode_elements(ElementType::kF16, bytes.data() + 2 * index, 1, &value);
  return value;
}

TEST(Supplement, NamesSayIt) {
  for (const char* name : {"int3-g32-sym-keep8:1%", "int4-g64-asym-keep16:0.05%-rank32", "codebook4-row-g64-rank4",
                           "nf4-g64-dq-keep8:12.5%", "int4-g32-sym-scale:f32-keep8:100%+dyn-token"}) {
    const auto scheme = parse_scheme(name);
    ASSERT_TRUE(scheme.ok()) << name << ": " << scheme.error().message;
    EXPECT_EQ(to_string(*scheme), name);
  }
  for (const char* name : {"int3-g32-sym-keep8", "int3-g32-sym-keep8:1", "int3-g32-sym-keep8:0%", "int3-g32-keep4:1%",
                           "int3-g32-sym-keep8:101%", "int3-g32-sym-rank0", "int3-g32-sym-rank99999",
                           "int3-g32-sym-keep8:nan%", "f16-rank4"})
    EXPECT_FALSE(parse_scheme(name).ok()) << name;
}

TEST(Supplement, SizesFollowTheShape) {
  const QuantScheme plain = parse_scheme("int3-g50-sym").value();
  const auto bits = [&](const char* name) {
    return parse_scheme(name)->stored_bits(kRows, kCols) - plain.stored_bits(kRows, kCols);
  };
  EXPECT_EQ(bits("int3-g50-sym-keep16:2%"), 2 * (kRows * 16 + 32));
  EXPECT_EQ(bits("int3-g50-sym-keep8:0.01%"), kRows * 8 + 32 + kRows * 16);  // at least one column
  EXPECT_EQ(bits("int3-g50-sym-rank5"), 5 * (kRows + kCols) * 16);
}

TEST(Supplement, IsAddedToWhatTheCodesSay) {
  for (const char* name : {"int3-g50-sym-keep8:5%", "int3-g50-sym-keep16:3%-rank4", "int3-g50-sym-rank2"}) {
    SCOPED_TRACE(name);
    const QuantizedMatrix m = made(name);
    QuantizedMatrix codes = m;
    codes.scheme.supplement = {};
    codes.supplement = {};
    const std::vector<float> values = values_of(m);
    const std::vector<float> plain = values_of(codes);
    const auto kept = static_cast<std::int64_t>(m.supplement.columns.size());
    const std::int64_t rank = m.scheme.supplement.rank;
    for (std::int64_t r = 0; r < kRows; ++r)
      for (std::int64_t c = 0; c < kCols; ++c) {
        float expected = plain[static_cast<std::size_t>(r * kCols + c)];
        for (std::int64_t i = 0; i < kept; ++i) {
          if (m.supplement.columns[static_cast<std::size_t>(i)] != c) continue;
          const std::int64_t at = r * kept + i;
          expected +=
              m.supplement.kept_scale.empty()
                  ? half_at(m.supplement.kept, at)
                  : half_at(m.supplement.kept_scale, r) *
                        static_cast<float>(static_cast<std::int8_t>(m.supplement.kept[static_cast<std::size_t>(at)]));
        }
        for (std::int64_t j = 0; j < rank; ++j)
          expected += half_at(m.supplement.left, r * rank + j) * half_at(m.supplement.right, j * kCols + c);
        EXPECT_EQ(values[static_cast<std::size_t>(r * kCols + c)], expected) << r << ", " << c;
      }
  }
}

TEST(Supplement, RangesAndOrdersOfRows) {
  const QuantizedMatrix m = made("int3-g50-sym-keep8:5%-rank3");
  const std::vector<float> whole = values_of(m);
  const MatrixPtr source = make_source(m);
  const std::vector<std::int64_t> order{6, 0, 5, 1, 4, 2, 3};
  const auto permuted = permute_rows(source, order);
  ASSERT_TRUE(permuted.ok());
  for (const std::int64_t begin : {0, 2, 6}) {
    QuantizedMatrix part;
    ASSERT_TRUE(source->decode(begin, kRows - begin, part).ok());
    ASSERT_TRUE(part.validate().ok());
    EXPECT_EQ(std::memcmp(values_of(part).data(), whole.data() + begin * kCols,
                          static_cast<std::size_t>((kRows - begin) * kCols) * sizeof(float)),
              0);
    ASSERT_TRUE((*permuted)->decode(begin, kRows - begin, part).ok());
    ASSERT_TRUE(part.validate().ok());
    const std::vector<float> moved = values_of(part);
    for (std::int64_t r = begin; r < kRows; ++r)
      EXPECT_EQ(std::memcmp(moved.data() + (r - begin) * kCols,
                            whole.data() + order[static_cast<std::size_t>(r)] * kCols, kCols * sizeof(float)),
                0);
  }
}

TEST(Supplement, DamageIsRefused) {
  const QuantizedMatrix good = made("int3-g50-sym-keep8:5%-rank3");
  const auto refused = [&](auto&& change) {
    QuantizedMatrix m = good;
    change(m.supplement);
    return !m.validate().ok();
  };
  EXPECT_TRUE(refused([](SupplementData& s) { s.columns[1] = s.columns[0]; }));
  EXPECT_TRUE(refused([](SupplementData& s) { s.columns.back() = kCols; }));
  EXPECT_TRUE(refused([](SupplementData& s) { s.columns[0] = -1; }));
  EXPECT_TRUE(refused([](SupplementData& s) { s.columns.pop_back(); }));
  EXPECT_TRUE(refused([](SupplementData& s) { s.kept.pop_back(); }));
  EXPECT_TRUE(refused([](SupplementData& s) { s.kept_scale.clear(); }));
  EXPECT_TRUE(refused([](SupplementData& s) { s.left.resize(s.left.size() + 2); }));
  EXPECT_TRUE(refused([](SupplementData& s) { s.right.clear(); }));
}

TEST(Supplement, NoGridOfCodesHoldsIt) {
  const QuantScheme with = parse_scheme("int3-g50-sym-rank2").value();
  const QuantScheme without = parse_scheme("int3-g50-sym").value();
  EXPECT_EQ(can_regrid(with, without, kRows, kCols), Regrid::kNever);
  EXPECT_EQ(can_keep_codes(with, without, kRows, kCols), Regrid::kNever);
  EXPECT_EQ(can_regrid(without, with, kRows, kCols), Regrid::kNever);
}

}  // namespace
}  // namespace nibble
