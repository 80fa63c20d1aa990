// Every search kernel by name against the bytes of ggml's reference quantizers (tests/golden/ggml), against the
// reference kernel on rows of every length, and refinement against what it refines.
#include "kernel/ggml_search/ggml_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/half.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "format/ggml_blocks.h"
#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

struct SearchOf {
  const char* name;
  GgmlSearch GgmlSearchKernel::*search;
};
constexpr SearchOf kSearches[] = {
    {"q4_0", &GgmlSearchKernel::q4_0}, {"q8_0", &GgmlSearchKernel::q8_0},     {"q4_1", &GgmlSearchKernel::q4_1},
    {"q5_0", &GgmlSearchKernel::q5_0}, {"q5_1", &GgmlSearchKernel::q5_1},     {"q2_k", &GgmlSearchKernel::q2_k},
    {"q3_k", &GgmlSearchKernel::q3_k}, {"q4_k", &GgmlSearchKernel::q4_k},     {"q5_k", &GgmlSearchKernel::q5_k},
    {"q6_k", &GgmlSearchKernel::q6_k}, {"iq4_nl", &GgmlSearchKernel::iq4_nl}, {"iq4_xs", &GgmlSearchKernel::iq4_xs},
};

bool is_legacy(const GgmlBlockFormat& format) { return format.block_values == 32 && format.name[0] == 'q'; }

/// What a search writes, and the blocks that it means.
struct Found {
  std::vector<std::uint8_t> codes, scale_codes, offset_codes;
  std::vector<float> scales, offsets;
  std::vector<std::byte> blocks;
  bool operator==(const Found&) const = default;

  std::vector<float> dequantized(const GgmlBlockFormat& format) const {
    const std::size_t count = blocks.size() / static_cast<std::size_t>(format.block_bytes);
    std::vector<float> values(count * static_cast<std::size_t>(format.block_values));
    format.dequantize(blocks.data(), count, values.data());
    return values;
  }
};

Found run(const GgmlSearchKernel& kernel, const SearchOf& of, const std::vector<float>& x, std::size_t cols,
          const std::vector<float>& importance, bool refine = false) {
  const GgmlBlockFormat& format = *find_ggml_block_format(std::string_view(of.name));
  const auto n = static_cast<std::size_t>(format.block_values);
  const std::size_t count = x.size() / n;
  const auto parts = [count](int per_block) { return count * static_cast<std::size_t>(per_block); };
  Found out;
  out.codes.resize(parts(format.parts.codes));
  out.scale_codes.resize(parts(format.parts.scale_codes));
  out.offset_codes.resize(parts(format.parts.offset_codes));
  out.scales.resize(count);
  out.offsets.resize(count);
  std::vector<float> mean_squares;
  for (std::size_t at = 0; at < x.size(); at += cols) {
    float sum = 0;
    for (std::size_t i = at; i < at + cols; ++i) sum += x[i] * x[i];
    mean_squares.push_back(sum / static_cast<float>(cols));
  }
  testing::Guarded<float> values(x);
  (kernel.*of.search)(
      {.values = values.data(),
       .blocks = static_cast<std::int64_t>(count),
       .blocks_per_row = static_cast<std::int64_t>(cols / n),
       .importance = importance.empty() ? nullptr : importance.data(),
       .row_mean_squares = mean_squares.data(),
       .refine = refine},
      {out.codes.data(), out.scales.data(), out.scale_codes.data(), out.offsets.data(), out.offset_codes.data()});
  std::vector<std::uint8_t> scales(2 * count), offsets(2 * count);
  for (std::size_t i = 0; i < count; ++i) {
    store_half(scales.data() + 2 * i, f32_to_f16(out.scales[i]));
    store_half(offsets.data() + 2 * i, f32_to_f16(out.offsets[i]));
    if (!is_legacy(format)) {
      EXPECT_EQ(f16_to_f32(f32_to_f16(out.scales[i])), out.scales[i]);
    }
  }
  out.blocks.resize(parts(format.block_bytes));
  format.pack({out.codes.data(), scales.data(), out.scale_codes.data(), offsets.data(), out.offset_codes.data()}, count,
              out.blocks.data());
  return out;
}

std::vector<float> floats_of(const Json& list) {
  std::vector<float> out;
  for (const Json& number : list) out.push_back(static_cast<float>(number.get<double>()));
  return out;
}

std::string hex(const std::vector<std::byte>& bytes) {
  std::string out;
  for (const std::byte b : bytes) out += fmt::format("{:02x}", static_cast<unsigned>(b));
  return out;
}

/// Normal numbers, some of them far out, and blocks of zeros and of one value.
std::vector<float> rows_of(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::vector<float> x(count);
  for (std::size_t i = 0; i < count; ++i) {
    x[i] = normal(random);
    if (random() % 200 == 0) x[i] *= 20.0f;
    if (i / 32 % 37 == 5) x[i] = 0.0f;
    if (i / 16 % 41 == 3) x[i] = 0.25f;
    if (i / 256 % 11 == 7) x[i] = 0.0f;
    if (i / 256 % 13 == 9) x[i] *= 1e-6f;
  }
  return x;
}

std::vector<float> importance_of(std::size_t cols, unsigned seed) {
  std::mt19937 random(seed);
  std::lognormal_distribution<float> wide(0.0f, 2.0f);
  std::vector<float> out(cols);
  for (float& value : out) value = random() % 50 == 0 ? 0.0f : wide(random);
  return out;
}

class GgmlSearches : public ::testing::TestWithParam<SearchOf> {
 protected:
  const GgmlBlockFormat& format() const { return *find_ggml_block_format(std::string_view(GetParam().name)); }
};
INSTANTIATE_TEST_SUITE_P(All, GgmlSearches, ::testing::ValuesIn(kSearches),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(GgmlSearches, GiveTheBytesOfTheVectors) {
  const auto text =
      read_text_file(std::string(NIBBLE_SOURCE_DIR) + "/tests/golden/ggml/ggml-" + GetParam().name + ".json");
  ASSERT_TRUE(text.ok());
  const auto file = parse_untrusted(*text, GetParam().name);
  ASSERT_TRUE(file.ok());
  for (const GgmlSearchKernel* kernel : ggml_search_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    int cases = 0;
    for (const Json& one : (*file)["quantize"]) {
      const std::vector<float> x = floats_of(one["input"]);
      const std::vector<float> importance =
          one.contains("importance") ? floats_of(one["importance"]) : std::vector<float>();
      EXPECT_EQ(hex(run(*kernel, GetParam(), x, x.size(), importance).blocks), one["bytes"].get<std::string>())
          << kernel->info.name << ", " << one["case"];
      ++cases;
    }
    EXPECT_GE(cases, 4);
  }
}

TEST_P(GgmlSearches, HaveTheBitsOfTheReferenceKernel) {
  for (const std::size_t rows : {1u, 3u, 19u}) {
    const std::size_t cols = 768;
    const std::vector<float> x = rows_of(rows * cols, static_cast<unsigned>(rows));
    for (const bool weighted : {false, true}) {
      const std::vector<float> importance = weighted ? importance_of(cols, 7) : std::vector<float>();
      const Found expected = run(*ggml_search_kernels().front(), GetParam(), x, cols, importance, weighted);
      for (const GgmlSearchKernel* kernel : ggml_search_kernels()) {
        if (!can_run(kernel->info, detected_cpu_features())) continue;
        EXPECT_TRUE(run(*kernel, GetParam(), x, cols, importance, weighted) == expected) << kernel->info.name;
      }
    }
  }
  if (const std::string names = testing::skipped_kernels(ggml_search_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

double weighted_error(const std::vector<float>& x, const std::vector<float>& q, const std::vector<float>& importance) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double difference = static_cast<double>(x[i]) - static_cast<double>(q[i]);
    sum += static_cast<double>(importance[i % importance.size()]) * difference * difference;
  }
  return sum;
}

TEST_P(GgmlSearches, RefiningLowersTheError) {
  const std::size_t cols = 1024;
  const std::vector<float> x = rows_of(64 * cols, 3);
  const std::vector<float> importance = importance_of(cols, 4);
  const auto error_of = [&](bool refine) {
    return weighted_error(x, run(ggml_search_kernel(), GetParam(), x, cols, importance, refine).dequantized(format()),
                          importance);
  };
  if (is_legacy(format())) {
    EXPECT_EQ(error_of(true), error_of(false)) << "these are not refined";
  } else {
    EXPECT_LT(error_of(true), 0.995 * error_of(false));
  }
}

/// Zeros of both signs, peaks of both signs, infinite scales: where the order of a maximum shows.
TEST_P(GgmlSearches, OfLegacyTypesGiveTheBytesOfTheFormat) {
  if (!is_legacy(format())) GTEST_SKIP() << "searched";
  std::mt19937 random(12);
  std::vector<float> x = rows_of(512 * 32, 12);
  for (std::size_t b = 0; b < 256; ++b) {
    const float few[] = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, 1e-42f, -3e38f, 3e38f};
    const std::size_t kinds = 2 + b % 7;
    for (std::size_t i = 0; i < 32; ++i) x[32 * b + i] = few[(b / 7 + random() % kinds) % 8];
  }
  std::vector<std::byte> expected(512 * static_cast<std::size_t>(format().block_bytes));
  format().quantize(x.data(), 512, expected.data());
  for (const GgmlSearchKernel* kernel : ggml_search_kernels())
    if (can_run(kernel->info, detected_cpu_features())) {
      EXPECT_EQ(hex(run(*kernel, GetParam(), x, 1024, {}).blocks), hex(expected)) << kernel->info.name;
    }
}

TEST_P(GgmlSearches, OfLegacyTypesTakeAnyNumberOfBlocks) {
  if (!is_legacy(format())) GTEST_SKIP() << "their rows are as long as other tests have them";
  for (std::size_t blocks = 1; blocks < 40; ++blocks) {
    const std::vector<float> x = rows_of(blocks * 32, static_cast<unsigned>(blocks));
    std::vector<std::byte> expected(blocks * static_cast<std::size_t>(format().block_bytes));
    format().quantize(x.data(), blocks, expected.data());
    for (const GgmlSearchKernel* kernel : ggml_search_kernels())
      if (can_run(kernel->info, detected_cpu_features())) {
        EXPECT_EQ(hex(run(*kernel, GetParam(), x, x.size(), {}).blocks), hex(expected)) << kernel->info.name;
      }
  }
}

TEST_P(GgmlSearches, SurviveLargeAndTinyNumbers) {
  for (const float special : {3e38f, -3e38f, 1e-45f, -1e-40f, 7e4f}) {
    for (const float rest : {0.0f, 1.0f, -1.0f}) {
      std::vector<float> x(512, rest);
      x[100] = special;
      const std::vector<float> importance(512, 0.5f);
      for (const GgmlSearchKernel* kernel : ggml_search_kernels())
        if (can_run(kernel->info, detected_cpu_features())) run(*kernel, GetParam(), x, 512, importance, true);
    }
  }
}

}  // namespace
}  // namespace nibble::kernel
