// The table of ggml types. Sources: ggml/include/ggml.h and ggml/src/ggml-common.h, August 2026 (gguf.md section 3.1).
#include "format/ggml_types.h"

#include <algorithm>
#include <array>

namespace nibble {
namespace {

constexpr std::array kTypes = {
    GgmlTypeInfo{0, "f32", 1, 4},         GgmlTypeInfo{1, "f16", 1, 2},         GgmlTypeInfo{2, "q4_0", 32, 18},
    GgmlTypeInfo{3, "q4_1", 32, 20},      GgmlTypeInfo{6, "q5_0", 32, 22},      GgmlTypeInfo{7, "q5_1", 32, 24},
    GgmlTypeInfo{8, "q8_0", 32, 34},      GgmlTypeInfo{9, "q8_1", 32, 36},      GgmlTypeInfo{10, "q2_k", 256, 84},
    GgmlTypeInfo{11, "q3_k", 256, 110},   GgmlTypeInfo{12, "q4_k", 256, 144},   GgmlTypeInfo{13, "q5_k", 256, 176},
    GgmlTypeInfo{14, "q6_k", 256, 210},   GgmlTypeInfo{15, "q8_k", 256, 292},   GgmlTypeInfo{16, "iq2_xxs", 256, 66},
    GgmlTypeInfo{17, "iq2_xs", 256, 74},  GgmlTypeInfo{18, "iq3_xxs", 256, 98}, GgmlTypeInfo{19, "iq1_s", 256, 50},
    GgmlTypeInfo{20, "iq4_nl", 32, 18},   GgmlTypeInfo{21, "iq3_s", 256, 110},  GgmlTypeInfo{22, "iq2_s", 256, 82},
    GgmlTypeInfo{23, "iq4_xs", 256, 136}, GgmlTypeInfo{24, "i8", 1, 1},         GgmlTypeInfo{25, "i16", 1, 2},
    GgmlTypeInfo{26, "i32", 1, 4},        GgmlTypeInfo{27, "i64", 1, 8},        GgmlTypeInfo{28, "f64", 1, 8},
    GgmlTypeInfo{29, "iq1_m", 256, 56},   GgmlTypeInfo{30, "bf16", 1, 2},       GgmlTypeInfo{34, "tq1_0", 256, 54},
    GgmlTypeInfo{35, "tq2_0", 256, 66},   GgmlTypeInfo{39, "mxfp4", 32, 17},    GgmlTypeInfo{40, "nvfp4", 64, 36},
    GgmlTypeInfo{41, "q1_0", 128, 18},    GgmlTypeInfo{42, "q2_0", 64, 18},
};

struct RemovedType {
  int id;
  std::string_view name;
};
constexpr std::array kRemoved = {
    RemovedType{4, "q4_2"},        RemovedType{5, "q4_3"},        RemovedType{31, "q4_0_4_4"},
    RemovedType{32, "q4_0_4_8"},   RemovedType{33, "q4_0_8_8"},   RemovedType{36, "iq4_nl_4_4"},
    RemovedType{37, "iq4_nl_4_8"}, RemovedType{38, "iq4_nl_8_8"},
};

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::span<const GgmlTypeInfo> ggml_types() { return kTypes; }

const GgmlTypeInfo* find_ggml_type(int id) {
  const auto found = std::find_if(kTypes.begin(), kTypes.end(), [id](const GgmlTypeInfo& t) { return t.id == id; });
  return found == kTypes.end() ? nullptr : &*found;
}

const GgmlTypeInfo* find_ggml_type(std::string_view name) {
  const auto same = [name](const GgmlTypeInfo& type) {
    return std::equal(name.begin(), name.end(), type.name.begin(), type.name.end(),
                      [](char a, char b) { return lower(a) == b; });
  };
  const auto found = std::find_if(kTypes.begin(), kTypes.end(), same);
  return found == kTypes.end() ? nullptr : &*found;
}

std::string_view removed_ggml_type(int id) {
  for (const RemovedType& removed : kRemoved)
    if (removed.id == id) return removed.name;
  return {};
}

std::optional<std::uint64_t> ggml_bytes(const GgmlTypeInfo& type, std::uint64_t rows, std::uint64_t cols) {
  const auto values = static_cast<std::uint64_t>(type.block_values);
  if (cols % values != 0) return std::nullopt;
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(rows, cols / values, &blocks)) return std::nullopt;
  if (__builtin_mul_overflow(blocks, static_cast<std::uint64_t>(type.block_bytes), &bytes)) return std::nullopt;
  if (bytes > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
  return bytes;
}

}  // namespace nibble
