// Choosing the next token from logits: OpenAI's biases and penalties, and the filters of llama.cpp's default chain, in
// its order, with a generator of our own, so that a seed gives the same tokens on every machine.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <vector>

#include "nibble/model.h"

namespace nibble {

/// What the next token may not be, besides what sampling filters out.
struct TokenLimits {
  /// Bits of ids as in TokenConstraint::allowed(). Empty: all may be.
  std::span<const std::uint64_t> allowed;
  /// Not chosen while anything else may be.
  std::span<const std::int32_t> avoided;
};

/// A logit as it counts: NaN as -infinity; never above the largest float, so that differences of logits are numbers.
float bounded_logit(float x);

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
  explicit Sampler(const Sampling& options);

  /// Notes the prompt's tokens for the repetition penalty.
  void see_prompt(std::span<const std::int32_t> ids);
  /// Notes a token of the answer for all penalties.
  void accept(std::int32_t id);

  /// The next token's id; does not accept it. Of equal logits the lowest id counts as larger. A NaN counts as
  /// -infinity, which is never chosen while there is anything else; +infinity as the largest float. Draws one number
  /// from the generator unless greedy. logits [vocabulary], at least one. -1 when no token is allowed.
  std::int32_t sample(std::span<const float> logits, const TokenLimits& limits = {});

  const Sampling& options() const { return options_; }

 private:
  struct Candidate {
    float logit;
    std::int32_t id;
  };
  static bool larger(const Candidate& a, const Candidate& b);
  /// Null for an id outside the vocabulary.
  float* logit_of(std::int32_t id);
  std::int32_t lowest_allowed(std::span<const std::uint64_t> allowed) const;
  /// Whether the options or `limits` change any.
  bool changes_logits(const TokenLimits& limits) const;
  void copy_logits(std::span<const float> logits);
  void add_biases();
  void penalize();
  void penalize_answer();
  void forbid(std::span<const std::uint64_t> allowed);
  void avoid(std::span<const std::int32_t> ids);
  void remember(std::int32_t id);
  /// Takes the logits as they are, and finds the largest of every block; false where a NaN or infinity is among them.
  bool find_maxima(std::span<const float> logits);
  /// The first of the largest.
  std::size_t largest_logit() const;
  void keep_largest(std::size_t k);
  void keep_probable();
  void keep_near_largest();
  const std::vector<float>& probabilities(float temperature);
  std::int32_t draw();

  Sampling options_;
  SeededGenerator generator_;
  std::deque<std::int32_t> recent_;
  std::map<std::int32_t, int> answer_counts_;  ///< of the answer's tokens; only where a penalty needs them
  std::span<const float> logits_;              ///< while sample() runs
  std::vector<float> copy_;                    ///< of logits, where the model's own are not taken as they are
  std::vector<float> maxima_;
  std::vector<Candidate> candidates_;
  std::vector<float> scaled_;
  std::vector<float> probabilities_;
};

}  // namespace nibble
