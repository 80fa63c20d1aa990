// One task is one window and kv head; it goes through the query heads that share it, some queries at a time.
#include "train/window_attention.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "kernel/activation/activation.h"
#include "kernel/gemm/gemm.h"
#include "kernel/gradient/gradient.h"
#include "kernel/softmax/softmax.h"

namespace nibble {
namespace {

using kernel::GemmInput;

constexpr std::int64_t kQueries = 128;  ///< whose scores are held at once

class HeadTask {
 public:
  explicit HeadTask(const AttentionInputs& in)
      : in_(in), dim_(in.spec.head_dim), q_width_(in.spec.heads * dim_), kv_width_(in.spec.kv_heads * dim_) {
    keys_turned_.resize(static_cast<std::size_t>(dim_ * in.window));
    weights_.resize(static_cast<std::size_t>(kQueries * in.window));
  }

  void forward(std::int64_t window, std::int64_t kv_head, float* out) {
    begin(window, kv_head);
    for_blocks([&](std::int64_t q_offset) {
      weigh();
      kernel::gemm_alone({GemmInput::rows(weights_.data(), in_.window),
                          GemmInput::rows(v() + first_key_ * kv_width_, kv_width_), queries_, dim_, keys_,
                          out + q_offset, q_width_});
    });
  }

  void backward(std::int64_t window, std::int64_t kv_head, const float* d_out, float* d_q, float* d_k, float* d_v) {
    begin(window, kv_head);
    turn(v(), values_turned_);
    d_weights_.resize(weights_.size());
    for (float* d : {d_k, d_v})
      for (std::int64_t t = 0; t < in_.window; ++t) std::fill_n(d + kv_offset_ + t * kv_width_, dim_, 0.0f);
    for_blocks([&](std::int64_t q_offset) {
      const std::int64_t keys_offset = kv_offset_ + first_key_ * kv_width_;
      const GemmInput block_d_out = GemmInput::rows(d_out + q_offset, q_width_);
      weigh();
      kernel::gemm_alone({GemmInput::transposed(weights_.data(), in_.window), block_d_out, keys_, dim_, queries_,
                          d_v + keys_offset, kv_width_, true});
      kernel::gemm_alone({block_d_out, GemmInput::rows(values_turned_.data() + first_key_, in_.window), queries_, keys_,
                          dim_, d_weights_.data(), in_.window});
      gradient_of_scores();
      kernel::gemm_alone({GemmInput::rows(d_weights_.data(), in_.window),
                          GemmInput::rows(in_.k + keys_offset, kv_width_), queries_, dim_, keys_, d_q + q_offset,
                          q_width_});
      kernel::gemm_alone({GemmInput::transposed(d_weights_.data(), in_.window),
                          GemmInput::rows(in_.q + q_offset, q_width_), keys_, dim_, queries_, d_k + keys_offset,
                          kv_width_, true});
    });
  }

 private:
  const float* v() const { return in_.v + kv_offset_; }

  void begin(std::int64_t window, std::int64_t kv_head) {
    first_row_ = window * in_.window;
    kv_head_ = kv_head;
    kv_offset_ = first_row_ * kv_width_ + kv_head * dim_;
    turn(in_.k + kv_offset_, keys_turned_);
  }

  /// out [dim, window]: turned once, for all products that read it.
  void turn(const float* from, std::vector<float>& out) const {
    out.resize(static_cast<std::size_t>(dim_ * in_.window));
    for (std::int64_t t = 0; t < in_.window; ++t)
      for (std::int64_t d = 0; d < dim_; ++d)
        out[static_cast<std::size_t>(d * in_.window + t)] = from[t * kv_width_ + d];
  }

  /// Calls body(offset of the block's first query in q) for every block of queries of the heads that share the kv head.
  template <typename Body>
  void for_blocks(Body&& body) {
    const std::int64_t shared = in_.spec.heads / in_.spec.kv_heads;
    for (std::int64_t head = kv_head_ * shared; head < (kv_head_ + 1) * shared; ++head)
      for (first_query_ = 0; first_query_ < in_.window; first_query_ += kQueries) {
        queries_ = std::min(kQueries, in_.window - first_query_);
        first_key_ = first_visible(first_query_);
        keys_ = first_query_ + queries_ - first_key_;
        q_offset_ = (first_row_ + first_query_) * q_width_ + head * dim_;
        body(q_offset_);
      }
  }

  std::int64_t first_visible(std::int64_t query) const {
    return in_.spec.window > 0 ? std::max<std::int64_t>(0, query - in_.spec.window + 1) : 0;
  }

  /// Row i of a buffer of scores: its visible keys are [begin, end), counted from the block's first.
  struct Visible {
    std::int64_t row;
    std::int64_t begin;
    std::int64_t end;
  };
  Visible visible(std::int64_t i) const {
    return {i * in_.window, first_visible(first_query_ + i) - first_key_, first_query_ + i + 1 - first_key_};
  }

  /// weights_ = softmax of the block's scores, 0 where a key is not visible; keeps the capped scores where there is a
  /// cap.
  void weigh() {
    kernel::gemm_alone({GemmInput::rows(in_.q + q_offset_, q_width_),
                        GemmInput::rows(keys_turned_.data() + first_key_, in_.window), queries_, keys_, dim_,
                        weights_.data(), in_.window});
    if (in_.spec.softcap > 0) capped_.resize(weights_.size());
    for (std::int64_t i = 0; i < queries_; ++i) {
      const auto [row, begin, end] = visible(i);
      float* scores = weights_.data() + row;
      activation_.scale(scores + begin, in_.spec.scale, end - begin);
      if (in_.spec.softcap > 0) {
        activation_.softcap(scores + begin, in_.spec.softcap, end - begin);
        std::copy(scores + begin, scores + end, capped_.data() + row + begin);
      }
      softmax_.row(scores + begin, end - begin, scores + begin);
      std::fill(scores, scores + begin, 0.0f);
      std::fill(scores + end, scores + keys_, 0.0f);
    }
  }

  /// d_weights_, the gradient by the weights, becomes that by the products of queries and keys.
  void gradient_of_scores() {
    const bool capped = in_.spec.softcap > 0;
    for (std::int64_t i = 0; i < queries_; ++i) {
      const auto [row, begin, end] = visible(i);
      float* d = d_weights_.data() + row;
      gradient_.softmax(weights_.data() + row + begin, d + begin, end - begin, in_.spec.scale, d + begin);
      if (capped) gradient_.softcap(capped_.data() + row + begin, d + begin, end - begin, in_.spec.softcap, d + begin);
      std::fill(d, d + begin, 0.0f);
      std::fill(d + end, d + keys_, 0.0f);
    }
  }

  const AttentionInputs& in_;
  const kernel::ActivationKernel& activation_ = kernel::best_kernel(kernel::activation_kernels(), cpu_features());
  const kernel::SoftmaxKernel& softmax_ = kernel::best_softmax();
  const kernel::GradientKernel& gradient_ = kernel::gradient_kernel();
  std::int64_t dim_;
  std::int64_t q_width_;
  std::int64_t kv_width_;
  std::vector<float> keys_turned_;    ///< [dim, window]
  std::vector<float> values_turned_;  ///< [dim, window]
  std::vector<float> weights_;        ///< [kQueries, window], columns from first_key_ on
  std::vector<float> capped_;
  std::vector<float> d_weights_;
  // The task and block at hand.
  std::int64_t first_row_ = 0;
  std::int64_t kv_head_ = 0;
  std::int64_t kv_offset_ = 0;
  std::int64_t q_offset_ = 0;
  std::int64_t first_query_ = 0;
  std::int64_t queries_ = 0;
  std::int64_t first_key_ = 0;
  std::int64_t keys_ = 0;
};

template <typename Body>
void for_heads(const AttentionInputs& in, ThreadPool& pool, Body&& body) {
  NIBBLE_CHECK(in.spec.kv_heads >= 1 && in.spec.heads % in.spec.kv_heads == 0 && in.spec.head_dim >= 1);
  pool.run(static_cast<std::size_t>(in.windows * in.spec.kv_heads), 1, [&](std::size_t begin, std::size_t end, int) {
    HeadTask task(in);
    for (auto i = static_cast<std::int64_t>(begin); i < static_cast<std::int64_t>(end); ++i)
      body(task, i / in.spec.kv_heads, i % in.spec.kv_heads);
  });
}

}  // namespace

void window_attention(const AttentionInputs& in, float* out, ThreadPool& pool) {
  for_heads(in, pool,
            [&](HeadTask& task, std::int64_t window, std::int64_t kv_head) { task.forward(window, kv_head, out); });
}

void window_attention_gradient(const AttentionInputs& in, const float* d_out, float* d_q, float* d_k, float* d_v,
                               ThreadPool& pool) {
  for_heads(in, pool, [&](HeadTask& task, std::int64_t window, std::int64_t kv_head) {
    task.backward(window, kv_head, d_out, d_q, d_k, d_v);
  });
}

}  // namespace nibble
