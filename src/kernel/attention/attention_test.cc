// Every attention kernel by name against the reference to the bit, the reference against double, and the promise that a
// row's bits depend on nothing but its own keys.
#include "kernel/attention/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <ostream>

#include "base/half.h"
#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

using testing::Guarded;
using testing::Numbers;

struct Shape {
  int heads;
  int kv_heads;
  int head_dim;
  KvType type = KvType::kF16;
  float softcap = 0.0f;
  std::int64_t window = 0;
  bool causal = true;
  int packed_bits = 0;
};

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << s.heads << "/" << s.kv_heads << " x " << s.head_dim << " window " << s.window << " packed "
             << s.packed_bits;
}

/// One sequence: its tokens' q, k, v and its blocks, which begin full of NaN. Every block ends at a guard page.
struct Sequence {
  Sequence(const Shape& shape, std::int64_t tokens, std::uint64_t seed) : length(tokens) {
    Numbers numbers(seed);
    const auto n = static_cast<std::size_t>(tokens);
    q = numbers.values(n * static_cast<std::size_t>(shape.heads * shape.head_dim), -2.0f, 2.0f);
    k = numbers.values(n * static_cast<std::size_t>(shape.kv_heads * shape.head_dim), -2.0f, 2.0f);
    v = numbers.values(n * static_cast<std::size_t>(shape.kv_heads * shape.head_dim), -2.0f, 2.0f);
    const KvBlockLayout layout{shape.kv_heads, shape.head_dim, shape.type};
    for (std::int64_t i = 0; i * KvBlockLayout::kTokens < tokens; ++i) {
      memory.push_back(std::make_unique<Guarded<std::byte>>(layout.block_bytes()));
      std::fill(memory.back()->span().begin(), memory.back()->span().end(), std::byte{0xFF});
      blocks.push_back(memory.back()->data());
      if (shape.packed_bits == 0) continue;
      const KvPackedLayout packing{shape.kv_heads, shape.head_dim, shape.packed_bits};
      memory.push_back(std::make_unique<Guarded<std::byte>>(packing.block_bytes()));
      std::fill(memory.back()->span().begin(), memory.back()->span().end(), std::byte{0xFF});
      packed.push_back(memory.back()->data());
    }
  }
  std::int64_t length;
  std::vector<float> q, k, v;
  std::vector<std::unique_ptr<Guarded<std::byte>>> memory;
  std::vector<std::byte*> blocks;
  std::vector<std::byte*> packed;
};

/// A span of a sequence's tokens.
struct Part {
  Sequence* sequence;
  std::int64_t begin;
  std::int64_t end;
};

/// One batch: stores the parts' keys, then attends; rows of the parts one after the other.
std::vector<float> run(const AttentionKernel& kernel, const Shape& shape, const std::vector<Part>& parts,
                       ThreadPool& pool) {
  const auto q_row = static_cast<std::size_t>(shape.heads * shape.head_dim);
  const auto kv_row = static_cast<std::size_t>(shape.kv_heads * shape.head_dim);
  std::vector<float> q, k, v;
  std::vector<KvSequence> sequences;
  std::int64_t rows = 0;
  const auto append = [](std::vector<float>& to, const std::vector<float>& from, const Part& part, std::size_t row) {
    to.insert(to.end(), from.begin() + part.begin * static_cast<std::ptrdiff_t>(row),
              from.begin() + part.end * static_cast<std::ptrdiff_t>(row));
  };
  for (const Part& part : parts) {
    append(q, part.sequence->q, part, q_row);
    append(k, part.sequence->k, part, kv_row);
    append(v, part.sequence->v, part, kv_row);
    sequences.push_back(
        {rows, part.end - part.begin, part.begin, part.sequence->blocks.data(), part.sequence->packed.data()});
    rows += part.end - part.begin;
  }
  Guarded<float> queries(q);
  Guarded<float> keys(k);
  Guarded<float> values(v);
  Guarded<float> out(q.size());
  AttentionArgs args;
  args.layout = {shape.kv_heads, shape.head_dim, shape.type};
  kv_store_with(kernel, args.layout, keys.data(), static_cast<std::int64_t>(kv_row), values.data(),
                static_cast<std::int64_t>(kv_row), sequences, 0, pool);
  const KvPackedLayout packing{shape.kv_heads, shape.head_dim, shape.packed_bits};
  if (shape.packed_bits > 0) {
    kv_pack(args.layout, 0, packing, 0, sequences, pool);
    args.packed = &packing;
  }
  args.q = queries.data();
  args.ld_q = static_cast<std::int64_t>(q_row);
  args.heads = shape.heads;
  args.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  args.softcap = shape.softcap;
  args.window = shape.window;
  args.causal = shape.causal;
  args.sequences = sequences;
  args.out = out.data();
  args.ld_out = args.ld_q;
  attention_with(kernel, args, pool);
  return {out.span().begin(), out.span().end()};
}

float stored(float x, KvType type) { return type == KvType::kF16 ? f16_to_f32(f32_to_f16(x)) : x; }

/// What the query at position i sees of dimension d of a head's key or value at position j, `x` being the head's.
double seen(const Shape& shape, const float* x, int d, std::int64_t i, std::int64_t j) {
  const auto at = [&](int dim) { return static_cast<double>(stored(x[dim], shape.type)); };
  if (shape.packed_bits == 0 || j / KvBlockLayout::kTokens + kKvRecentBlocks >= i / KvBlockLayout::kTokens)
    return at(d);
  double largest = 0;
  const int first = d / KvPackedLayout::kDims * KvPackedLayout::kDims;
  for (int dim = first; dim < std::min(first + KvPackedLayout::kDims, shape.head_dim); ++dim)
    if (std::fabs(at(dim)) > std::fabs(largest)) largest = at(dim);
  const bool eight = shape.packed_bits == 8;
  const float step = stored(static_cast<float>(eight ? std::fabs(largest) / 127 : largest / -8), KvType::kF16);
  const float code = std::nearbyint(static_cast<float>(at(d)) * (1.0f / step));  // ties are met, so as it is done
  return static_cast<double>(std::clamp(code, eight ? -127.0f : -8.0f, eight ? 127.0f : 7.0f) * step);
}

/// The fastest kernel here, to fill caches with: all write the same bytes.
const AttentionKernel& fastest() { return best_kernel(attention_kernels(), detected_cpu_features()); }

/// The definition in double, on the values as the cache holds them, and a bound of the float32 error; out holds the
/// rows begin .. end - 1.
void expect_near_double(const Shape& shape, const Sequence& s, std::int64_t begin, std::int64_t end,
                        const std::vector<float>& out) {
  const double scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  const std::int64_t group = shape.heads / shape.kv_heads;
  for (std::int64_t i = begin; i < end; ++i) {
    for (std::int64_t h = 0; h < shape.heads; ++h) {
      const float* q = s.q.data() + (i * shape.heads + h) * shape.head_dim;
      std::vector<double> scores(static_cast<std::size_t>(s.length), -std::numeric_limits<double>::infinity());
      double magnitude = 0;  // the largest sum of |q k| scale
      for (std::int64_t j = 0; j < s.length; ++j) {
        if (shape.causal && j > i) continue;
        if (shape.window > 0 && std::llabs(i - j) >= shape.window) continue;
        const float* k = s.k.data() + (j * shape.kv_heads + h / group) * shape.head_dim;
        double dot = 0;
        double absolute = 0;
        for (int d = 0; d < shape.head_dim; ++d) {
          dot += static_cast<double>(q[d]) * seen(shape, k, d, i, j);
          absolute += std::fabs(static_cast<double>(q[d]) * seen(shape, k, d, i, j));
        }
        magnitude = std::max(magnitude, absolute * scale);
        const double score = dot * scale;
        scores[static_cast<std::size_t>(j)] =
            shape.softcap > 0 ? shape.softcap * std::tanh(score / shape.softcap) : score;
      }
      const double top = *std::max_element(scores.begin(), scores.end());
      double sum = 0;
      for (double& score : scores) sum += score = std::exp(score - top);
      // A score's chain of head_dim steps and the few after it, then p's own ulp and the chain over up to 256 keys and
      // the merges; |v| <= 2 and the weights sum to 1. Twice: numerator and denominator. Roundings are random, so the
      // worst case of the chains is not met: half of it is allowed.
      const double steps = static_cast<double>(shape.head_dim + 8) * magnitude + 256 + 4 * 2 + 32;
      const double bound = 2 * 2.0 * 0.5 * steps * 0x1p-24;
      for (int d = 0; d < shape.head_dim; ++d) {
        double exact = 0;
        for (std::int64_t j = 0; j < s.length; ++j) {
          if (scores[static_cast<std::size_t>(j)] == 0) continue;
          exact += scores[static_cast<std::size_t>(j)] / sum *
                   seen(shape, s.v.data() + (j * shape.kv_heads + h / group) * shape.head_dim, d, i, j);
        }
        ASSERT_NEAR(out[static_cast<std::size_t>(((i - begin) * shape.heads + h) * shape.head_dim + d)], exact, bound)
            << "row " << i << " head " << h << " dim " << d;
      }
    }
  }
}

const std::vector<Shape> kShapes = {
    {4, 1, 64},
    {3, 3, 16, KvType::kF32},
    {6, 2, 40},  // 40 is not a multiple of 16
    {2, 2, 5, KvType::kF32},
    {8, 1, 128},
    {4, 4, 96, KvType::kF16, 20.0f},      // softcap
    {4, 2, 32, KvType::kF16, 0.0f, 100},  // window across chunks
    {2, 1, 32, KvType::kF32, 0.0f, 1},    // sees itself only
    {14, 2, 64, KvType::kF16, 0.0f, 7},
    {20, 1, 24, KvType::kF16, 5.0f, 300},
    {4, 2, 32, KvType::kF16, 0.0f, 0, false},  // bidirectional
    {4, 2, 32, KvType::kF32, 0.0f, 30, false},
    {8, 2, 64, KvType::kF16, 0.0f, 0, true, 8},
    {4, 4, 96, KvType::kF16, 20.0f, 0, true, 4},
    {3, 3, 40, KvType::kF32, 0.0f, 0, true, 4},  // 40 is neither a multiple of 32 nor of 16
    {14, 2, 80, KvType::kF16, 0.0f, 150, true, 8},
    {2, 2, 5, KvType::kF32, 0.0f, 100, true, 8},
};

TEST(Attention, ReferenceIsNearDouble) {
  ThreadPool pool(1);
  std::uint64_t seed = 1;
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(shape);
    Sequence s(shape, 290, ++seed);
    run(fastest(), shape, {{&s, 0, s.length}}, pool);
    for (const std::int64_t begin : {0, 252, 284}) {
      const std::int64_t end = begin + 6;
      // Without causality the last row sets how far a sequence goes.
      if (!shape.causal && end != s.length) continue;
      const std::vector<float> out = run(*attention_kernels().front(), shape, {{&s, begin, end}}, pool);
      expect_near_double(shape, s, begin, end, out);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Attention, KernelsHaveTheBitsOfTheReference) {
  ThreadPool pool(1);
  std::uint64_t seed = 10;
  for (const Shape& shape : kShapes) {
    for (const std::int64_t length : {1, 2, 17, 63, 64, 65, 130, 257, 530}) {
      SCOPED_TRACE(::testing::Message() << shape << " length " << length);
      Sequence s(shape, length, ++seed);
      run(fastest(), shape, {{&s, 0, length}}, pool);
      // The reference is slow: of long sequences, the last rows and some in the middle.
      const auto row = static_cast<std::size_t>(shape.heads * shape.head_dim);
      const std::int64_t last = length < 20 ? 0 : length - 5;
      std::vector<std::pair<std::int64_t, std::vector<float>>> expected;
      for (const std::int64_t begin : {last, length / 2}) {
        const std::int64_t end = begin == last ? length : std::min(length, begin + 3);
        if (shape.causal || end == length)
          expected.emplace_back(begin, run(*attention_kernels().front(), shape, {{&s, begin, end}}, pool));
      }
      for (const AttentionKernel* kernel : attention_kernels().subspan(1)) {
        if (!can_run(kernel->info, detected_cpu_features())) continue;
        const std::vector<float> got = run(*kernel, shape, {{&s, 0, length}}, pool);
        for (const float x : got) ASSERT_FALSE(std::isnan(x)) << kernel->info.name;
        for (const auto& [begin, rows] : expected) {
          const std::span<const float> part(got.data() + static_cast<std::size_t>(begin) * row, rows.size());
          ASSERT_TRUE(testing::same_bits(part, rows)) << kernel->info.name << " from row " << begin;
        }
      }
    }
  }
  if (const std::string names = testing::skipped_kernels(attention_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

std::vector<float> joined(const std::vector<std::vector<float>>& parts) {
  std::vector<float> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

/// At once, token by token, in slices, in a batch, with any number of threads. (The reference takes no part: it is too
/// slow, and the others have its bits.)
TEST(Attention, RowsDependOnTheirOwnKeysOnly) {
  for (const AttentionKernel* kernel : attention_kernels().subspan(1)) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    SCOPED_TRACE(kernel->info.name);
    for (const Shape& shape : kShapes) {
      if (!shape.causal) continue;
      SCOPED_TRACE(shape);
      const std::int64_t length = 600;
      ThreadPool one(1);
      Sequence whole(shape, length, 5);
      const std::vector<float> expected = run(*kernel, shape, {{&whole, 0, length}}, one);
      for (int threads : {2, 5}) {
        ThreadPool pool(threads);
        Sequence again(shape, length, 5);
        ASSERT_TRUE(testing::same_bits(run(*kernel, shape, {{&again, 0, length}}, pool), expected));
      }
      ThreadPool three(3);
      Sequence single(shape, length, 5);
      std::vector<std::vector<float>> tokens;
      for (std::int64_t t = 0; t < length; ++t)
        tokens.push_back(run(*kernel, shape, {{&single, t, t + 1}}, t % 64 == 0 ? three : one));
      ASSERT_TRUE(testing::same_bits(joined(tokens), expected)) << "token by token";
      Sequence sliced(shape, length, 5);
      Sequence other(shape, 333, 6);
      Sequence third(shape, 70, 7);
      std::vector<std::vector<float>> slices;
      const std::int64_t cuts[] = {0, 1, 100, 257, 258, 511, 600};
      const auto row = static_cast<std::size_t>(shape.heads * shape.head_dim);
      for (int i = 0; i < 6; ++i) {  // the middle one of a batch of three sequences at different places
        const auto batch =
            run(*kernel, shape,
                {{&other, i * 50, i * 50 + 50}, {&sliced, cuts[i], cuts[i + 1]}, {&third, i * 11, i * 11 + 1}}, three);
        slices.emplace_back(batch.begin() + static_cast<std::ptrdiff_t>(50 * row),
                            batch.end() - static_cast<std::ptrdiff_t>(row));
      }
      ASSERT_TRUE(testing::same_bits(joined(slices), expected)) << "in slices, in a batch";
    }
  }
}

/// A later token's infinities, which a tile of rows shares with earlier ones, do not reach them.
TEST(Attention, LaterInfinitiesDoNotReachEarlierRows) {
  const Shape shape{2, 1, 32};
  ThreadPool pool(1);
  for (const AttentionKernel* kernel : attention_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    Sequence clean(shape, 40, 9);
    Sequence dirty(shape, 40, 9);
    for (std::size_t d = 0; d < 32; ++d) dirty.k[20 * 32 + d] = dirty.v[20 * 32 + d] = 1e30f;  // infinite in half
    const std::vector<float> a = run(*kernel, shape, {{&clean, 0, 40}}, pool);
    const std::vector<float> b = run(*kernel, shape, {{&dirty, 0, 40}}, pool);
    const std::size_t before = 20 * 64;
    EXPECT_TRUE(testing::same_bits(std::span(b).first(before), std::span(a).first(before))) << kernel->info.name;
    EXPECT_TRUE(std::isnan(b[before])) << kernel->info.name;
  }
}

/// Blocks before the window need not exist, and a layer's part of a block is found by its offset.
TEST(Attention, NullBlocksBeforeTheWindowAndLayerOffsets) {
  const Shape shape{4, 2, 32, KvType::kF16, 0.0f, 65};
  ThreadPool pool(2);
  Sequence s(shape, 400, 3);
  const std::vector<float> expected = run(fastest(), shape, {{&s, 0, 400}}, pool);
  const KvBlockLayout layout{2, 32, KvType::kF16};
  std::vector<std::vector<std::byte>> memory;
  std::vector<std::byte*> blocks;
  for (std::byte* block : s.blocks) {
    memory.emplace_back(3 * layout.block_bytes(), std::byte{0xFF});
    std::copy(block, block + layout.block_bytes(), memory.back().data() + 2 * layout.block_bytes());
    blocks.push_back(memory.back().data());
  }
  for (std::size_t i = 0; i < 5; ++i) blocks[i] = nullptr;  // the last token sees 335 .. 399
  const KvSequence last{0, 1, 399, blocks.data()};
  AttentionArgs args;
  args.layout = layout;
  args.q = s.q.data() + 399 * 128;
  args.ld_q = 128;
  args.heads = 4;
  args.scale = 1.0f / std::sqrt(32.0f);
  args.window = 65;
  args.sequences = {&last, 1};
  args.block_offset = 2 * layout.block_bytes();
  std::vector<float> out(128);
  args.out = out.data();
  args.ld_out = 128;
  attention(args, pool);
  EXPECT_TRUE(testing::same_bits(out, std::span(expected).last(128)));
}

/// Long contexts are cut into spans that several threads share.
TEST(Attention, CutSpansHaveTheSameBits) {
  const Shape shape{4, 1, 64};
  ThreadPool one(1);
  ThreadPool four(4);
  const AttentionKernel& kernel = fastest();
  Sequence s(shape, 3000, 4);
  const std::vector<float> whole = run(kernel, shape, {{&s, 0, 3000}}, one);
  for (const std::int64_t begin : {2999, 2990, 2800}) {
    const std::vector<float> cut = run(kernel, shape, {{&s, begin, 3000}}, four);
    ASSERT_TRUE(testing::same_bits(cut, std::span(whole).last(cut.size()))) << begin;
  }
}

/// Values that are no numbers stay none, and their neighbours in other groups of 32 are not touched.
TEST(KvPack, BackAndForth) {
  ThreadPool pool(2);
  for (const int bits : {8, 4}) {
    for (const int dim : {64, 40}) {
      const Shape shape{1, 1, dim, KvType::kF16, 0.0f, 0, true, bits};
      Sequence s(shape, 64, 12);
      s.k[3] = 1e30f;  // infinite in half
      for (int d = 0; d < dim; ++d) s.k[static_cast<std::size_t>(7 * dim + d)] = 0.0f;
      for (int d = 0; d < dim; ++d) s.v[static_cast<std::size_t>(9 * dim + d)] *= 1e-6f;
      run(fastest(), shape, {{&s, 0, 64}}, pool);
      const KvBlockLayout layout{1, dim, KvType::kF16};
      const KvPackedLayout packing{1, dim, bits};
      Guarded<std::byte> floats(layout.block_bytes());
      kv_unpack(packing, s.packed[0], layout, floats.data());
      const auto key = [&](int position, int d) {
        std::uint16_t half;
        std::memcpy(&half, floats.data() + 2 * ((position / 16 * dim + d) * 16 + position % 16), 2);
        return f16_to_f32(half);
      };
      const auto value = [&](int position, int d) {
        std::uint16_t half;
        std::memcpy(&half, floats.data() + layout.v_offset(0) + 2 * (position * layout.padded_dim() + d), 2);
        return f16_to_f32(half);
      };
      EXPECT_TRUE(std::isnan(key(0, 3)) && std::isnan(key(0, 31)));
      EXPECT_FALSE(std::isnan(key(0, 32)) || std::isnan(key(1, 3)));
      // Half a step, of 4 bits a whole one (there is no +8); and the roundings to half before and of the step.
      const float worst = (bits == 8 ? 2.0f / 127 / 2 : 2.0f / 8) + 0.002f;
      for (int position = 1; position < 64; ++position)
        for (int d = 0; d < dim; ++d) {
          const auto at = static_cast<std::size_t>(position * dim + d);
          EXPECT_NEAR(key(position, d), s.k[at], worst) << position << " " << d;
          EXPECT_NEAR(value(position, d), s.v[at], worst) << position << " " << d;
        }
      for (int d = 0; d < dim; ++d) EXPECT_EQ(key(7, d), 0.0f);
    }
  }
}

TEST(KvStore, KernelsWriteTheSameBlocks) {
  ThreadPool pool(3);
  for (const AttentionKernel* kernel : attention_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    for (const KvType type : {KvType::kF16, KvType::kF32}) {
      const Shape shape{3, 3, 37, type};
      Sequence a(shape, 100, 8);
      Sequence b(shape, 100, 8);
      for (Sequence* s : {&a, &b}) s->k[5] = 65519.0f, s->k[6] = 65520.0f, s->v[7] = 1e-7f, s->v[8] = -3e-8f;
      run(*attention_kernels().front(), shape, {{&a, 0, 100}}, pool);
      run(*kernel, shape, {{&b, 0, 100}}, pool);
      for (std::size_t i = 0; i < a.memory.size(); ++i)
        EXPECT_TRUE(std::equal(a.memory[i]->span().begin(), a.memory[i]->span().end(), b.memory[i]->span().begin()))
            << kernel->info.name;
    }
  }
}

}  // namespace
}  // namespace nibble::kernel
