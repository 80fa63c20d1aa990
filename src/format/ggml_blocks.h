// All block formats of ggml: the one list, and a table made from it for code that learns the type at run time.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>

#include "format/ggml_blocks_float.h"
#include "format/ggml_blocks_fp4.h"
#include "format/ggml_blocks_iq.h"
#include "format/ggml_blocks_k.h"
#include "format/ggml_blocks_legacy.h"
#include "format/ggml_blocks_ternary.h"

namespace nibble {

/// What every block format has: its ggml id, lower-case name and values per block, the block, and its meaning.
template <typename T>
concept GgmlBlockType = requires(const typename T::Block& block, float* values) {
  { T::kId } -> std::convertible_to<int>;
  { T::kName } -> std::convertible_to<std::string_view>;
  { T::kBlockValues } -> std::convertible_to<int>;
  { T::dequantize(block, values) }
  noexcept;
};

template <GgmlBlockType... Types>
struct GgmlBlockList {};

/// The one list, by ascending id.
using AllGgmlBlocks = GgmlBlockList<GgmlF32, GgmlF16, GgmlQ4_0, GgmlQ4_1, GgmlQ5_0, GgmlQ5_1, GgmlQ8_0, GgmlQ8_1,
                                    GgmlQ2_K, GgmlQ3_K, GgmlQ4_K, GgmlQ5_K, GgmlQ6_K, GgmlQ8_K, GgmlIq2Xxs, GgmlIq2Xs,
                                    GgmlIq3Xxs, GgmlIq1S, GgmlIq4Nl, GgmlIq3S, GgmlIq2S, GgmlIq4Xs, GgmlIq1M, GgmlBf16,
                                    GgmlTq1_0, GgmlTq2_0, GgmlMxfp4, GgmlNvfp4, GgmlQ1_0, GgmlQ2_0>;

/// One block format at run time. Functions work on `count` blocks that follow each other, at any alignment.
struct GgmlBlockFormat {
  int id;
  std::string_view name;  ///< "q4_k": as GGUF names it, in lower case
  int block_values;
  int block_bytes;
  GgmlPartBytes parts;  ///< per block; of unpack and pack

  void (*dequantize)(const std::byte* blocks, std::size_t count, float* values) noexcept;
  /// nullptr: Nibble has no quantizer for the type.
  void (*quantize)(const float* values, std::size_t count, std::byte* blocks) noexcept;
  /// Takes blocks apart; part pointers of size 0 are not used. nullptr: an activation format, never in files.
  void (*unpack)(const std::byte* blocks, std::size_t count, GgmlParts parts) noexcept;
  /// The inverse of unpack; codes must be within range. nullptr: the type is read only.
  void (*pack)(GgmlConstParts parts, std::size_t count, std::byte* blocks) noexcept;
};

std::span<const GgmlBlockFormat> ggml_block_formats();
/// nullptr when the id is unknown or not a block or float format.
const GgmlBlockFormat* find_ggml_block_format(int id);
/// By lower-case name.
const GgmlBlockFormat* find_ggml_block_format(std::string_view name);

}  // namespace nibble
