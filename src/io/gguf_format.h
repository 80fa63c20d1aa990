// What the GGUF reader and writer share: sizes of value types, alignment, shard names, the keys of split files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "io/gguf.h"

namespace nibble {

inline constexpr std::string_view kGgufAlignmentKey = "general.alignment";
inline constexpr std::string_view kGgufSplitNo = "split.no";
inline constexpr std::string_view kGgufSplitCount = "split.count";
inline constexpr std::string_view kGgufSplitTensors = "split.tensors.count";

inline constexpr std::uint64_t kGgufDefaultAlignment = 32;
inline constexpr std::uint64_t kGgufMaxAlignment = 1 << 26;  // ours: a writer pads with that many zeros
inline constexpr std::size_t kGgufMaxDims = 4;
inline constexpr std::size_t kGgufMaxNameBytes = 63;  // ggml keeps names in 64 bytes with a terminator

/// Bytes of one value; 0 for strings and arrays, whose size varies, and for ids that are no type.
std::size_t gguf_type_bytes(GgufType type);
/// "u32", "string" ...; empty for ids that are no type.
std::string_view gguf_type_name(GgufType type);

/// The value of general.alignment, checked; 32 when absent.
Result<std::uint64_t> gguf_alignment(const GgufMetadata& metadata);

/// `value` rounded up to a multiple of `alignment` (a power of two); nothing when that does not fit in 64 bits.
std::optional<std::uint64_t> align_up(std::uint64_t value, std::uint64_t alignment);

/// PREFIX-00002-of-00003.gguf taken apart.
struct GgufShardName {
  std::filesystem::path prefix;  ///< with its folder
  std::uint64_t number = 0;      ///< from 1
  std::uint64_t count = 0;
};
std::optional<GgufShardName> parse_gguf_shard_name(const std::filesystem::path& path);
std::filesystem::path gguf_shard_path(const std::filesystem::path& prefix, std::uint64_t number, std::uint64_t count);

}  // namespace nibble
