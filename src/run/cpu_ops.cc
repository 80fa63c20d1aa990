// The operations. Buffers go back to a free list when their last handle does, so a step allocates almost nothing.
#include "run/cpu_ops.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "kernel/activation/activation.h"
#include "kernel/hadamard/hadamard.h"
#include "kernel/norm/norm.h"
#include "run/buffer_pool.h"
#include "run/weight_stream.h"

namespace nibble {

namespace {

/// A buffer of [tokens, width] float32 behind a handle.
class CpuValue final : public OpsValue {
 public:
  CpuValue(std::shared_ptr<BufferPool> pool, std::int64_t tokens, std::int64_t value_width)
      : pool_(std::move(pool)), tokens_(tokens), buffer_(pool_->take(static_cast<std::size_t>(tokens * value_width))) {
    width = value_width;
  }
  ~CpuValue() override { pool_->give_back(buffer_); }
  CpuValue(const CpuValue&) = delete;
  CpuValue& operator=(const CpuValue&) = delete;

  float* data() const { return buffer_.data; }
  std::int64_t tokens() const { return tokens_; }
  std::int64_t size() const { return tokens_ * width; }

 private:
  std::shared_ptr<BufferPool> pool_;
  std::int64_t tokens_;
  BufferPool::Buffer buffer_;
};

CpuValue& cpu(const Value& value) { return static_cast<CpuValue&>(*value); }

void add_bias(const std::vector<float>& bias, CpuValue& value) {
  if (bias.empty()) return;
  for (std::int64_t t = 0; t < value.tokens(); ++t)
    for (std::int64_t i = 0; i < value.width; ++i)
      value.data()[t * value.width + i] += bias[static_cast<std::size_t>(i)];
}

}  // namespace

std::span<const float> cpu_values(const Value& value) {
  return {cpu(value).data(), static_cast<std::size_t>(cpu(value).size())};
}

void CpuBatch::clear() {
  tokens.clear();
  positions.clear();
  sequences.clear();
  output_rows.clear();
}

void CpuBatch::append(std::span<const std::int32_t> new_tokens, std::int64_t first_position, const Sequence& sequence) {
  sequences.push_back({static_cast<std::int64_t>(tokens.size()), static_cast<std::int64_t>(new_tokens.size()),
                       first_position, sequence.blocks(), sequence.packed_blocks()});
  for (std::size_t t = 0; t < new_tokens.size(); ++t) {
    tokens.push_back(new_tokens[t]);
    positions.push_back(static_cast<std::int32_t>(first_position + static_cast<std::int64_t>(t)));
  }
}

CpuOps::CpuOps(const CpuWeights& weights, KvCache& cache, const CpuBatch& batch, kernel::Compute compute,
               ThreadPool& pool)
    : weights_(weights),
      cache_(cache),
      batch_(batch),
      compute_(compute),
      pool_(pool),
      buffers_(std::make_shared<BufferPool>()) {}

CpuOps::~CpuOps() = default;

Status CpuOps::take_status() { return std::exchange(status_, Status()); }

Value CpuOps::value_of(const float* numbers, std::int64_t tokens, std::int64_t width) {
  Value out = make(tokens, width);
  std::memcpy(cpu(out).data(), numbers, static_cast<std::size_t>(tokens * width) * sizeof(float));
  return out;
}

Value CpuOps::make(std::int64_t rows, std::int64_t width) const {
  return std::make_shared<CpuValue>(buffers_, rows, width);
}

Value CpuOps::copy(const Value& x) const {
  Value out = make(cpu(x).tokens(), x->width);
  std::memcpy(cpu(out).data(), cpu(x).data(), static_cast<std::size_t>(cpu(x).size()) * sizeof(float));
  return out;
}

Value CpuOps::embed(LinearId table, float scale) {
  (void)table;
  Value out = make(static_cast<std::int64_t>(batch_.tokens.size()), weights_.config().hidden_size);
  constexpr std::size_t kFewTokens = 4;  // take no longer than sharing them out
  std::mutex mutex;
  pool_.run(batch_.tokens.size(), kFewTokens, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t t = begin; t < end; ++t) {
      const Status row =
          weights_.embedding_row(batch_.tokens[t], cpu(out).data() + static_cast<std::int64_t>(t) * out->width);
      if (row.ok()) continue;
      const std::lock_guard lock(mutex);
      if (status_.ok()) status_ = row;
    }
  });
  if (scale != 1.0f) kernel::scale(cpu(out).data(), scale, cpu(out).size(), pool_);
  return out;
}

std::vector<Value> CpuOps::linear_group(const Value& x, std::span<const LinearId> linears) {
  const CpuValue& in = cpu(x);
  input_.set(in.data(), in.tokens(), in.width, in.width, compute_, pool_);
  std::vector<Value> out;
  matrices_.clear();
  outputs_.clear();
  strides_.clear();
  for (const LinearId id : linears) {
    const kernel::PackedMatrix& matrix = weights_.matrix(id);
    out.push_back(make(in.tokens(), matrix.rows()));
    matrices_.push_back(&matrix);
    outputs_.push_back(cpu(out.back()).data());
    strides_.push_back(matrix.rows());
  }
  if (WeightStream* stream = weights_.stream(); stream != nullptr) {
    for (std::size_t i = 0; i < linears.size(); ++i)
      stream->for_pieces(linears[i], [&](std::int64_t row_begin, std::int64_t row_end) {
        kernel::matmul_rows(*matrices_[i], input_, row_begin, row_end, outputs_[i], strides_[i], pool_);
      });
  } else {
    kernel::matmul_group(matrices_, input_, outputs_, strides_, pool_);
  }
  for (std::size_t i = 0; i < linears.size(); ++i) add_bias(weights_.bias(linears[i]), cpu(out[i]));
  return out;
}

Value CpuOps::rms_norm(const Value& x, VectorId weight, float eps, bool plus_one) {
  const CpuValue& in = cpu(x);
  const std::vector<float>& w = weights_.vector(weight);
  const auto n = static_cast<std::int64_t>(w.size());
  Value out = make(in.tokens(), in.width);
  kernel::rms_norm(in.data(), in.size() / n, n, n, w.data(), eps, plus_one, cpu(out).data(), n, pool_);
  return out;
}

Value CpuOps::rope(const Value& x, std::int64_t head_dim, int rope) {
  Value out = make(cpu(x).tokens(), x->width);
  const kernel::RopeTable& table = weights_.rope(rope);
  kernel::rope_rotate_half(cpu(x).data(), cpu(x).tokens(), static_cast<int>(x->width / head_dim),
                           static_cast<int>(head_dim), table.rotary_dim(), x->width, batch_.positions.data(), table,
                           cpu(out).data(), pool_);
  return out;
}

Value CpuOps::rotated(const Value& x) {
  Value out = copy(x);
  const std::int64_t dim = cache_.layout().head_dim;
  kernel::hadamard(cpu(out).data(), cpu(out).tokens(), out->width / dim, dim, out->width, pool_);
  return out;
}

Value CpuOps::attention(const Value& query, const Value& key, const Value& v, const AttentionSpec& spec) {
  const std::size_t offset = cache_.layer_offset(spec.layer);
  const bool packs = cache_.packed_layout() != nullptr;
  // A few dimensions of keys are much larger than the rest, and would take all codes of 32 for themselves.
  const Value q = packs ? rotated(query) : query;
  const Value k = packs ? rotated(key) : key;
  kernel::kv_store(cache_.layout(), cpu(k).data(), k->width, cpu(v).data(), v->width, batch_.sequences, offset, pool_);
  Value out = make(cpu(q).tokens(), q->width);
  kernel::AttentionArgs args;
  if (packs) {
    args.packed = cache_.packed_layout();
    args.packed_offset = cache_.packed_offset(spec.layer);
    kernel::kv_pack(cache_.layout(), offset, *args.packed, args.packed_offset, batch_.sequences, pool_);
  }
  args.layout = cache_.layout();
  args.q = cpu(q).data();
  args.ld_q = q->width;
  args.heads = static_cast<int>(spec.heads);
  args.scale = spec.scale;
  args.softcap = spec.softcap;
  args.window = spec.window;
  args.sequences = batch_.sequences;
  args.block_offset = offset;
  args.out = cpu(out).data();
  args.ld_out = out->width;
  kernel::attention(args, pool_);
  return out;
}

Value CpuOps::gated_activation(Activation activation, const Value& gate, const Value& up) {
  Value out = make(cpu(gate).tokens(), gate->width);
  kernel::gated_activation(activation, cpu(gate).data(), cpu(up).data(), cpu(gate).tokens(), gate->width, gate->width,
                           up->width, cpu(out).data(), out->width, pool_);
  return out;
}

Value CpuOps::add(const Value& a, const Value& b) {
  Value out = make(cpu(a).tokens(), a->width);
  kernel::add(cpu(a).data(), cpu(b).data(), cpu(a).size(), cpu(out).data(), pool_);
  return out;
}

Value CpuOps::output_rows(const Value& x) {
  const auto rows = static_cast<std::int64_t>(batch_.output_rows.size());
  Value out = make(rows, x->width);
  for (std::int64_t r = 0; r < rows; ++r)
    std::memcpy(cpu(out).data() + r * x->width,
                cpu(x).data() + batch_.output_rows[static_cast<std::size_t>(r)] * x->width,
                static_cast<std::size_t>(x->width) * sizeof(float));
  return out;
}

Value CpuOps::softcap(const Value& x, float c) {
  Value out = copy(x);
  kernel::softcap(cpu(out).data(), c, cpu(out).size(), pool_);
  return out;
}

}  // namespace nibble
