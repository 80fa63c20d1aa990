// Writing GGUF: metadata, infos and the place of every tensor come from the plan at once; data may then come in any
// order.
#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <set>

#include "base/byte_reader.h"
#include "base/check.h"
#include "base/utf8.h"
#include "format/ggml_types.h"
#include "io/gguf_format.h"
#include "io/written_runs.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

/// Serializes the part of the file before the data section.
class HeaderBuilder {
 public:
  template <typename T>
  void number(T value) {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + sizeof(T));
    std::memcpy(bytes_.data() + at, &value, sizeof(T));
  }
  void string(std::string_view text) {
    number(static_cast<std::uint64_t>(text.size()));
    const auto bytes = std::as_bytes(std::span(text));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void pair(const std::string& key, const GgufValue& value) {
    string(key);
    number(static_cast<std::uint32_t>(value.type));
    if (const auto* unsigned_value = std::get_if<std::uint64_t>(&value.value)) {
      truncated(*unsigned_value, gguf_type_bytes(value.type));
    } else if (const auto* signed_value = std::get_if<std::int64_t>(&value.value)) {
      truncated(static_cast<std::uint64_t>(*signed_value), gguf_type_bytes(value.type));
    } else if (const auto* real = std::get_if<double>(&value.value)) {
      if (value.type == GgufType::kF32)
        number(static_cast<float>(*real));
      else
        number(*real);
    } else if (const auto* flag = std::get_if<bool>(&value.value)) {
      number(static_cast<std::uint8_t>(*flag ? 1 : 0));
    } else if (const auto* text = std::get_if<std::string>(&value.value)) {
      string(*text);
    } else {
      array(std::get<GgufArray>(value.value));
    }
  }
  void tensor(const GgufTensorPlan& plan, std::uint64_t offset) {
    string(plan.name);
    number(static_cast<std::uint32_t>(plan.shape.size()));
    for (auto size = plan.shape.rbegin(); size != plan.shape.rend(); ++size) number(static_cast<std::uint64_t>(*size));
    number(static_cast<std::int32_t>(plan.ggml_type));
    number(offset);
  }
  void pad_to(std::uint64_t size) { bytes_.resize(static_cast<std::size_t>(size), std::byte{0}); }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  void array(const GgufArray& array) {
    number(static_cast<std::uint32_t>(array.element));
    number(static_cast<std::uint64_t>(array.size()));
    for (const std::string& text : array.strings) string(text);
    bytes_.insert(bytes_.end(), array.bytes.begin(), array.bytes.end());
  }
  void truncated(std::uint64_t value, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) number(static_cast<std::uint8_t>(value >> (8 * i)));
  }

  std::vector<std::byte> bytes_;
};

/// The value has the alternative and the range that its type asks for.
bool is_consistent(const GgufValue& value) {
  const std::size_t bits = 8 * gguf_type_bytes(value.type);
  switch (value.type) {
    case GgufType::kU8:
    case GgufType::kU16:
    case GgufType::kU32:
    case GgufType::kU64: {
      const auto* number = std::get_if<std::uint64_t>(&value.value);
      return number != nullptr && (bits == 64 || *number >> bits == 0);
    }
    case GgufType::kI8:
    case GgufType::kI16:
    case GgufType::kI32:
    case GgufType::kI64: {
      const auto* number = std::get_if<std::int64_t>(&value.value);
      if (number == nullptr) return false;
      const std::int64_t high = *number >> (bits - 1);  // all copies of the sign
      return high == 0 || high == -1;
    }
    case GgufType::kF32:
    case GgufType::kF64:
      return std::holds_alternative<double>(value.value);
    case GgufType::kBool:
      return std::holds_alternative<bool>(value.value);
    case GgufType::kString:
      return std::holds_alternative<std::string>(value.value);
    case GgufType::kArray: {
      const auto* array = std::get_if<GgufArray>(&value.value);
      if (array == nullptr || array->element == GgufType::kArray || gguf_type_name(array->element).empty())
        return false;
      const std::size_t each = gguf_type_bytes(array->element);
      return each == 0 ? array->bytes.empty() : array->strings.empty() && array->bytes.size() % each == 0;
    }
  }
  return false;
}

bool is_split_key(std::string_view key) {
  return key == kGgufSplitNo || key == kGgufSplitCount || key == kGgufSplitTensors;
}

Status check_metadata(const GgufMetadata& metadata) {
  for (const auto& entry : metadata.all()) {
    if (entry.first.empty() || !is_utf8(entry.first))
      return fail(ErrorCode::kInvalidArgument, "\"{}\" cannot be a GGUF key", printable(entry.first));
    if (!is_consistent(entry.second))
      return fail(ErrorCode::kInvalidArgument, "{}: the value does not fit its type {}", printable(entry.first),
                  gguf_type_name(entry.second.type));
  }
  return {};
}

/// Bytes of each planned tensor.
Result<std::vector<std::uint64_t>> check_plan(const std::vector<GgufTensorPlan>& plan) {
  std::vector<std::uint64_t> sizes;
  std::set<std::string_view> names;
  for (const GgufTensorPlan& tensor : plan) {
    const auto refuse = [&](std::string_view why) {
      return fail(ErrorCode::kInvalidArgument, "tensor \"{}\": {}", printable(tensor.name), why);
    };
    if (tensor.name.empty() || tensor.name.size() > kGgufMaxNameBytes || !is_utf8(tensor.name))
      return refuse(fmt::format("GGUF allows names of 1 to {} bytes of UTF-8", kGgufMaxNameBytes));
    if (!names.insert(tensor.name).second) return refuse("planned twice");
    if (tensor.shape.empty() || tensor.shape.size() > kGgufMaxDims) return refuse("GGUF allows 1 to 4 dimensions");
    const GgmlTypeInfo* type = find_ggml_type(tensor.ggml_type);
    if (type == nullptr) return refuse(fmt::format("{} is no ggml type", tensor.ggml_type));
    std::uint64_t rows = 1;
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
      if (tensor.shape[i] < 0) return refuse("a dimension is negative");
      if (i + 1 < tensor.shape.size() && !checked_multiply(rows, static_cast<std::uint64_t>(tensor.shape[i]), rows))
        return refuse("the number of values does not fit in 64 bits");
    }
    const auto cols = static_cast<std::uint64_t>(tensor.shape.back());
    const auto bytes = ggml_bytes(*type, rows, cols);
    if (!bytes)
      return refuse(
          fmt::format("{} x {} values cannot be {}, whose blocks hold {}", rows, cols, type->name, type->block_values));
    sizes.push_back(*bytes);
  }
  return sizes;
}

/// One output file and the tensors that go into it.
struct Shard {
  std::size_t first = 0;  ///< in the plan
  std::size_t count = 0;
  std::uint64_t alignment = kGgufDefaultAlignment;
};

/// As gguf-split does: sums of sizes padded to 32, in plan order, metadata not counted.
std::vector<Shard> split_into_shards(const std::vector<std::uint64_t>& sizes, std::uint64_t limit) {
  std::vector<Shard> shards(1);
  std::uint64_t filled = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::uint64_t padded = align_up(sizes[i], kGgufDefaultAlignment).value_or(sizes[i]);
    if (limit != 0 && shards.back().count != 0 && filled + padded > limit) {
      shards.push_back({i, 0, kGgufDefaultAlignment});
      filled = 0;
    }
    ++shards.back().count;
    filled += padded;
  }
  return shards;
}

/// What stands before the data of a file, padded, and where its tensors begin behind it.
struct FileLayout {
  HeaderBuilder header;
  std::vector<std::uint64_t> offsets;
  std::uint64_t data_bytes = 0;
};

Result<FileLayout> lay_out(std::span<const std::pair<std::string, GgufValue>> metadata,
                           std::span<const GgufTensorPlan> plan, std::span<const std::uint64_t> sizes,
                           std::uint64_t alignment) {
  FileLayout out;
  constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
  out.header.number(kMagic);
  out.header.number(std::uint32_t{3});
  out.header.number(static_cast<std::uint64_t>(plan.size()));
  out.header.number(static_cast<std::uint64_t>(metadata.size()));
  for (const auto& entry : metadata) out.header.pair(entry.first, entry.second);
  for (std::size_t i = 0; i < plan.size(); ++i) {
    out.header.tensor(plan[i], out.data_bytes);
    out.offsets.push_back(out.data_bytes);
    std::uint64_t end = 0;
    const auto next = checked_add(out.data_bytes, sizes[i], end) ? align_up(end, alignment) : std::nullopt;
    if (!next) return fail(ErrorCode::kInvalidArgument, "the tensors need more than 2^64 bytes");
    out.data_bytes = *next;
  }
  out.header.pad_to(align_up(out.header.bytes().size(), alignment).value_or(0));
  return out;
}

class Writer final : public GgufWriter {
 public:
  Writer(std::vector<GgufTensorPlan> plan, std::vector<std::uint64_t> sizes)
      : plan_(std::move(plan)), sizes_(std::move(sizes)), written_(sizes_.size()) {}

  Status prepare(const fs::path& path, const GgufMetadata& metadata, std::uint64_t shard_bytes) {
    shards_ = split_into_shards(sizes_, shard_bytes);
    if (shards_.size() > UINT16_MAX)
      return fail(ErrorCode::kInvalidArgument, "{}: {} shards, at most {} are possible; allow larger ones",
                  path.string(), shards_.size(), UINT16_MAX);
    const auto shard_name = parse_gguf_shard_name(path);
    const fs::path stem = path.extension() == ".gguf" ? path.parent_path() / path.stem() : path;
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      const bool is_split = shards_.size() > 1;
      const fs::path target =
          is_split ? gguf_shard_path(shard_name ? shard_name->prefix : stem, i + 1, shards_.size()) : path;
      NIBBLE_TRY_STATUS(prepare_shard(i, target, metadata));
    }
    return {};
  }

  Status write(std::size_t index, std::uint64_t offset, std::span<const std::byte> bytes) override {
    NIBBLE_CHECK(index < plan_.size());
    NIBBLE_CHECK(offset <= sizes_[index] && bytes.size() <= sizes_[index] - offset);
    const Place& place = places_[index];
    NIBBLE_TRY_STATUS(files_[place.shard].write_at(place.offset + offset, bytes));
    const std::lock_guard lock(mutex_);
    written_[index].add(offset, offset + bytes.size());
    return {};
  }

  Status finish() override {
    for (std::size_t i = 0; i < plan_.size(); ++i) {
      const std::uint64_t missing = written_[i].first_missing(sizes_[i]);
      if (missing != sizes_[i])
        return fail(ErrorCode::kInvalidArgument, "tensor \"{}\": byte {} of {} was never written",
                    printable(plan_[i].name), missing, sizes_[i]);
      NIBBLE_TRY_STATUS(pad(i));
    }
    // The first shard is what a reader opens: it comes last, when all others are in place.
    for (std::size_t i = files_.size(); i-- > 0;) NIBBLE_TRY_STATUS(files_[i].commit());
    return {};
  }

 private:
  /// The metadata of one shard: everything in the first, and the split's keys in gguf-split's order where there is one.
  std::vector<std::pair<std::string, GgufValue>> shard_metadata(std::size_t index, const GgufMetadata& metadata) const {
    std::vector<std::pair<std::string, GgufValue>> pairs;
    if (index == 0)
      for (const auto& entry : metadata.all())
        if (!is_split_key(entry.first)) pairs.push_back(entry);
    if (shards_.size() == 1) return pairs;
    pairs.emplace_back(kGgufSplitNo, GgufValue{GgufType::kU16, std::uint64_t{index}});
    pairs.emplace_back(kGgufSplitTensors, GgufValue{GgufType::kI32, static_cast<std::int64_t>(plan_.size())});
    pairs.emplace_back(kGgufSplitCount, GgufValue{GgufType::kU16, std::uint64_t{shards_.size()}});
    return pairs;
  }

  Status prepare_shard(std::size_t index, const fs::path& target, const GgufMetadata& metadata) {
    Shard& shard = shards_[index];
    if (index == 0) {
      NIBBLE_TRY(shard.alignment, gguf_alignment(metadata));
    }
    const auto pairs = shard_metadata(index, metadata);
    const Result<FileLayout> layout = lay_out(pairs, std::span(plan_).subspan(shard.first, shard.count),
                                              std::span(sizes_).subspan(shard.first, shard.count), shard.alignment);
    if (!layout.ok()) return with_context(layout.error(), target.string());
    const std::span<const std::byte> header = layout->header.bytes();
    for (const std::uint64_t offset : layout->offsets) places_.push_back({index, header.size() + offset});
    NIBBLE_TRY(AtomicFile file, AtomicFile::create(target));
    std::uint64_t total = 0;
    if (!checked_add(header.size(), layout->data_bytes, total)) total = UINT64_MAX;
    NIBBLE_TRY_STATUS(file.reserve(total));
    NIBBLE_TRY_STATUS(file.append(header));
    files_.push_back(std::move(file));
    return {};
  }

  /// Zeros from a tensor's end to where the next one may begin.
  Status pad(std::size_t index) {
    const Place& place = places_[index];
    const std::uint64_t end = place.offset + sizes_[index];
    const std::uint64_t aligned = align_up(end, shards_[place.shard].alignment).value_or(end);
    return files_[place.shard].write_at(end, std::vector<std::byte>(static_cast<std::size_t>(aligned - end)));
  }

  /// Where a tensor of the plan goes.
  struct Place {
    std::size_t shard = 0;
    std::uint64_t offset = 0;  ///< in the file
  };

  std::vector<GgufTensorPlan> plan_;
  std::vector<std::uint64_t> sizes_;
  std::vector<Shard> shards_;
  std::vector<AtomicFile> files_;
  std::vector<Place> places_;
  std::mutex mutex_;  ///< of the written runs
  std::vector<WrittenRuns> written_;
};

}  // namespace

Result<std::uint64_t> gguf_bytes(const GgufMetadata& metadata, const std::vector<GgufTensorPlan>& plan) {
  NIBBLE_TRY_STATUS(check_metadata(metadata));
  NIBBLE_TRY(const std::vector<std::uint64_t> sizes, check_plan(plan));
  NIBBLE_TRY(const std::uint64_t alignment, gguf_alignment(metadata));
  std::vector<std::pair<std::string, GgufValue>> pairs;
  for (const auto& entry : metadata.all())
    if (!is_split_key(entry.first)) pairs.push_back(entry);
  NIBBLE_TRY(const FileLayout layout, lay_out(pairs, plan, sizes, alignment));
  std::uint64_t total = 0;
  if (!checked_add(layout.header.bytes().size(), layout.data_bytes, total))
    return fail(ErrorCode::kInvalidArgument, "the tensors need more than 2^64 bytes");
  return total;
}

Result<std::unique_ptr<GgufWriter>> GgufWriter::create(const fs::path& path, const GgufMetadata& metadata,
                                                       std::vector<GgufTensorPlan> plan, std::uint64_t shard_bytes) {
  const std::string context = path.string();
  if (const Status checked = check_metadata(metadata); !checked.ok()) return with_context(checked.error(), context);
  auto sizes = check_plan(plan);
  if (!sizes.ok()) return with_context(sizes.error(), context);
  auto writer = std::make_unique<Writer>(std::move(plan), std::move(*sizes));
  NIBBLE_TRY_STATUS(writer->prepare(path, metadata, shard_bytes));
  return std::unique_ptr<GgufWriter>(std::move(writer));
}

}  // namespace nibble
