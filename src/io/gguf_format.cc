// The small facts of GGUF (gguf.md section 1) that both directions need.
#include "io/gguf_format.h"

#include <array>

namespace nibble {
namespace {

struct TypeFacts {
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array<TypeFacts, 13> kTypes{{{"u8", 1},
                                            {"i8", 1},
                                            {"u16", 2},
                                            {"i16", 2},
                                            {"u32", 4},
                                            {"i32", 4},
                                            {"f32", 4},
                                            {"bool", 1},
                                            {"string", 0},
                                            {"array", 0},
                                            {"u64", 8},
                                            {"i64", 8},
                                            {"f64", 8}}};

const TypeFacts* facts(GgufType type) {
  const auto id = static_cast<std::size_t>(type);
  return id < kTypes.size() ? &kTypes[id] : nullptr;
}

/// Five or more digits at `at`; moves `at` behind them.
std::optional<std::uint64_t> read_number(std::string_view text, std::size_t& at) {
  const std::size_t begin = at;
  std::uint64_t value = 0;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9' && at - begin < 9)
    value = value * 10 + static_cast<std::uint64_t>(text[at++] - '0');
  if (at - begin < 5) return std::nullopt;
  return value;
}

}  // namespace

std::size_t gguf_type_bytes(GgufType type) { return facts(type) == nullptr ? 0 : facts(type)->bytes; }

std::string_view gguf_type_name(GgufType type) { return facts(type) == nullptr ? "" : facts(type)->name; }

Result<std::uint64_t> gguf_alignment(const GgufMetadata& metadata) {
  const GgufValue* value = metadata.find(kGgufAlignmentKey);
  if (value == nullptr) return kGgufDefaultAlignment;
  if (value->type != GgufType::kU32)
    return fail(ErrorCode::kCorrupt, "{}: {} is {}, expected u32", metadata.what(), kGgufAlignmentKey,
                gguf_type_name(value->type));
  const std::uint64_t alignment = std::get<std::uint64_t>(value->value);
  if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > kGgufMaxAlignment)
    return fail(ErrorCode::kCorrupt, "{}: {} is {}, expected a power of two up to {}", metadata.what(),
                kGgufAlignmentKey, alignment, kGgufMaxAlignment);
  return alignment;
}

std::optional<std::uint64_t> align_up(std::uint64_t value, std::uint64_t alignment) {
  std::uint64_t sum = 0;
  if (__builtin_add_overflow(value, alignment - 1, &sum)) return std::nullopt;
  return sum & ~(alignment - 1);
}

std::optional<GgufShardName> parse_gguf_shard_name(const std::filesystem::path& path) {
  constexpr std::string_view kExtension = ".gguf";
  const std::string name = path.filename().string();
  const std::size_t of = name.rfind("-of-");
  if (of == std::string::npos || !name.ends_with(kExtension)) return std::nullopt;
  const std::size_t dash = of == 0 ? std::string::npos : name.rfind('-', of - 1);
  if (dash == std::string::npos) return std::nullopt;
  std::size_t at = dash + 1;
  const auto number = read_number(name, at);
  if (!number || at != of) return std::nullopt;
  at = of + 4;
  const auto count = read_number(name, at);
  if (!count || at + kExtension.size() != name.size()) return std::nullopt;
  return GgufShardName{path.parent_path() / name.substr(0, dash), *number, *count};
}

std::filesystem::path gguf_shard_path(const std::filesystem::path& prefix, std::uint64_t number, std::uint64_t count) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", prefix.string(), number, count);
}

}  // namespace nibble
