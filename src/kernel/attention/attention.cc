// The plan of attention: which rows meet which chunks of keys in which order, shared out to the threads. The arithmetic
// of a chunk is the kernel's.
//
// An item is some rows of one sequence (a few tokens times the query heads that share a kv head) and a span of chunks.
// Usually the span is all the rows can see, and the item finishes the rows. Where that makes too few items to share,
// as in decoding a long context, the span is cut; each chunk's result is kept and a second loop merges them, ascending,
// exactly as one thread would have done.
#include "kernel/attention/attention.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"

namespace nibble::kernel {

namespace reference {
extern const AttentionKernel kAttention;
}
namespace avx2 {
extern const AttentionKernel kAttention;
}
namespace avx512 {
extern const AttentionKernel kAttention;
}
namespace neon {
extern const AttentionKernel kAttention;
}

std::span<const AttentionKernel* const> attention_kernels() {
  static constexpr const AttentionKernel* kKernels[] = {
    &reference::kAttention,
#if defined(__x86_64__)
    &avx2::kAttention,
    &avx512::kAttention
#elif defined(__aarch64__)
    &neon::kAttention
#endif
  };
  return kKernels;
}

namespace {

/// Query rows of an item, unless one token has more heads to a kv head. With 96 rows the float32 copy of a block, made
/// once per item, costs 2 % of its use; scores, queries and results fit in half a megabyte of L2.
constexpr std::int64_t kItemRows = 96;

/// Items per thread worth having, so that a core that is slow for a while does not hold up the rest.
constexpr std::int64_t kItemsPerThread = 8;

/// Most floats kept between the two loops; 64 MiB.
constexpr std::int64_t kMaxPartials = std::int64_t{16} << 20;

struct Item {
  const KvSequence* sequence;
  int kv_head;
  std::int64_t token_begin;  ///< rows of the sequence
  std::int64_t token_end;
  std::int64_t chunk_begin;
  std::int64_t chunk_end;
  std::int64_t partials;  ///< where its chunks' states lie, in floats; -1: the item finishes its rows
};

/// A buffer that grows and is kept; aligned to a cache line.
class Scratch {
 public:
  float* floats(std::size_t count) {
    if (count > capacity_) {
      data_.reset();
      data_.reset(static_cast<float*>(::operator new (count * sizeof(float), std::align_val_t{64})));
      capacity_ = count;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(float* p) const { ::operator delete (p, std::align_val_t{64}); }
  };
  std::unique_ptr<float, Free> data_;
  std::size_t capacity_ = 0;
};

class Plan {
 public:
  Plan(const AttentionKernel& kernel, const AttentionArgs& args, int threads)
      : kernel_(kernel), args_(args), heads_per_kv_(args.heads / args.layout.kv_heads) {
    make_items(threads);
  }

  void run(ThreadPool& pool) {
    static thread_local Scratch partials;
    partials_ = partial_floats_ > 0 ? partials.floats(static_cast<std::size_t>(partial_floats_)) : nullptr;
    pool.run(items_.size(), 1, [this](std::size_t begin, std::size_t end, int) {
      // A thread mostly takes items one after the other.
      for (std::size_t i = begin; i < end; ++i) run_item(items_[i], i + 1 < items_.size() ? &items_[i + 1] : nullptr);
    });
    pool.run(merges_.size(), 1, [this](std::size_t begin, std::size_t end, int) {
      for (std::size_t i = begin; i < end; ++i) merge_item(merges_[i]);
    });
  }

 private:
  int padded() const { return args_.layout.padded_dim(); }
  int rows_of(const Item& item) const { return static_cast<int>(item.token_end - item.token_begin) * heads_per_kv_; }
  /// Floats of one chunk's state of an item.
  std::int64_t state_floats(const Item& item) const { return rows_of(item) * static_cast<std::int64_t>(padded() + 2); }

  static std::int64_t block_of(const KvSequence& s, std::int64_t token) {
    return (s.first_position + token) / KvBlockLayout::kTokens;
  }

  /// Visible positions [first, second) of a row of a sequence.
  std::pair<std::int64_t, std::int64_t> visible(const KvSequence& s, std::int64_t token) const {
    const std::int64_t position = s.first_position + token;
    std::int64_t end = s.first_position + s.rows;
    if (args_.causal)
      end = position + 1;
    else if (args_.window > 0)
      end = std::min(end, position + args_.window);
    return {args_.window > 0 ? std::max<std::int64_t>(0, position - args_.window + 1) : 0, end};
  }

  void make_items(int threads) {
    const std::int64_t tokens_per_item = std::max<std::int64_t>(1, kItemRows / heads_per_kv_);
    std::int64_t work = 0;  // chunks
    for (const KvSequence& s : args_.sequences) {
      for (std::int64_t t = 0, end = 0; t < s.rows; t = end) {
        end = std::min(t + tokens_per_item, s.rows);
        // The rows of an item see the same blocks packed.
        if (args_.packed != nullptr)
          end = std::min(end, (block_of(s, t) + 1) * KvBlockLayout::kTokens - s.first_position);
        Item item{&s, 0, t, end, 0, 0, -1};
        item.chunk_begin = visible(s, t).first / kAttentionChunk;
        item.chunk_end = (visible(s, item.token_end - 1).second + kAttentionChunk - 1) / kAttentionChunk;
        work += (item.chunk_end - item.chunk_begin) * rows_of(item) * args_.layout.kv_heads;
        for (item.kv_head = 0; item.kv_head < args_.layout.kv_heads; ++item.kv_head) items_.push_back(item);
      }
    }
    if (threads > 1) cut_long_items(work / (threads * kItemsPerThread));
    // The longest first, so that the loop ends evenly. (Stable: equal items stay in the order of memory.)
    const auto cost = [this](const Item& i) { return (i.chunk_end - i.chunk_begin) * rows_of(i); };
    const auto costs_more = [&](const Item& a, const Item& b) { return cost(a) > cost(b); };
    if (!std::is_sorted(items_.begin(), items_.end(), costs_more))
      std::stable_sort(items_.begin(), items_.end(), costs_more);
  }

  /// Cuts the spans of items that cost more than `target` (chunks times rows).
  void cut_long_items(std::int64_t target) {
    std::vector<Item> cut;
    for (const Item& whole : items_) {
      const std::int64_t chunks = whole.chunk_end - whole.chunk_begin;
      const std::int64_t floats = chunks * state_floats(whole);
      if (chunks == 1 || chunks * rows_of(whole) <= 2 * target || partial_floats_ + floats > kMaxPartials) {
        cut.push_back(whole);
        continue;
      }
      merges_.push_back(whole);
      merges_.back().partials = partial_floats_;
      const std::int64_t span = std::max<std::int64_t>(1, target / rows_of(whole));
      for (std::int64_t chunk = whole.chunk_begin; chunk < whole.chunk_end; chunk += span) {
        Item part = whole;
        part.chunk_begin = chunk;
        part.chunk_end = std::min(chunk + span, whole.chunk_end);
        part.partials = partial_floats_ + (chunk - whole.chunk_begin) * state_floats(whole);
        cut.push_back(part);
      }
      partial_floats_ += floats;
    }
    items_ = std::move(cut);
  }

  AttentionState state_at(float* floats, int rows) const {
    float* max = floats + static_cast<std::ptrdiff_t>(rows) * padded();
    return {floats, max, max + rows};
  }

  /// `next`: what this thread will probably take then.
  void run_item(const Item& item, const Item* next) const {
    static thread_local Scratch scratch;
    static thread_local std::vector<int> ranges;
    const int rows = rows_of(item);
    const auto n = static_cast<std::size_t>(rows);
    const auto dim = static_cast<std::size_t>(args_.layout.head_dim);
    const auto pad = static_cast<std::size_t>(padded());
    const std::size_t q_floats = (n * dim + 15) / 16 * 16;
    float* q = scratch.floats(n * kAttentionChunk + KvBlockLayout::kTokens * pad + q_floats + 2 * n * (pad + 2));
    float* scores = q + q_floats;
    float* panel = scores + n * kAttentionChunk;
    const AttentionState state = state_at(panel + KvBlockLayout::kTokens * pad, rows);
    const AttentionState later = state_at(state.sum + rows, rows);
    ranges.resize(2 * n);
    copy_queries(item, q);
    std::fill_n(state.sum, n, 0.0f);

    AttentionChunk c{};
    c.q = q;
    c.rows = rows;
    c.head_dim = args_.layout.head_dim;
    c.padded_dim = padded();
    c.half = args_.layout.type == KvType::kF16;
    c.packed = args_.packed;
    c.scale = args_.scale;
    c.softcap = args_.softcap;
    c.scores = scores;
    c.panel = panel;
    c.begin = ranges.data();
    c.end = ranges.data() + n;
    for (std::int64_t chunk = item.chunk_begin; chunk < item.chunk_end; ++chunk) {
      const std::byte* k[kChunkBlocks] = {};
      const std::byte* v[kChunkBlocks] = {};
      c.packed_blocks = packed_blocks(item, chunk);
      find_keys(item, chunk, c.packed_blocks, ranges.data(), k, v);
      c.k = k;
      c.v = v;
      const std::span<const std::byte> after = chunk + 1 < item.chunk_end ? first_keys(item, chunk + 1)
                                               : next != nullptr          ? first_keys(*next, next->chunk_begin)
                                                                          : std::span<const std::byte>();
      c.after = after.data();
      c.after_bytes = after.size();
      const AttentionState target =
          item.partials < 0
              ? later
              : state_at(partials_ + item.partials + (chunk - item.chunk_begin) * state_floats(item), rows);
      c.out = target.out;
      c.max = target.max;
      c.sum = target.sum;
      kernel_.chunk(c);
      if (item.partials < 0) kernel_.merge(state, later, rows, padded());
    }
    if (item.partials < 0) finish_rows(item, state);
  }

  void merge_item(const Item& item) const {
    const int rows = rows_of(item);
    const AttentionState state = state_at(partials_ + item.partials, rows);
    for (std::int64_t chunk = 1; chunk < item.chunk_end - item.chunk_begin; ++chunk)
      kernel_.merge(state, state_at(partials_ + item.partials + chunk * state_floats(item), rows), rows, padded());
    finish_rows(item, state);
  }

  /// The queries of an item's rows, dense: row = token * heads per kv head + head.
  void copy_queries(const Item& item, float* q) const {
    const std::ptrdiff_t values = static_cast<std::ptrdiff_t>(heads_per_kv_) * args_.layout.head_dim;
    for (std::int64_t t = item.token_begin; t < item.token_end; ++t, q += values)
      std::memcpy(q, args_.q + (item.sequence->first_row + t) * args_.ld_q + item.kv_head * values,
                  static_cast<std::size_t>(values) * sizeof(float));
  }

  /// How many of a chunk's blocks an item sees packed.
  int packed_blocks(const Item& item, std::int64_t chunk) const {
    if (args_.packed == nullptr) return 0;
    const std::int64_t recent = block_of(*item.sequence, item.token_begin) - kKvRecentBlocks;
    return static_cast<int>(std::clamp<std::int64_t>(recent - chunk * kChunkBlocks, 0, kChunkBlocks));
  }

  /// A block's keys of the item's kv head.
  const std::byte* keys_at(const Item& item, std::int64_t block, bool packed) const {
    if (packed) return item.sequence->packed[block] + args_.packed_offset + args_.packed->k_offset(item.kv_head);
    return item.sequence->blocks[block] + args_.block_offset + args_.layout.k_offset(item.kv_head);
  }

  /// The first block of an item's keys in a chunk, as far as they are seen.
  std::span<const std::byte> first_keys(const Item& item, std::int64_t chunk) const {
    const std::int64_t first = chunk * kAttentionChunk;
    const std::int64_t from = visible(*item.sequence, item.token_begin).first - first;
    const std::int64_t to = visible(*item.sequence, item.token_end - 1).second - first;
    const std::int64_t block = std::max<std::int64_t>(from, 0) / KvBlockLayout::kTokens;
    const std::int64_t seen = std::min<std::int64_t>(to - block * KvBlockLayout::kTokens, KvBlockLayout::kTokens);
    if (block >= kChunkBlocks || seen <= 0) return {};
    const bool packed = block < packed_blocks(item, chunk);
    const std::int64_t groups = (seen + KvBlockLayout::kGroup - 1) / KvBlockLayout::kGroup;
    const std::size_t bytes = packed ? args_.packed->scale_bytes() + args_.packed->code_bytes()
                                     : args_.layout.k_bytes() / (KvBlockLayout::kTokens / KvBlockLayout::kGroup) *
                                           static_cast<std::size_t>(groups);
    return {keys_at(item, chunk * kChunkBlocks + block, packed), bytes};
  }

  void find_keys(const Item& item, std::int64_t chunk, int packed, int* ranges, const std::byte** k,
                 const std::byte** v) const {
    const std::int64_t first = chunk * kAttentionChunk;
    int* begin = ranges;
    int* end = ranges + rows_of(item);
    std::int64_t lowest = kAttentionChunk;
    std::int64_t highest = 0;
    for (std::int64_t t = item.token_begin; t < item.token_end; ++t) {
      const auto [from, to] = visible(*item.sequence, t);
      const std::int64_t low = std::clamp<std::int64_t>(from - first, 0, kAttentionChunk);
      const std::int64_t high = std::clamp<std::int64_t>(to - first, 0, kAttentionChunk);
      begin = std::fill_n(begin, heads_per_kv_, static_cast<int>(low));
      end = std::fill_n(end, heads_per_kv_, static_cast<int>(high));
      if (low >= high) continue;
      lowest = std::min(lowest, low);
      highest = std::max(highest, high);
    }
    for (std::int64_t block = lowest / KvBlockLayout::kTokens; block * KvBlockLayout::kTokens < highest; ++block) {
      const bool is_packed = block < packed;
      k[block] = keys_at(item, chunk * kChunkBlocks + block, is_packed);
      v[block] = k[block] + (is_packed ? args_.packed->v_offset(0) : args_.layout.v_offset(0));
    }
  }

  void finish_rows(const Item& item, const AttentionState& state) const {
    const std::ptrdiff_t dim = args_.layout.head_dim;
    int row = 0;
    for (std::int64_t t = item.token_begin; t < item.token_end; ++t) {
      float* out = args_.out + (item.sequence->first_row + t) * args_.ld_out + item.kv_head * heads_per_kv_ * dim;
      for (int h = 0; h < heads_per_kv_; ++h, ++row)
        kernel_.finish(state.out + static_cast<std::ptrdiff_t>(row) * padded(), state.sum[row], args_.layout.head_dim,
                       out + h * dim);
    }
  }

  const AttentionKernel& kernel_;
  const AttentionArgs& args_;
  int heads_per_kv_;
  std::vector<Item> items_;
  std::vector<Item> merges_;  ///< the whole items whose spans were cut
  std::int64_t partial_floats_ = 0;
  float* partials_ = nullptr;
};

}  // namespace

void attention_with(const AttentionKernel& kernel, const AttentionArgs& args, ThreadPool& pool) {
  NIBBLE_CHECK(args.layout.kv_heads > 0 && args.layout.head_dim > 0 && args.heads % args.layout.kv_heads == 0);
  NIBBLE_CHECK(args.window >= 0 && (args.packed == nullptr || args.causal));
  Plan(kernel, args, pool.threads()).run(pool);
}

void attention(const AttentionArgs& args, ThreadPool& pool) {
  static const AttentionKernel& kernel = best_kernel(attention_kernels(), cpu_features());
  attention_with(kernel, args, pool);
}

}  // namespace nibble::kernel
