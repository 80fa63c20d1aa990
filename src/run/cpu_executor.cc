// Cutting batches into slices, and the model from embedding to logits.
#include "run/cpu_executor.h"

#include <algorithm>
#include <mutex>

#include "base/check.h"
#include "model/decoder.h"

namespace nibble {

KvCacheOptions kv_cache_options(const CpuExecutor::Options& options) {
  const bool floats = options.compute == kernel::Compute::kF32;
  return {floats ? kernel::KvType::kF32 : kernel::KvType::kF16, options.kv_bits, options.max_kv_blocks,
          options.max_packed_kv_blocks};
}

CpuExecutor::CpuExecutor(CpuModel::Ptr model, std::shared_ptr<ThreadPool> pool, const Options& options)
    : model_(std::move(model)),
      pool_(std::move(pool)),
      options_(options),
      cache_(std::make_shared<KvCache>(model_->config(), kv_cache_options(options))),
      ops_(std::make_unique<CpuOps>(*model_, *cache_, batch_, options.compute, *pool_)),
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
  return forward(batch, OutputSink([&](std::span<const OutputRows> outputs) {
                   for (const OutputRows& o : outputs) sink(o.item, o.first_token, o.rows, o.values);
                 }));
}

Status CpuExecutor::forward(std::span<const BatchItem> batch, const OutputSink& sink) {
  NIBBLE_TRY_STATUS(check(batch));
  const std::lock_guard turn(model_->turn());
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
void CpuExecutor::run_head(std::span<const WantedRows> wanted, Head head, const Value& x, const OutputSink& sink) {
  const ModelConfig& config = model_->config();
  std::vector<OutputRows> outputs;
  for (std::size_t begin = 0; begin < wanted.size();) {
    std::size_t end = begin;
    batch_.output_rows.clear();
    std::int64_t rows = 0;
    for (; end < wanted.size() && rows + wanted[end].rows <= kHeadRows; ++end) {
      for (std::int64_t r = 0; r < wanted[end].rows; ++r) batch_.output_rows.push_back(wanted[end].batch_row + r);
      rows += wanted[end].rows;
    }
    const Value values = head == Head::kLogits ? decoder_head(front_ops_, config, model_->layout(), x)
                                               : decoder_hidden_states(front_ops_, config, model_->layout(), x);
    const float* row = cpu_values(values).data();
    outputs.clear();
    for (; begin < end; ++begin) {
      outputs.push_back({wanted[begin].item, wanted[begin].first_token, wanted[begin].rows, row});
      row += wanted[begin].rows * values->width;
    }
    sink(outputs);
  }
}

Status CpuExecutor::forward_slice(std::span<const BatchItem> batch, std::span<const std::size_t> item_of,
                                  std::span<const std::int64_t> first_token, const OutputSink& sink) {
  batch_.clear();
  for (const BatchItem& item : batch)
    NIBBLE_TRY_STATUS(item.sequence->reserve(static_cast<std::int64_t>(item.tokens.size())));
  for (const BatchItem& item : batch) batch_.append(item.tokens, item.sequence->length(), *item.sequence);
  const ModelConfig& config = model_->config();
  const ModelLayout& layout = model_->layout();
  Value x = decoder_embed(front_ops_, config, layout);
  for (int layer = 0; layer < static_cast<int>(config.num_hidden_layers); ++layer)
    x = decoder_block(front_ops_, config, layout, layer, x);
  NIBBLE_TRY_STATUS(ops_->take_status());
  std::vector<WantedRows> logits;
  std::vector<WantedRows> hidden_states;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    batch[i].sequence->advance(static_cast<std::int64_t>(batch[i].tokens.size()));
    const std::int64_t rows = batch_.sequences[i].rows;
    const bool hidden = batch[i].logits == BatchItem::Logits::kHiddenStates;
    const std::int64_t count = hidden || batch[i].logits == BatchItem::Logits::kAll ? rows
                               : batch[i].logits == BatchItem::Logits::kLast        ? 1
                                                                                    : 0;
    std::vector<WantedRows>& wanted = hidden ? hidden_states : logits;
    for (std::int64_t first = rows - count; first < rows; first += kHeadRows)
      wanted.push_back({item_of[i], first_token[i] + first, batch_.sequences[i].first_row + first,
                        std::min(kHeadRows, rows - first)});
  }
  run_head(logits, Head::kLogits, x, sink);
  run_head(hidden_states, Head::kHiddenStates, x, sink);
  return model_->check_intact();
}

}  // namespace nibble
