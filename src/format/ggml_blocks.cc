#include "format/ggml_blocks.h"

#include <array>
#include <cstring>

namespace nibble {
namespace {

// Blocks in files have any alignment, so each goes through a copy of its own (of 1 to 292 bytes; the compiler removes
// the small ones).

template <typename Format>
void dequantize_blocks(const std::byte* blocks, std::size_t count, float* values) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    typename Format::Block block;
    std::memcpy(&block, blocks + i * sizeof block, sizeof block);
    Format::dequantize(block, values + i * Format::kBlockValues);
  }
}

template <typename Format>
void quantize_blocks(const float* values, std::size_t count, std::byte* blocks) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    typename Format::Block block;
    Format::quantize(values + i * Format::kBlockValues, block);
    std::memcpy(blocks + i * sizeof block, &block, sizeof block);
  }
}

template <typename Format>
void unpack_blocks(const std::byte* blocks, std::size_t count, GgmlParts parts) noexcept {
  if constexpr (Format::kBlockValues == 1) {  // floats, which stay as they are
    if (count > 0) std::memcpy(parts.codes, blocks, count * sizeof(typename Format::Block));
    return;
  }
  for (std::size_t i = 0; i < count; ++i, parts.advance(Format::kParts)) {
    typename Format::Block block;
    std::memcpy(&block, blocks + i * sizeof block, sizeof block);
    Format::unpack(block, parts);
  }
}

template <typename Format>
void pack_blocks(GgmlConstParts parts, std::size_t count, std::byte* blocks) noexcept {
  if constexpr (Format::kBlockValues == 1) {
    if (count > 0) std::memcpy(blocks, parts.codes, count * sizeof(typename Format::Block));
    return;
  }
  for (std::size_t i = 0; i < count; ++i, parts.advance(Format::kParts)) {
    typename Format::Block block;
    Format::pack(parts, block);
    std::memcpy(blocks + i * sizeof block, &block, sizeof block);
  }
}

template <typename Format>
constexpr GgmlBlockFormat describe() {
  GgmlBlockFormat out{};
  out.id = Format::kId;
  out.name = Format::kName;
  out.block_values = Format::kBlockValues;
  out.block_bytes = sizeof(typename Format::Block);
  out.dequantize = dequantize_blocks<Format>;
  if constexpr (requires { &Format::quantize; }) out.quantize = quantize_blocks<Format>;
  if constexpr (requires { &Format::unpack; }) {
    out.parts = Format::kParts;
    out.unpack = unpack_blocks<Format>;
  }
  if constexpr (requires { &Format::pack; }) out.pack = pack_blocks<Format>;
  return out;
}

template <typename... Formats>
constexpr std::array<GgmlBlockFormat, sizeof...(Formats)> make_table(GgmlBlockList<Formats...>) {
  return {describe<Formats>()...};
}

constexpr auto kFormats = make_table(AllGgmlBlocks{});

}  // namespace

std::span<const GgmlBlockFormat> ggml_block_formats() { return kFormats; }

const GgmlBlockFormat* find_ggml_block_format(int id) {
  for (const GgmlBlockFormat& format : kFormats) {
    if (format.id == id) return &format;
  }
  return nullptr;
}

const GgmlBlockFormat* find_ggml_block_format(std::string_view name) {
  for (const GgmlBlockFormat& format : kFormats) {
    if (format.name == name) return &format;
  }
  return nullptr;
}

}  // namespace nibble
