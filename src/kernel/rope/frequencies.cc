// Inverse frequencies of RoPE. Every scaling is in transformers' modeling_rope_utils.py (its function named at each
// one); what it computes in Python floats is double here, what it computes in float32 tensors is float.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"
#include "kernel/rope/rope.h"
#include "kernel/rope/yarn.h"

namespace nibble::kernel {
namespace {

/// theta^(2m / R) in float32, m < R/2.
std::vector<float> wavelength_powers(double theta, int rotary_dim) {
  std::vector<float> powers(static_cast<std::size_t>(rotary_dim / 2));
  for (std::size_t m = 0; m < powers.size(); ++m) {
    const float exponent = static_cast<float>(2 * m) / static_cast<float>(rotary_dim);
    powers[m] = static_cast<float>(std::pow(static_cast<double>(static_cast<float>(theta)), exponent));
  }
  return powers;
}

std::vector<float> plain(double theta, int rotary_dim) {
  std::vector<float> inv_freq = wavelength_powers(theta, rotary_dim);
  for (float& f : inv_freq) f = 1.0f / f;
  return inv_freq;
}

/// _compute_dynamic_ntk_parameters
std::vector<float> dynamic(const RopeConfig& c, std::int64_t sequence_length) {
  NIBBLE_CHECK(c.max_position_embeddings > 0 && c.rotary_dim > 2);
  const auto trained = static_cast<double>(c.max_position_embeddings);
  const auto length = static_cast<double>(std::max(sequence_length, c.max_position_embeddings));
  const double dim = c.rotary_dim;
  const double base = c.rope_theta * std::pow(c.factor * length / trained - (c.factor - 1.0), dim / (dim - 2.0));
  return plain(base, c.rotary_dim);
}

/// _compute_llama3_parameters
std::vector<float> llama3(const RopeConfig& c) {
  NIBBLE_CHECK(c.original_max_position_embeddings > 0 && c.high_freq_factor != c.low_freq_factor);
  const auto original = static_cast<double>(c.original_max_position_embeddings);
  const auto factor = static_cast<float>(c.factor);
  const auto low_wavelength = static_cast<float>(original / c.low_freq_factor);
  const auto high_wavelength = static_cast<float>(original / c.high_freq_factor);
  std::vector<float> inv_freq = plain(c.rope_theta, c.rotary_dim);
  for (float& f : inv_freq) {
    const float wavelength = static_cast<float>(2.0 * std::numbers::pi) / f;
    if (wavelength > low_wavelength) {
      f = f / factor;
    } else if (!(wavelength < high_wavelength)) {
      const float smooth = (static_cast<float>(original) / wavelength - static_cast<float>(c.low_freq_factor)) /
                           static_cast<float>(c.high_freq_factor - c.low_freq_factor);
      f = (1.0f - smooth) * f / factor + smooth * f;
    }
  }
  return inv_freq;
}

/// The factor given, or else the ratio of the two lengths.
double context_factor(const RopeConfig& c) {
  NIBBLE_CHECK(c.original_max_position_embeddings > 0);
  if (c.factor > 0.0) return c.factor;
  return static_cast<double>(c.max_position_embeddings) / static_cast<double>(c.original_max_position_embeddings);
}

/// _compute_yarn_parameters
RopeFrequencies yarn(const RopeConfig& c) {
  const double factor = context_factor(c);
  const double dim = c.rotary_dim;
  const auto original = static_cast<double>(c.original_max_position_embeddings);
  const auto correction_dim = [&](double rotations) {
    return dim * std::log(original / (rotations * 2.0 * std::numbers::pi)) / (2.0 * std::log(c.rope_theta));
  };
  double low = correction_dim(c.beta_fast);
  double high = correction_dim(c.beta_slow);
  if (c.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;

  RopeFrequencies result;
  result.inv_freq = wavelength_powers(c.rope_theta, c.rotary_dim);
  for (std::size_t m = 0; m < result.inv_freq.size(); ++m) {
    const float power = result.inv_freq[m];
    const float ramp =
        std::clamp((static_cast<float>(m) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f, 1.0f);
    const float kept = 1.0f - ramp;
    const float interpolated = 1.0f / (static_cast<float>(factor) * power);
    result.inv_freq[m] = interpolated * (1.0f - kept) + (1.0f / power) * kept;
  }
  if (c.attention_factor)
    result.attention_factor = static_cast<float>(*c.attention_factor);
  else if (c.mscale != 0.0 && c.mscale_all_dim != 0.0)
    result.attention_factor =
        static_cast<float>(yarn_attention_factor(factor, c.mscale) / yarn_attention_factor(factor, c.mscale_all_dim));
  else
    result.attention_factor = static_cast<float>(yarn_attention_factor(factor));
  return result;
}

/// _compute_longrope_parameters
RopeFrequencies longrope(const RopeConfig& c, std::int64_t sequence_length) {
  const double factor = context_factor(c);
  const std::vector<float>& divisors =
      sequence_length > c.original_max_position_embeddings ? c.long_factor : c.short_factor;
  RopeFrequencies result;
  result.inv_freq = wavelength_powers(c.rope_theta, c.rotary_dim);
  NIBBLE_CHECK(divisors.size() == result.inv_freq.size());
  for (std::size_t m = 0; m < divisors.size(); ++m) result.inv_freq[m] = 1.0f / (divisors[m] * result.inv_freq[m]);
  if (c.attention_factor)
    result.attention_factor = static_cast<float>(*c.attention_factor);
  else if (factor > 1.0)
    result.attention_factor = static_cast<float>(
        std::sqrt(1.0 + std::log(factor) / std::log(static_cast<double>(c.original_max_position_embeddings))));
  return result;
}

RopeFrequencies scaled(const RopeConfig& c, std::int64_t sequence_length) {
  switch (c.scaling) {
    case RopeScaling::kNone:
      return {plain(c.rope_theta, c.rotary_dim), 1.0f};
    case RopeScaling::kLinear: {
      RopeFrequencies result{plain(c.rope_theta, c.rotary_dim), 1.0f};
      for (float& f : result.inv_freq) f = f / static_cast<float>(c.factor);
      return result;
    }
    case RopeScaling::kDynamic:
      return {dynamic(c, sequence_length), 1.0f};
    case RopeScaling::kYarn:
      return yarn(c);
    case RopeScaling::kLongRope:
      return longrope(c, sequence_length);
    case RopeScaling::kLlama3:
      return {llama3(c), 1.0f};
  }
  return {};
}

}  // namespace

RopeFrequencies rope_frequencies(const RopeConfig& config, std::int64_t sequence_length) {
  NIBBLE_CHECK(config.rotary_dim >= 2 && config.rotary_dim % 2 == 0);
  RopeFrequencies result = scaled(config, sequence_length);
  if (!config.freq_factors.empty()) {
    NIBBLE_CHECK(config.freq_factors.size() == result.inv_freq.size());
    for (std::size_t m = 0; m < result.inv_freq.size(); ++m) result.inv_freq[m] /= config.freq_factors[m];
  }
  return result;
}

}  // namespace nibble::kernel
