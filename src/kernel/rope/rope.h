// Rotary position embedding: inverse frequencies of every published scaling, a table of cosines and sines, and the
// rotation of query and key heads.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "kernel/kernel_info.h"

namespace nibble::kernel {

/// "default", "linear", "dynamic", "yarn", "longrope" (also "su") and "llama3" of a model's rope_scaling.
enum class RopeScaling : std::uint8_t { kNone, kLinear, kDynamic, kYarn, kLongRope, kLlama3 };

/// The published parameters, under their names in config.json. Fields that a scaling does not use are ignored.
struct RopeConfig {
  double rope_theta = 10000.0;
  int rotary_dim = 0;  ///< head_dim * partial_rotary_factor; even
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;                       ///< yarn, longrope: 0 stands for max / original_max_position_embeddings
  std::int64_t max_position_embeddings = 0;  ///< dynamic; yarn and longrope without a factor
  std::int64_t original_max_position_embeddings = 0;  ///< yarn, longrope, llama3
  std::optional<double> attention_factor;             ///< yarn, longrope: instead of the default
  double beta_fast = 32.0;                            ///< yarn
  double beta_slow = 1.0;                             ///< yarn
  double mscale = 0.0;                                ///< yarn: used with mscale_all_dim when both are not 0
  double mscale_all_dim = 0.0;
  bool truncate = true;             ///< yarn: whole dimensions as the ramp's ends
  double low_freq_factor = 1.0;     ///< llama3
  double high_freq_factor = 4.0;    ///< llama3
  std::vector<float> short_factor;  ///< longrope: rotary_dim / 2 each
  std::vector<float> long_factor;
  std::vector<float> freq_factors;  ///< GGUF rope_freqs.weight: divide the result; empty or rotary_dim / 2 values
};

struct RopeFrequencies {
  std::vector<float> inv_freq;  ///< rotary_dim / 2
  float attention_factor = 1.0f;
};

/// As transformers' modeling_rope_utils.py computes them (float32 steps in its order; its powers may differ by an ulp).
///
/// sequence_length  what the table must serve, the context size: dynamic scales by it beyond max_position_embeddings,
///                  longrope takes the long factors beyond original_max_position_embeddings. 0: the original length.
/// Preconditions (checked): rotary_dim even and >= 2; factor lists of rotary_dim / 2 values; the lengths a scaling uses
/// are positive.
RopeFrequencies rope_frequencies(const RopeConfig& config, std::int64_t sequence_length);

/// Cosines and sines by position, computed a page of positions at a time when first asked for. Safe for many threads.
///
/// The angle is the float32 product inv_freq * position, as Hugging Face computes it; its cosine and sine are computed
/// in double, rounded to float32, then multiplied by the attention factor.
class RopeTable {
 public:
  /// Serves positions 0 .. max_positions - 1. Memory: rotary_dim * 4 bytes per position of the pages used.
  RopeTable(RopeFrequencies frequencies, std::int64_t max_positions);

  int rotary_dim() const noexcept { return 2 * static_cast<int>(frequencies_.inv_freq.size()); }
  std::int64_t max_positions() const noexcept { return max_positions_; }
  const RopeFrequencies& frequencies() const noexcept { return frequencies_; }

  /// rotary_dim / 2 cosines, then as many sines. 0 <= position < max_positions.
  const float* row(std::int64_t position) const;

 private:
  static constexpr std::int64_t kPagePositions = 256;
  struct Page {
    std::once_flag once;
    std::unique_ptr<float[]> values;
  };
  RopeFrequencies frequencies_;
  std::int64_t max_positions_;
  std::unique_ptr<Page[]> pages_;
};

/// For every token t and head h, with (a, b) = (x[m], x[m + R/2]), R = rotary_dim, m < R/2:
///   out[m] = a cos - b sin        out[m + R/2] = b cos + a sin        at position positions[t]
///
/// x, out     [tokens, heads, head_dim] float32, token t at x + t * ld, its heads adjacent; out may be x
/// rotary_dim equals table.rotary_dim() and is at most head_dim; the dimensions after it are those of x
/// positions  [tokens], in the table's range
/// Products and their sum are rounded separately, as in Hugging Face. Equal bits everywhere.
void rope_rotate_half(const float* x, std::int64_t tokens, int heads, int head_dim, int rotary_dim, std::int64_t ld,
                      const std::int32_t* positions, const RopeTable& table, float* out, ThreadPool& pool);

/// One token: `heads` heads, head_dim apart, `half` = R/2 pairs each.
struct RopeKernel {
  KernelInfo info;
  void (*rotate)(float* x, int heads, int head_dim, int half, const float* cosines, const float* sines);
};

/// All kernels in this build, slowest first.
std::span<const RopeKernel* const> rope_kernels();

}  // namespace nibble::kernel
