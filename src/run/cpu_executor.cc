// Ops on the CPU kernels. Buffers go back to a free list when their last handle does, so a step allocates almost
// nothing.
#include "run/cpu_executor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "base/check.h"
#include "kernel/activation/activation.h"
#include "kernel/attention/attention.h"
#include "kernel/norm/norm.h"
#include "kernel/rope/rope.h"
#include "model/decoder.h"

namespace nibble {
namespace {

/// Floats aligned for vector loads, reused by size.
class BufferPool {
 public:
  struct Buffer {
    float* data = nullptr;
    std::size_t capacity = 0;
  };

  ~BufferPool() {
    for (const Buffer& buffer : free_) std::free(buffer.data);
  }

  Buffer take(std::size_t count) {
    // The smallest that fits but does not waste more than it holds.
    std::size_t best = free_.size();
    for (std::size_t i = 0; i < free_.size(); ++i)
      if (free_[i].capacity >= count && free_[i].capacity <= 2 * count + 4096 &&
          (best == free_.size() || free_[i].capacity < free_[best].capacity))
        best = i;
    if (best < free_.size()) {
      const Buffer buffer = free_[best];
      free_[best] = free_.back();
      free_.pop_back();
      return buffer;
    }
    const std::size_t bytes = (count * sizeof(float) + 127) / 64 * 64;
    auto* data = static_cast<float*>(std::aligned_alloc(64, bytes));
    if (data == nullptr) throw std::bad_alloc();
    return {data, count};
  }
  void give_back(Buffer buffer) {
    if (free_.size() >= 64) {
      std::free(free_.front().data);
      free_.erase(free_.begin());
    }
    free_.push_back(buffer);
  }

 private:
  std::vector<Buffer> free_;
};

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

constexpr std::int64_t kHeadRows = 64;  ///< logits are computed for this many rows at a time

}  // namespace

std::span<const float> cpu_values(const Value& value) {
  return {cpu(value).data(), static_cast<std::size_t>(cpu(value).size())};
}

class CpuExecutor::OpsOnBatch final : public Ops {
 public:
  explicit OpsOnBatch(CpuExecutor& executor) : executor_(executor), model_(*executor.model_), pool_(*executor.pool_) {}

  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> positions;
  std::vector<kernel::KvSequence> sequences;
  std::vector<std::int64_t> output_row_numbers;  ///< rows of the batch whose logits are wanted
  Status status;                                 ///< the first error of an operation that can fail

  Value embed(LinearId table, float scale) override {
    (void)table;
    Value out = make(static_cast<std::int64_t>(tokens.size()), model_.config().hidden_size);
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      const Status row = model_.embedding_row(tokens[t], cpu(out).data() + static_cast<std::int64_t>(t) * out->width);
      if (!row.ok() && status.ok()) status = row;
    }
    if (scale != 1.0f) kernel::scale(cpu(out).data(), scale, cpu(out).size(), pool_);
    return out;
  }

  std::vector<Value> linear_group(const Value& x, std::span<const LinearId> linears) override {
    const CpuValue& in = cpu(x);
    input_.set(in.data(), in.tokens(), in.width, in.width, executor_.options_.compute, pool_);
    std::vector<Value> out;
    matrices_.clear();
    outputs_.clear();
    strides_.clear();
    for (const LinearId id : linears) {
      const kernel::PackedMatrix& matrix = model_.matrix(id);
      out.push_back(make(in.tokens(), matrix.rows()));
      matrices_.push_back(&matrix);
      outputs_.push_back(cpu(out.back()).data());
      strides_.push_back(matrix.rows());
    }
    kernel::matmul_group(matrices_, input_, outputs_, strides_, pool_);
    for (std::size_t i = 0; i < linears.size(); ++i) add_bias(model_.bias(linears[i]), cpu(out[i]));
    return out;
  }

  Value rms_norm(const Value& x, VectorId weight, float eps, bool plus_one) override {
    const CpuValue& in = cpu(x);
    const std::vector<float>& w = model_.vector(weight);
    const auto n = static_cast<std::int64_t>(w.size());
    Value out = make(in.tokens(), in.width);
    kernel::rms_norm(in.data(), in.size() / n, n, n, w.data(), eps, plus_one, cpu(out).data(), n, pool_);
    return out;
  }

  Value rope(const Value& x, std::int64_t head_dim, int rope) override {
    Value out = copy(x);
    const kernel::RopeTable& table = model_.rope(rope);
    kernel::rope_rotate_half(cpu(out).data(), cpu(out).tokens(), static_cast<int>(out->width / head_dim),
                             static_cast<int>(head_dim), table.rotary_dim(), out->width, positions.data(), table,
                             pool_);
    return out;
  }

  Value attention(const Value& q, const Value& k, const Value& v, const AttentionSpec& spec) override {
    KvBlockPool& cache = *executor_.kv_pool_;
    const std::size_t offset = cache.layer_offset(spec.layer);
    kernel::kv_store(cache.layout(), cpu(k).data(), k->width, cpu(v).data(), v->width, sequences, offset, pool_);
    Value out = make(cpu(q).tokens(), q->width);
    kernel::AttentionArgs args;
    args.layout = cache.layout();
    args.q = cpu(q).data();
    args.ld_q = q->width;
    args.heads = static_cast<int>(spec.heads);
    args.scale = spec.scale;
    args.softcap = spec.softcap;
    args.window = spec.window;
    args.sequences = sequences;
    args.block_offset = offset;
    args.out = cpu(out).data();
    args.ld_out = out->width;
    kernel::attention(args, pool_);
    return out;
  }

  Value gated_activation(Activation activation, const Value& gate, const Value& up) override {
    Value out = make(cpu(gate).tokens(), gate->width);
    kernel::gated_activation(activation, cpu(gate).data(), cpu(up).data(), cpu(gate).tokens(), gate->width, gate->width,
                             up->width, cpu(out).data(), out->width, pool_);
    return out;
  }

  Value add(const Value& a, const Value& b) override {
    Value out = copy(a);
    kernel::add(cpu(out).data(), cpu(b).data(), cpu(out).size(), pool_);
    return out;
  }

  Value output_rows(const Value& x) override {
    const auto rows = static_cast<std::int64_t>(output_row_numbers.size());
    Value out = make(rows, x->width);
    for (std::int64_t r = 0; r < rows; ++r)
      std::memcpy(cpu(out).data() + r * x->width,
                  cpu(x).data() + output_row_numbers[static_cast<std::size_t>(r)] * x->width,
                  static_cast<std::size_t>(x->width) * sizeof(float));
    return out;
  }

  Value softcap(const Value& x, float c) override {
    Value out = copy(x);
    kernel::softcap(cpu(out).data(), c, cpu(out).size(), pool_);
    return out;
  }

 private:
  Value make(std::int64_t rows, std::int64_t width) const { return std::make_shared<CpuValue>(buffers_, rows, width); }
  Value copy(const Value& x) const {
    Value out = make(cpu(x).tokens(), x->width);
    std::memcpy(cpu(out).data(), cpu(x).data(), static_cast<std::size_t>(cpu(x).size()) * sizeof(float));
    return out;
  }
  void add_bias(const std::vector<float>& bias, CpuValue& value) const {
    if (bias.empty()) return;
    for (std::int64_t t = 0; t < value.tokens(); ++t)
      for (std::int64_t i = 0; i < value.width; ++i)
        value.data()[t * value.width + i] += bias[static_cast<std::size_t>(i)];
  }

  CpuExecutor& executor_;
  const CpuModel& model_;
  ThreadPool& pool_;
  std::shared_ptr<BufferPool> buffers_ = std::make_shared<BufferPool>();
  kernel::MatmulInput input_;
  std::vector<const kernel::PackedMatrix*> matrices_;
  std::vector<float*> outputs_;
  std::vector<std::int64_t> strides_;
};

CpuExecutor::CpuExecutor(CpuModel::Ptr model, std::shared_ptr<ThreadPool> pool, const Options& options)
    : model_(std::move(model)),
      pool_(std::move(pool)),
      options_(options),
      kv_pool_(std::make_shared<KvBlockPool>(
          model_->config(), options.compute == kernel::Compute::kF32 ? kernel::KvType::kF32 : kernel::KvType::kF16,
          options.max_kv_blocks)),
      ops_(std::make_unique<OpsOnBatch>(*this)),
      wrapped_ops_(options.wrap_ops ? options.wrap_ops(*ops_) : nullptr),
      front_ops_(wrapped_ops_ != nullptr ? *wrapped_ops_ : *ops_) {}

CpuExecutor::~CpuExecutor() = default;

Status CpuExecutor::check(std::span<const BatchItem> batch) const {
  const std::int64_t vocab = model_->config().vocab_size;
  for (const BatchItem& item : batch) {
    NIBBLE_CHECK(item.sequence != nullptr && !item.tokens.empty());
    for (const std::int32_t token : item.tokens)
      if (token < 0 || token >= vocab)
        return fail(ErrorCode::kInvalidArgument, "token id {} is outside the vocabulary of {}", token, vocab);
    const std::int64_t end = item.sequence->length() + static_cast<std::int64_t>(item.tokens.size());
    if (end > model_->context_length())
      return fail(ErrorCode::kInvalidArgument,
                  "{} tokens do not fit into the context of {}; shorten the text or ask for a longer context", end,
                  model_->context_length());
  }
  return {};
}

Status CpuExecutor::forward(std::span<const BatchItem> batch, const LogitsSink& sink) {
  NIBBLE_TRY_STATUS(check(batch));
  // Cut into slices of at most max_batch_tokens, item by item.
  std::vector<BatchItem> slice;
  std::vector<std::size_t> item_of;
  std::vector<std::int64_t> first_token;
  std::int64_t filled = 0;
  const auto flush = [&]() -> Status {
    if (slice.empty()) return {};
    const Status done = forward_slice(slice, item_of, first_token, sink);
    slice.clear();
    item_of.clear();
    first_token.clear();
    filled = 0;
    return done;
  };
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const auto total = static_cast<std::int64_t>(batch[i].tokens.size());
    for (std::int64_t done = 0; done < total;) {
      if (filled == options_.max_batch_tokens) NIBBLE_TRY_STATUS(flush());
      const std::int64_t take = std::min(total - done, options_.max_batch_tokens - filled);
      BatchItem part = batch[i];
      part.tokens = batch[i].tokens.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(take));
      if (part.logits == BatchItem::Logits::kLast && done + take < total) part.logits = BatchItem::Logits::kNone;
      slice.push_back(part);
      item_of.push_back(i);
      first_token.push_back(done);
      done += take;
      filled += take;
    }
  }
  return flush();
}

/// Rows of several sequences share one product with the head, up to kHeadRows of them.
void CpuExecutor::run_head(std::span<const WantedRows> wanted, const Value& x, const LogitsSink& sink) {
  const std::int64_t vocab = model_->config().vocab_size;
  for (std::size_t begin = 0; begin < wanted.size();) {
    std::size_t end = begin;
    ops_->output_row_numbers.clear();
    std::int64_t rows = 0;
    for (; end < wanted.size() && rows + wanted[end].rows <= kHeadRows; ++end) {
      for (std::int64_t r = 0; r < wanted[end].rows; ++r) ops_->output_row_numbers.push_back(wanted[end].batch_row + r);
      rows += wanted[end].rows;
    }
    const Value logits = decoder_head(front_ops_, model_->config(), model_->layout(), x);
    const float* row = cpu(logits).data();
    for (; begin < end; ++begin) {
      sink(wanted[begin].item, wanted[begin].first_token, wanted[begin].rows, row);
      row += wanted[begin].rows * vocab;
    }
  }
}

Status CpuExecutor::forward_slice(std::span<const BatchItem> batch, std::span<const std::size_t> item_of,
                                  std::span<const std::int64_t> first_token, const LogitsSink& sink) {
  OpsOnBatch& ops = *ops_;
  ops.tokens.clear();
  ops.positions.clear();
  ops.sequences.clear();
  ops.status = Status();
  for (const BatchItem& item : batch)
    NIBBLE_TRY_STATUS(item.sequence->reserve(static_cast<std::int64_t>(item.tokens.size())));
  for (const BatchItem& item : batch) {
    kernel::KvSequence sequence;
    sequence.first_row = static_cast<std::int64_t>(ops.tokens.size());
    sequence.rows = static_cast<std::int64_t>(item.tokens.size());
    sequence.first_position = item.sequence->length_;
    sequence.blocks = item.sequence->blocks_.data();
    ops.sequences.push_back(sequence);
    for (std::size_t t = 0; t < item.tokens.size(); ++t) {
      ops.tokens.push_back(item.tokens[t]);
      ops.positions.push_back(static_cast<std::int32_t>(item.sequence->length_ + static_cast<std::int64_t>(t)));
    }
  }
  const ModelConfig& config = model_->config();
  const ModelLayout& layout = model_->layout();
  Value x = decoder_embed(front_ops_, config, layout);
  for (int layer = 0; layer < static_cast<int>(config.num_hidden_layers); ++layer)
    x = decoder_block(front_ops_, config, layout, layer, x);
  NIBBLE_TRY_STATUS(ops.status);
  std::vector<WantedRows> wanted;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    batch[i].sequence->length_ += static_cast<std::int64_t>(batch[i].tokens.size());
    const std::int64_t rows = ops.sequences[i].rows;
    const std::int64_t count = batch[i].logits == BatchItem::Logits::kAll    ? rows
                               : batch[i].logits == BatchItem::Logits::kLast ? 1
                                                                             : 0;
    for (std::int64_t first = rows - count; first < rows; first += kHeadRows)
      wanted.push_back(
          {item_of[i], first_token[i] + first, ops.sequences[i].first_row + first, std::min(kHeadRows, rows - first)});
  }
  run_head(wanted, x, sink);
  return {};
}

}  // namespace nibble
