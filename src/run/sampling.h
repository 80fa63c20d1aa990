// Choosing the next token from logits: the filters of llama.cpp's default chain, in its order, with a generator of our
// own, so that a seed gives the same tokens on every machine.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace nibble {

/// Names and defaults as llama.cpp's. In this order:
struct SamplingOptions {
  float repetition_penalty = 1.0f;  ///< 1: off. A token in the window: positive logit divided by it, else multiplied
  int repeat_last_n = 64;           ///< window in accepted tokens; 0: off, negative: all of them
  int top_k = 40;                   ///< keep the k largest; <= 0: off
  float top_p = 0.95f;              ///< keep the fewest largest whose probabilities reach p; >= 1: off
  float min_p = 0.05f;              ///< keep those of at least p times the largest probability; <= 0: off
  float temperature = 0.8f;         ///< divides the logits; <= 0: greedy
  std::uint64_t seed = 0;
};

/// xoshiro256** (Blackman and Vigna 2018), seeded by SplitMix64.
class SeededGenerator {
 public:
  explicit SeededGenerator(std::uint64_t seed);
  std::uint64_t next();
  /// Uniform in [0, 1), a multiple of 2^-53.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  std::array<std::uint64_t, 4> state_;
};

/// The sampler of one sequence. Copying it copies its state.
class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options);

  /// Notes a token of the sequence (of the prompt, or one sampled) for the repetition penalty.
  void accept(std::int32_t id);

  /// The next token's id; does not accept it. Of equal logits the lowest id counts as larger. A NaN counts as
  /// -infinity, which is never chosen while there is anything else; +infinity as the largest float. Draws one number
  /// from the generator unless greedy. logits [vocabulary], at least one.
  std::int32_t sample(std::span<const float> logits);

  const SamplingOptions& options() const { return options_; }

 private:
  struct Candidate {
    float logit;
    std::int32_t id;
  };
  static bool larger(const Candidate& a, const Candidate& b);
  void copy_logits(std::span<const float> logits);
  void penalize();
  void keep_largest(std::size_t k);
  void keep_probable();
  void keep_near_largest();
  const std::vector<float>& probabilities(float temperature);
  std::int32_t draw();

  SamplingOptions options_;
  SeededGenerator generator_;
  std::deque<std::int32_t> recent_;
  std::vector<float> logits_;
  std::vector<Candidate> candidates_;
  std::vector<float> scaled_;
  std::vector<float> probabilities_;
};

}  // namespace nibble
