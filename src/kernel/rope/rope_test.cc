// Frequencies against transformers, the table against double, every rotation kernel by name against the reference.
#include "kernel/rope/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <map>

#include "base/json.h"
#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

using testing::Guarded;
using testing::Numbers;

const std::map<std::string, RopeScaling> kScalings = {
    {"default", RopeScaling::kNone}, {"linear", RopeScaling::kLinear},     {"dynamic", RopeScaling::kDynamic},
    {"yarn", RopeScaling::kYarn},    {"longrope", RopeScaling::kLongRope}, {"llama3", RopeScaling::kLlama3}};

RopeConfig config_of(const Json& c) {
  const Json& p = c.at("parameters");
  RopeConfig config;
  config.rope_theta = p.at("rope_theta");
  config.rotary_dim = c.at("rotary_dim");
  config.scaling = kScalings.at(p.at("rope_type"));
  config.factor = p.value("factor", 1.0);
  config.max_position_embeddings = c.at("max_position_embeddings");
  config.original_max_position_embeddings = p.value("original_max_position_embeddings", 0);
  config.mscale = p.value("mscale", 0.0);
  config.mscale_all_dim = p.value("mscale_all_dim", 0.0);
  config.low_freq_factor = p.value("low_freq_factor", 1.0);
  config.high_freq_factor = p.value("high_freq_factor", 4.0);
  config.short_factor = p.value("short_factor", std::vector<float>{});
  config.long_factor = p.value("long_factor", std::vector<float>{});
  return config;
}

/// Ours is the correctly rounded power and float32 steps in the published order; theirs has a vectorized power good to
/// an ulp, and the later steps carry that on.
TEST(RopeFrequencies, AgreeWithTransformers) {
  std::ifstream file(std::string(NIBBLE_SOURCE_DIR) + "/tests/golden/rope/rope.json");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto golden = parse_untrusted(text, "rope.json");
  ASSERT_TRUE(golden.ok()) << golden.error().message;
  ASSERT_EQ((*golden).at("cases").size(), 10u);
  for (const Json& c : (*golden).at("cases")) {
    SCOPED_TRACE(c.at("name").get<std::string>());
    const RopeFrequencies got = rope_frequencies(config_of(c), c.at("sequence_length"));
    const std::vector<double> expected = c.at("inv_freq");
    ASSERT_EQ(got.inv_freq.size(), expected.size());
    for (std::size_t m = 0; m < expected.size(); ++m)
      ASSERT_NEAR(got.inv_freq[m], expected[m], 2 * 0x1p-23 * expected[m]) << m;
    EXPECT_EQ(got.attention_factor, static_cast<float>(c.at("attention_factor").get<double>()));
  }
}

TEST(RopeFrequencies, GgufFactorsDivide) {
  RopeConfig config;
  config.rotary_dim = 8;
  const RopeFrequencies plain = rope_frequencies(config, 0);
  config.freq_factors = {1.0f, 2.0f, 4.0f, 0.5f};
  const RopeFrequencies divided = rope_frequencies(config, 0);
  for (std::size_t m = 0; m < 4; ++m) EXPECT_EQ(divided.inv_freq[m], plain.inv_freq[m] / config.freq_factors[m]);
}

TEST(RopeTable, HoldsRoundedCosinesOfFloatAngles) {
  RopeConfig config;
  config.rotary_dim = 16;
  RopeFrequencies frequencies = rope_frequencies(config, 0);
  frequencies.attention_factor = 1.25f;
  const RopeTable table(frequencies, 100000);
  for (const std::int64_t position : {0, 1, 255, 256, 4097, 99999}) {
    const float* row = table.row(position);
    for (std::size_t m = 0; m < 8; ++m) {
      const float angle = frequencies.inv_freq[m] * static_cast<float>(position);
      EXPECT_EQ(row[m], static_cast<float>(std::cos(static_cast<double>(angle))) * 1.25f);
      EXPECT_EQ(row[m + 8], static_cast<float>(std::sin(static_cast<double>(angle))) * 1.25f);
    }
  }
}

TEST(Rope, KernelsHaveTheBitsOfTheReference) {
  Numbers numbers(1);
  for (const RopeKernel* kernel : rope_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    SCOPED_TRACE(kernel->info.name);
    for (const int half : {1, 5, 8, 15, 16, 17, 32, 40, 64}) {
      for (const int rest : {0, 3}) {
        const int heads = 3;
        const int head_dim = 2 * half + rest;
        const std::vector<float> angles = numbers.values(static_cast<std::size_t>(half), 0.0f, 6.0f);
        Guarded<float> cosines(angles);
        Guarded<float> sines(angles);
        for (float& c : cosines.span()) c = std::cos(c);
        for (float& s : sines.span()) s = std::sin(s);
        std::vector<float> expected = numbers.values(static_cast<std::size_t>(heads * head_dim), -2.0f, 2.0f);
        Guarded<float> got(expected);
        rope_kernels().front()->rotate(expected.data(), heads, head_dim, half, cosines.data(), sines.data());
        kernel->rotate(got.data(), heads, head_dim, half, cosines.data(), sines.data());
        ASSERT_TRUE(testing::same_bits(got.span(), expected)) << half << " " << rest;
      }
    }
  }
  if (const std::string names = testing::skipped_kernels(rope_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

/// The rotated pair (m, m + R/2), the untouched rest, and that only the difference of positions enters q . k.
TEST(Rope, RotatesHalves) {
  RopeConfig config;
  config.rotary_dim = 6;
  const RopeTable table(rope_frequencies(config, 0), 64);
  const std::vector<float> start = {1, 2, 3, 4, 5, 6, 7, 8};
  const std::int32_t positions[] = {9, 0};
  for (int threads : {1, 2}) {
    ThreadPool pool(threads);
    std::vector<float> x = start;
    x.insert(x.end(), start.begin(), start.end());
    rope_rotate_half(x.data(), 2, 1, 8, 6, 8, positions, table, x.data(), pool);
    for (std::size_t m = 0; m < 3; ++m) {
      const double angle = 9.0 * std::pow(10000.0, -2.0 * static_cast<double>(m) / 6.0);
      const double a = start[m];
      const double b = start[m + 3];
      EXPECT_NEAR(x[m], a * std::cos(angle) - b * std::sin(angle), 1e-5);
      EXPECT_NEAR(x[m + 3], b * std::cos(angle) + a * std::sin(angle), 1e-5);
    }
    EXPECT_EQ(x[6], 7.0f);
    EXPECT_EQ(x[7], 8.0f);
    for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(x[8 + i], start[i]);  // position 0
  }
}

}  // namespace
}  // namespace nibble::kernel
