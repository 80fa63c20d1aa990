// The tensor types of ggml (gguf.md section 3.1): the one table that says how many bytes a block of each takes. What
// the bytes mean is defined by the block formats; containers need only this.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace nibble {

struct GgmlTypeInfo {
  int id;                 ///< as stored in GGUF
  std::string_view name;  ///< ggml's, in lower case: "q4_k"; llama.cpp prints it as "q4_K"
  int block_values;
  int block_bytes;
};

/// All types that a file may hold, in order of id; removed ids are not listed.
std::span<const GgmlTypeInfo> ggml_types();
/// nullptr for ids that are unknown or were removed.
const GgmlTypeInfo* find_ggml_type(int id);
/// The name may be written in either case.
const GgmlTypeInfo* find_ggml_type(std::string_view name);
/// What a removed id was called ("q4_2"); empty for any other id.
std::string_view removed_ggml_type(int id);

/// Bytes of rows x cols values; nothing when cols is not a multiple of the block or the size does not fit in 63 bits.
std::optional<std::uint64_t> ggml_bytes(const GgmlTypeInfo& type, std::uint64_t rows, std::uint64_t cols);

}  // namespace nibble
