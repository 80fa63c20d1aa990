// Writing keys and values into the blocks of the cache.
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "kernel/attention/attention.h"

namespace nibble::kernel {
namespace {

/// One token of one kv head. A key is spread over its group's vectors: one element every kGroup.
template <typename Element>
void place(const KvBlockLayout& layout, const Element* k, const Element* v, int place_in_block, std::byte* k_block,
           std::byte* v_block) {
  const int group = place_in_block / KvBlockLayout::kGroup;
  Element* keys = reinterpret_cast<Element*>(k_block) +
                  static_cast<std::ptrdiff_t>(group) * layout.head_dim * KvBlockLayout::kGroup +
                  place_in_block % KvBlockLayout::kGroup;
  for (int d = 0; d < layout.head_dim; ++d) keys[static_cast<std::ptrdiff_t>(d) * KvBlockLayout::kGroup] = k[d];
  Element* values =
      reinterpret_cast<Element*>(v_block) + static_cast<std::ptrdiff_t>(place_in_block) * layout.padded_dim();
  std::memcpy(values, v, static_cast<std::size_t>(layout.head_dim) * sizeof(Element));
  std::fill(values + layout.head_dim, values + layout.padded_dim(), Element{});
}

/// All kv heads of one token.
void store_token(const AttentionKernel& kernel, const KvBlockLayout& layout, const float* k, const float* v,
                 std::byte* block, int place_in_block) {
  static thread_local std::vector<std::uint16_t> halves;
  const auto padded = static_cast<std::size_t>(layout.padded_dim());
  halves.resize(2 * padded);
  for (int head = 0; head < layout.kv_heads; ++head) {
    const float* key = k + static_cast<std::ptrdiff_t>(head) * layout.head_dim;
    const float* value = v + static_cast<std::ptrdiff_t>(head) * layout.head_dim;
    std::byte* k_block = block + layout.k_offset(head);
    std::byte* v_block = block + layout.v_offset(head);
    if (layout.type == KvType::kF32) {
      place(layout, key, value, place_in_block, k_block, v_block);
      continue;
    }
    kernel.to_half(key, layout.head_dim, halves.data());
    kernel.to_half(value, layout.head_dim, halves.data() + padded);
    place<std::uint16_t>(layout, halves.data(), halves.data() + padded, place_in_block, k_block, v_block);
  }
}

struct Token {
  const KvSequence* sequence;
  std::int64_t row;  ///< of the sequence
};

}  // namespace

void kv_store_with(const AttentionKernel& kernel, const KvBlockLayout& layout, const float* k, std::int64_t ld_k,
                   const float* v, std::int64_t ld_v, std::span<const KvSequence> sequences, std::size_t block_offset,
                   ThreadPool& pool) {
  const int per_token = layout.kv_heads * layout.head_dim;
  // One loop for all sequences: many texts have a token each.
  std::vector<Token> tokens;
  for (const KvSequence& s : sequences)
    for (std::int64_t t = 0; t < s.rows; ++t) tokens.push_back({&s, t});
  const auto grain = static_cast<std::size_t>(std::max(1, 512 / std::max(1, per_token)));
  pool.run(tokens.size(), grain, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i) {
      const KvSequence& s = *tokens[i].sequence;
      const std::int64_t row = s.first_row + tokens[i].row;
      const std::int64_t position = s.first_position + tokens[i].row;
      store_token(kernel, layout, k + row * ld_k, v + row * ld_v,
                  s.blocks[position / KvBlockLayout::kTokens] + block_offset,
                  static_cast<int>(position % KvBlockLayout::kTokens));
    }
  });
}

void kv_store(const KvBlockLayout& layout, const float* k, std::int64_t ld_k, const float* v, std::int64_t ld_v,
              std::span<const KvSequence> sequences, std::size_t block_offset, ThreadPool& pool) {
  static const AttentionKernel& kernel = best_kernel(attention_kernels(), cpu_features());
  kv_store_with(kernel, layout, k, ld_k, v, ld_v, sequences, block_offset, pool);
}

}  // namespace nibble::kernel
