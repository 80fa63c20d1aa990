// Products with matrices that have a supplement.
#include "kernel/matmul/supplement.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernel/matmul/matmul_fixtures.h"

namespace nibble::kernel {
namespace {

constexpr std::int64_t kRows = 77;
constexpr std::int64_t kCols = 160;
constexpr std::int64_t kTokens = 70;  // past those that are held at once

QuantizedMatrix made(test::MatrixMaker& maker, const test::NamedScheme& scheme) {
  QuantizedMatrix m = maker.make(scheme, kRows, kCols);
  const auto halves = [&](std::vector<std::byte>& bytes) {
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
      const float value = maker.uniform();
      encode_elements(ElementType::kF16, &value, 1, bytes.data() + i);
    }
  };
  for (std::size_t i = 0; i < m.supplement.columns.size(); ++i)
    m.supplement.columns[i] = static_cast<std::int32_t>(3 + 11 * i);
  halves(m.supplement.left);
  halves(m.supplement.right);
  halves(m.supplement.kept_scale.empty() ? m.supplement.kept : m.supplement.kept_scale);
  if (!m.supplement.kept_scale.empty())
    for (std::byte& code : m.supplement.kept) code = static_cast<std::byte>(maker.pick(256));
  return m;
}

std::vector<test::NamedScheme> supplemented() {
  std::vector<test::NamedScheme> out;
  for (const char* name : {"int4-g32-sym-keep8:5%", "int3-g16-asym-keep16:2%-rank6", "codebook4-row-g32-rank1",
                           "nf4-flat9-dq-keep8:3%-rank2", "fp8-e4m3-channel-rank4"})
    out.push_back(test::named(name));
  for (test::NamedScheme scheme : test::special_schemes())
    if (scheme.name == "g_idx" || scheme.name == "wide_zero") {  // permuted columns; packed at the second try
      scheme.scheme.supplement = parse_scheme("int4-g32-sym-keep8:5%-rank3")->supplement;
      out.push_back(scheme);
    }
  return out;
}

PackedMatrix pack(const QuantizedMatrix& m, ThreadPool& pool) {
  auto packed = PackedMatrix::pack(*make_source(m), pool);
  EXPECT_TRUE(packed.ok()) << (packed.ok() ? "" : packed.error().message);
  return std::move(packed).value();
}

TEST(MatmulSupplement, IsAddedToTheProductOfTheCodes) {
  ThreadPool pool(2);
  for (const test::NamedScheme& scheme : supplemented())
    for (const Compute compute : {Compute::kF32, Compute::kInt8}) {
      SCOPED_TRACE(scheme.name);
      test::MatrixMaker maker(5);
      const QuantizedMatrix m = made(maker, scheme);
      QuantizedMatrix codes = m;
      codes.scheme.supplement = {};
      codes.supplement = {};
      const std::vector<float> x = maker.activations(kTokens * kCols);
      MatmulInput input;
      input.set(x.data(), kTokens, kCols, kCols, compute, pool);
      std::vector<float> y(kTokens * kRows);
      std::vector<float> plain(kTokens * kRows);
      matmul(pack(m, pool), input, y.data(), kRows, pool);
      matmul(pack(codes, pool), input, plain.data(), kRows, pool);
      const SupplementValues values(m);
      std::vector<float> row(kCols);
      for (std::int64_t r = 0; r < kRows; ++r) {
        std::fill(row.begin(), row.end(), 0.0f);
        values.add_to_row(r, row.data());
        for (std::int64_t t = 0; t < kTokens; ++t) {
          double sum = 0;
          double size = 0;
          for (std::int64_t c = 0; c < kCols; ++c) {
            const double term = static_cast<double>(row[static_cast<std::size_t>(c)]) *
                                static_cast<double>(x[static_cast<std::size_t>(t * kCols + c)]);
            sum += term;
            size += std::abs(term);
          }
          const auto at = static_cast<std::size_t>(t * kRows + r);
          const double size_of_codes = std::abs(static_cast<double>(plain[at]));
          EXPECT_NEAR(static_cast<double>(y[at]) - static_cast<double>(plain[at]), sum,
                      2e-6 * (size + size_of_codes) + 1e-6)
              << r << ", " << t;
        }
      }
    }
}

TEST(MatmulSupplement, RowsEqualTheHubsDequantize) {
  ThreadPool pool(2);
  for (const test::NamedScheme& scheme : supplemented()) {
    test::MatrixMaker maker(6);
    const QuantizedMatrix m = made(maker, scheme);
    const PackedMatrix packed = pack(m, pool);
    std::vector<float> expected(kRows * kCols);
    std::vector<float> rows(kRows * kCols);
    dequantize(m, expected.data());
    for (std::int64_t r = 0; r < kRows; ++r) packed.decode_row(r, rows.data() + r * kCols);
    EXPECT_EQ(std::memcmp(rows.data(), expected.data(), rows.size() * sizeof(float)), 0) << scheme.name;
  }
}

TEST(MatmulSupplement, BitsDependOnNeitherThreadsNorBatchNorGroup) {
  ThreadPool one(1);
  ThreadPool three(3);
  test::MatrixMaker maker(7);
  const PackedMatrix a = pack(made(maker, test::named("int4-g32-sym-keep8:5%-rank5")), three);
  const PackedMatrix b = pack(made(maker, test::named("int8-channel-sym")), one);
  const std::vector<float> x = maker.activations(kTokens * kCols);
  MatmulInput input;
  input.set(x.data(), kTokens, kCols, kCols, Compute::kInt8, three);
  std::vector<float> ya(kTokens * kRows);
  std::vector<float> yb(kTokens * kRows);
  const PackedMatrix* const both[] = {&a, &b};
  float* const outputs[] = {ya.data(), yb.data()};
  const std::int64_t lds[] = {kRows, kRows};
  matmul_group(both, input, outputs, lds, three);
  std::vector<float> alone(kTokens * kRows);
  for (std::int64_t t = 0; t < kTokens; ++t) {
    MatmulInput token;
    token.set(x.data() + t * kCols, 1, kCols, 0, Compute::kInt8, one);
    matmul(a, token, alone.data() + t * kRows, 0, one);
  }
  EXPECT_EQ(std::memcmp(ya.data(), alone.data(), ya.size() * sizeof(float)), 0);
}

}  // namespace
}  // namespace nibble::kernel
