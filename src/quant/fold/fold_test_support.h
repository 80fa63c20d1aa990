// Golden models with their channels scaled at random, and what they compute.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "quant/fold/folded_weights.h"
#include "quant/testing/golden_models.h"
#include "run/cpu_executor.h"

namespace nibble {

inline constexpr const char* kGoldenModels[] = {
    "llama", "llama-tied", "llama-rope3", "llama-linear", "llama-yarn", "mistral-window", "qwen2", "qwen3", "gemma3"};

inline std::string golden_test_name(const testing::TestParamInfo<const char*>& instance) {
  std::string name = instance.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

/// Logits of all positions of 24 tokens.
inline std::vector<float> logits_of(const ModelWeights::Ptr& weights) {
  const auto pool = std::make_shared<ThreadPool>(2);
  CpuExecutor::Options options;
  options.compute = kernel::Compute::kF32;
  CpuExecutor executor(CpuModel::load(weights, {}, *pool).value(), pool, options);
  const std::int64_t vocab = weights->config().vocab_size;
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 24; ++i) ids.push_back(static_cast<std::int32_t>((i * 37 + 5) % vocab));
  std::vector<float> out;
  const auto sequence = executor.new_sequence();
  const BatchItem item{sequence.get(), ids, BatchItem::Logits::kAll};
  const Status done =
      executor.forward({&item, 1}, [&](std::size_t, std::int64_t, std::int64_t rows, const float* logits) {
        out.insert(out.end(), logits, logits + rows * vocab);
      });
  EXPECT_TRUE(done.ok());
  return out;
}

inline std::vector<float> random_scales(std::int64_t count, std::mt19937& random) {
  std::uniform_real_distribution<float> exponent(-2.0f, 2.0f);
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& scale : out) scale = std::exp(exponent(random));
  return out;
}

/// The largest difference, as a part of the largest logit.
inline float relative_difference(const std::vector<float>& logits, const std::vector<float>& expected) {
  EXPECT_EQ(logits.size(), expected.size());
  float largest = 0;
  float difference = 0;
  for (std::size_t i = 0; i < std::min(logits.size(), expected.size()); ++i) {
    largest = std::max(largest, std::fabs(expected[i]));
    difference = std::max(difference, std::fabs(expected[i] - logits[i]));
  }
  return difference / largest;
}

}  // namespace nibble
