// Sampling. Probabilities come from the softmax kernel, whose bits are the same everywhere.
#include "run/sampling.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "base/check.h"
#include "kernel/softmax/softmax.h"

namespace nibble {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

/// Logits whose largest is found at once: most blocks hold nothing that is looked for, and are passed over.
constexpr auto kBlock = static_cast<std::size_t>(kernel::kMaximaBlock);

/// Candidates first tried for top_p when top_k is off: sorting a whole vocabulary is rarely needed.
constexpr std::size_t kFirstTry = 512;

}  // namespace

float bounded_logit(float x) { return std::isnan(x) ? kNever : std::min(x, std::numeric_limits<float>::max()); }

SeededGenerator::SeededGenerator(std::uint64_t seed) {
  for (std::uint64_t& word : state_) {
    seed += 0x9E3779B97F4A7C15u;
    std::uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    word = z ^ (z >> 31);
  }
}

std::uint64_t SeededGenerator::next() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

Sampler::Sampler(const Sampling& options) : options_(options), generator_(options.seed) {}

void Sampler::remember(std::int32_t id) {
  if (options_.repeat_last_n == 0 || options_.repetition_penalty == 1.0f) return;
  recent_.push_back(id);
  if (options_.repeat_last_n > 0 && recent_.size() > static_cast<std::size_t>(options_.repeat_last_n))
    recent_.pop_front();
}

void Sampler::see_prompt(std::span<const std::int32_t> ids) {
  for (const std::int32_t id : ids) remember(id);
}

void Sampler::accept(std::int32_t id) {
  remember(id);
  if (options_.frequency_penalty != 0.0f || options_.presence_penalty != 0.0f) ++answer_counts_[id];
}

bool Sampler::larger(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

bool Sampler::changes_logits(const TokenLimits& limits) const {
  const bool penalizes = (options_.repetition_penalty != 1.0f && !recent_.empty()) || !answer_counts_.empty();
  return penalizes || !options_.logit_bias.empty() || !limits.allowed.empty() || !limits.avoided.empty();
}

void Sampler::copy_logits(std::span<const float> logits) {
  copy_.resize(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    copy_[i] = bounded_logit(logits[i]);
  }
}

float* Sampler::logit_of(std::int32_t id) {
  return id >= 0 && static_cast<std::size_t>(id) < copy_.size() ? &copy_[static_cast<std::size_t>(id)] : nullptr;
}

void Sampler::add_biases() {
  for (const auto& [id, bias] : options_.logit_bias)
    if (float* x = logit_of(id)) *x = bounded_logit(*x + bias);
}

/// Every token of the window once, however often it was seen.
void Sampler::penalize() {
  const float penalty = options_.repetition_penalty;
  if (penalty == 1.0f || recent_.empty()) return;
  std::vector<std::int32_t> ids(recent_.begin(), recent_.end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  for (const std::int32_t id : ids)
    if (float* x = logit_of(id)) *x = bounded_logit(*x <= 0.0f ? *x * penalty : *x / penalty);
}

void Sampler::penalize_answer() {
  for (const auto& [id, count] : answer_counts_)
    if (float* x = logit_of(id))
      *x = bounded_logit(*x - (static_cast<float>(count) * options_.frequency_penalty + options_.presence_penalty));
}

void Sampler::forbid(std::span<const std::uint64_t> allowed) {
  for (std::size_t word = 0; word * 64 < copy_.size(); ++word) {
    const std::uint64_t bits = word < allowed.size() ? allowed[word] : 0;
    if (bits == ~std::uint64_t{0}) continue;
    const std::size_t end = std::min(word * 64 + 64, copy_.size());
    for (std::size_t i = word * 64; i < end; ++i)
      if ((bits >> (i % 64) & 1) == 0) copy_[i] = kNever;
  }
}

/// Nothing, where that would leave nothing.
void Sampler::avoid(std::span<const std::int32_t> ids) {
  std::vector<float> before;
  for (const std::int32_t id : ids) {
    float* x = logit_of(id);
    before.push_back(x != nullptr ? std::exchange(*x, kNever) : kNever);
  }
  if (ids.empty() || *std::max_element(copy_.begin(), copy_.end()) != kNever) return;
  for (std::size_t i = ids.size(); i-- > 0;)
    if (float* x = logit_of(ids[i])) *x = before[i];
}

bool Sampler::find_maxima(std::span<const float> logits) {
  logits_ = logits;
  maxima_.resize((logits.size() + kBlock - 1) / kBlock);
  return kernel::best_softmax().maxima(logits.data(), static_cast<std::int64_t>(logits.size()), maxima_.data());
}

std::size_t Sampler::largest_logit() const {
  const auto block = static_cast<std::size_t>(std::max_element(maxima_.begin(), maxima_.end()) - maxima_.begin());
  std::size_t i = block * kBlock;
  while (logits_[i] != maxima_[block]) ++i;
  return i;
}

/// The k largest of the logits become the candidates, in descending order. One pass over the blocks: what beats the
/// k-th best so far is buffered, and a full buffer is cut to its best k.
void Sampler::keep_largest(std::size_t k) {
  candidates_.clear();
  k = std::min(k, logits_.size());
  const std::size_t capacity = std::max<std::size_t>(4 * k, 256);
  float threshold = kNever;
  for (std::size_t b = 0; b < maxima_.size(); ++b) {
    if (!(maxima_[b] > threshold)) continue;
    const std::size_t end = std::min((b + 1) * kBlock, logits_.size());
    for (std::size_t i = b * kBlock; i < end; ++i) {
      if (!(logits_[i] > threshold)) continue;
      candidates_.push_back({logits_[i], static_cast<std::int32_t>(i)});
      if (candidates_.size() < capacity) continue;
      const auto kth = candidates_.begin() + static_cast<std::ptrdiff_t>(k) - 1;
      std::nth_element(candidates_.begin(), kth, candidates_.end(), larger);
      candidates_.resize(k);
      threshold = candidates_.back().logit;
    }
  }
  if (candidates_.size() > k) {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(k), candidates_.end(),
                     larger);
    candidates_.resize(k);
  }
  std::sort(candidates_.begin(), candidates_.end(), larger);
}

const std::vector<float>& Sampler::probabilities(float temperature) {
  scaled_.resize(candidates_.size());
  probabilities_.resize(candidates_.size());
  float largest = kNever;
  for (const Candidate& c : candidates_) largest = std::max(largest, c.logit);
  // Differences first: a tiny temperature must not make two infinities of different logits.
  for (std::size_t i = 0; i < scaled_.size(); ++i) scaled_[i] = (candidates_[i].logit - largest) / temperature;
  kernel::best_softmax().row(scaled_.data(), static_cast<std::int64_t>(scaled_.size()), probabilities_.data());
  return probabilities_;
}

/// top_p. With top_k off the candidates are still all tokens, unsorted.
void Sampler::keep_probable() {
  const auto reach = [this](const std::vector<float>& p, std::size_t count) {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i)
      if ((sum += p[i]) >= options_.top_p) return i + 1;
    return count + 1;
  };
  const bool sorted = options_.top_k > 0;
  if (sorted) {
    const std::size_t kept = reach(probabilities(1.0f), candidates_.size());
    candidates_.resize(std::min(kept, candidates_.size()));
    return;
  }
  const std::vector<float> by_id = probabilities(1.0f);
  std::vector<float> descending;
  for (std::size_t k = kFirstTry;; k *= 8) {
    keep_largest(k);
    descending.clear();
    for (const Candidate& c : candidates_) descending.push_back(by_id[static_cast<std::size_t>(c.id)]);
    const std::size_t kept = reach(descending, candidates_.size());
    if (kept > candidates_.size() && k < logits_.size()) continue;
    candidates_.resize(std::min(kept, candidates_.size()));
    return;
  }
}

/// min_p.
void Sampler::keep_near_largest() {
  const std::vector<float>& p = probabilities(1.0f);
  const float least = options_.min_p * *std::max_element(p.begin(), p.end());
  std::size_t kept = 0;
  for (std::size_t i = 0; i < candidates_.size(); ++i)
    if (p[i] >= least) candidates_[kept++] = candidates_[i];
  candidates_.resize(std::max<std::size_t>(kept, 1));
}

std::int32_t Sampler::draw() {
  const std::vector<float>& p = probabilities(options_.temperature);
  double total = 0;
  for (const float x : p) total += x;
  const double target = generator_.uniform() * total;
  double sum = 0;
  std::size_t last = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0.0f) continue;
    last = i;
    if ((sum += p[i]) > target) break;
  }
  return candidates_[last].id;
}

std::int32_t Sampler::lowest_allowed(std::span<const std::uint64_t> allowed) const {
  for (std::size_t word = 0; word < allowed.size(); ++word)
    if (allowed[word] != 0) {
      const std::size_t id = 64 * word + static_cast<std::size_t>(std::countr_zero(allowed[word]));
      return id < logits_.size() ? static_cast<std::int32_t>(id) : -1;
    }
  return -1;
}

std::int32_t Sampler::sample(std::span<const float> logits, const TokenLimits& limits) {
  NIBBLE_CHECK(!logits.empty());
  const bool limited = !limits.allowed.empty();
  if (changes_logits(limits) || !find_maxima(logits)) {
    copy_logits(logits);
    add_biases();
    penalize();
    penalize_answer();
    if (limited) forbid(limits.allowed);
    avoid(limits.avoided);
    find_maxima(copy_);
  }
  auto best_id = static_cast<std::int32_t>(largest_logit());
  const bool nothing = logits_[static_cast<std::size_t>(best_id)] == kNever;
  if (limited && nothing) best_id = lowest_allowed(limits.allowed);
  if (!(options_.temperature > 0.0f)) return best_id;
  if (nothing) {
    generator_.next();
    return best_id;
  }
  if (options_.top_k > 0) {
    keep_largest(static_cast<std::size_t>(options_.top_k));
  } else {
    candidates_.resize(logits_.size());
    for (std::size_t i = 0; i < logits_.size(); ++i) candidates_[i] = {logits_[i], static_cast<std::int32_t>(i)};
  }
  if (options_.top_p < 1.0f) keep_probable();
  if (options_.min_p > 0.0f) keep_near_largest();
  return draw();
}

}  // namespace nibble
