// Reading GGUF: metadata, tensor infos, and the places of the tensors' bytes; then the other shards of a split model.
#include "io/gguf.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>

#include "base/byte_reader.h"
#include "base/utf8.h"
#include "format/ggml_types.h"
#include "io/gguf_format.h"

namespace nibble {

/// Reads one file. Every count is compared with the bytes that are left before anything is allocated for it.
class GgufReader {
 public:
  explicit GgufReader(MappedFile::Ptr file)
      : file_(std::move(file)),
        path_(file_->path()),
        reader_(file_->bytes(), path_),
        metadata_(std::make_shared<GgufMetadata>(path_)) {}

  Status read(TensorSet& tensors) {
    NIBBLE_TRY_STATUS(read_magic_and_version());
    // The least that an entry takes: name length, dimension count, type, offset; key length, one byte of key, type,
    // value.
    constexpr std::uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;
    constexpr std::uint64_t kMinPairBytes = 8 + 1 + 4 + 1;
    NIBBLE_TRY(const std::uint64_t tensor_count, read_count("tensor_count", kMinTensorBytes));
    NIBBLE_TRY(const std::uint64_t pair_count, read_count("kv_count", kMinPairBytes));
    for (std::uint64_t i = 0; i < pair_count; ++i) NIBBLE_TRY_STATUS(read_pair(i));
    NIBBLE_TRY(alignment_, gguf_alignment(*metadata_));
    std::vector<Info> infos;
    for (std::uint64_t i = 0; i < tensor_count; ++i) {
      NIBBLE_TRY(Info info, read_info(i));
      infos.push_back(std::move(info));
    }
    NIBBLE_TRY_STATUS(place_tensors(infos, tensors));
    return file_->check_intact();
  }

  std::shared_ptr<const GgufMetadata> metadata() const { return metadata_; }
  std::uint64_t file_bytes() const { return file_->bytes().size(); }

 private:
  struct Info {
    StoredTensor tensor;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
  };

  template <typename... Args>
  Error corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(ErrorCode::kCorrupt, "{}: {}", path_, fmt::format(format, std::forward<Args>(args)...));
  }

  Status read_magic_and_version() {
    NIBBLE_TRY(const auto magic, reader_.read_bytes(4, "magic"));
    const std::string_view text(reinterpret_cast<const char*>(magic.data()), magic.size());
    if (text != "GGUF") return corrupt("magic is \"{}\", expected \"GGUF\"; this is not a GGUF file", printable(text));
    NIBBLE_TRY(const auto version, reader_.read<std::uint32_t>("version"));
    if ((version & 0xFFFFu) == 0 && version != 0)
      return fail(ErrorCode::kUnsupported,
                  "{}: version {:#x}: the file is big-endian; convert it with gguf_convert_endian.py of llama.cpp",
                  path_, version);
    if (version == 1)
      return fail(ErrorCode::kUnsupported, "{}: version 1 (2023) is no longer read; convert the model again", path_);
    if (version != 2 && version != 3)
      return fail(version == 0 ? ErrorCode::kCorrupt : ErrorCode::kUnsupported,
                  "{}: version is {}, expected 2 or 3; the file may be newer than this program", path_, version);
    return {};
  }

  Result<std::uint64_t> read_count(std::string_view field, std::uint64_t min_bytes_each) {
    NIBBLE_TRY(const auto count, reader_.read<std::uint64_t>(field));
    return check_count(count, field, min_bytes_each);
  }

  Result<std::uint64_t> check_count(std::uint64_t count, std::string_view field, std::uint64_t min_bytes_each) const {
    const std::uint64_t possible = reader_.remaining() / min_bytes_each;
    if (count > possible)
      return corrupt("{} is {}, the {} bytes left hold at most {}; the file may be cut short", field, count,
                     reader_.remaining(), possible);
    return count;
  }

  Result<std::string_view> read_string(std::string_view field) {
    constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 30;  // as the C reader
    NIBBLE_TRY(const auto length, reader_.read<std::uint64_t>(field));
    if (length > kMaxBytes || length > reader_.remaining())
      return corrupt("{}: a string of {} bytes at offset {}, the file has {} left", field, length, reader_.offset() - 8,
                     reader_.remaining());
    NIBBLE_TRY(const auto bytes, reader_.read_bytes(length, field));
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  Status read_pair(std::uint64_t index) {
    NIBBLE_TRY(const std::string_view key, read_string(fmt::format("key {}", index)));
    if (key.empty()) return corrupt("key {} is empty", index);
    if (!is_utf8(key)) return corrupt("key {} (\"{}\") is not UTF-8", index, printable(key));
    if (!keys_.insert(key).second) return corrupt("the key {} appears twice", printable(key));
    const std::string field = "the value of " + printable(key);
    NIBBLE_TRY(const auto type, reader_.read<std::uint32_t>(field));
    GgufValue value;
    value.type = static_cast<GgufType>(type);
    if (gguf_type_name(value.type).empty()) return corrupt("{} has type {}, known types are 0 to 12", field, type);
    NIBBLE_TRY_STATUS(read_value(field, value));
    metadata_->entries_.emplace_back(std::string(key), std::move(value));
    return {};
  }

  template <typename Stored, typename Kept>
  Status read_scalar(std::string_view field, GgufValue& value) {
    NIBBLE_TRY(const auto number, reader_.read<Stored>(field));
    value.value = static_cast<Kept>(number);
    return {};
  }

  Status read_value(const std::string& field, GgufValue& value) {
    switch (value.type) {
      case GgufType::kU8:
        return read_scalar<std::uint8_t, std::uint64_t>(field, value);
      case GgufType::kI8:
        return read_scalar<std::int8_t, std::int64_t>(field, value);
      case GgufType::kU16:
        return read_scalar<std::uint16_t, std::uint64_t>(field, value);
      case GgufType::kI16:
        return read_scalar<std::int16_t, std::int64_t>(field, value);
      case GgufType::kU32:
        return read_scalar<std::uint32_t, std::uint64_t>(field, value);
      case GgufType::kI32:
        return read_scalar<std::int32_t, std::int64_t>(field, value);
      case GgufType::kF32:
        return read_scalar<float, double>(field, value);
      case GgufType::kBool: {
        NIBBLE_TRY(const auto flag, reader_.read<std::uint8_t>(field));
        value.value = flag != 0;
        return {};
      }
      case GgufType::kU64:
        return read_scalar<std::uint64_t, std::uint64_t>(field, value);
      case GgufType::kI64:
        return read_scalar<std::int64_t, std::int64_t>(field, value);
      case GgufType::kF64:
        return read_scalar<double, double>(field, value);
      case GgufType::kString: {
        NIBBLE_TRY(const std::string_view text, read_string(field));
        value.value = std::string(text);
        return {};
      }
      case GgufType::kArray:
        return read_array(field, value);
    }
    return corrupt("{} has no known type", field);
  }

  Status read_array(const std::string& field, GgufValue& value) {
    constexpr std::uint64_t kMaxElements = std::uint64_t{1} << 30;  // as the C reader
    NIBBLE_TRY(const auto type, reader_.read<std::uint32_t>(field));
    GgufArray array;
    array.element = static_cast<GgufType>(type);
    if (gguf_type_name(array.element).empty() || array.element == GgufType::kArray)
      return corrupt("{} is an array of type {}, expected a number, bool or string type", field, type);
    const bool is_strings = array.element == GgufType::kString;
    const std::uint64_t each = is_strings ? 8 : gguf_type_bytes(array.element);
    NIBBLE_TRY(const auto count, reader_.read<std::uint64_t>(field));
    NIBBLE_TRY_STATUS(check_array_count(field, count, kMaxElements, each));
    if (is_strings) {
      array.strings.reserve(static_cast<std::size_t>(count));
      for (std::uint64_t i = 0; i < count; ++i) {
        NIBBLE_TRY(const std::string_view text, read_string(field));
        array.strings.emplace_back(text);
      }
    } else {
      NIBBLE_TRY(const auto bytes, reader_.read_bytes(count * each, field));
      array.bytes.assign(bytes.begin(), bytes.end());
    }
    value.value = std::move(array);
    return {};
  }

  Status check_array_count(const std::string& field, std::uint64_t count, std::uint64_t limit,
                           std::uint64_t each) const {
    if (count > limit) return corrupt("{} is an array of {} elements, the limit is {}", field, count, limit);
    const auto checked = check_count(count, field + ": the array's length", each);
    if (!checked.ok()) return checked.error();
    return {};
  }

  Result<Info> read_info(std::uint64_t index) {
    Info info;
    NIBBLE_TRY(const std::string_view name, read_string(fmt::format("the name of tensor {}", index)));
    if (name.empty() || name.size() > kGgufMaxNameBytes)
      return corrupt("the name of tensor {} has {} bytes, expected 1 to {}", index, name.size(), kGgufMaxNameBytes);
    if (!is_utf8(name) || name.find('\0') != std::string_view::npos)
      return corrupt("the name of tensor {} (\"{}\") is not UTF-8 text", index, printable(name));
    info.tensor.name = std::string(name);
    const std::string field = fmt::format("tensor \"{}\"", printable(name));
    NIBBLE_TRY_STATUS(read_shape(field, info));
    NIBBLE_TRY(const auto type_id, reader_.read<std::int32_t>(field + ": type"));
    NIBBLE_TRY_STATUS(check_type(field, type_id, info));
    NIBBLE_TRY(info.offset, reader_.read<std::uint64_t>(field + ": offset"));
    return info;
  }

  Status read_shape(const std::string& field, Info& info) {
    NIBBLE_TRY(const auto dims, reader_.read<std::uint32_t>(field + ": n_dims"));
    if (dims > kGgufMaxDims) return corrupt("{}: n_dims is {}, the limit is {}", field, dims, kGgufMaxDims);
    std::uint64_t product = 1;
    for (std::uint32_t i = 0; i < dims; ++i) {
      NIBBLE_TRY(const auto size, reader_.read<std::uint64_t>(field + ": dimensions"));
      if (!checked_multiply(product, std::max<std::uint64_t>(size, 1), product) ||
          product > static_cast<std::uint64_t>(INT64_MAX))
        return corrupt("{}: dimension {} is {}: the number of values does not fit in 63 bits", field, i, size);
      info.tensor.shape.push_back(static_cast<std::int64_t>(size));
    }
    std::reverse(info.tensor.shape.begin(), info.tensor.shape.end());  // stored fastest-varying first
    return {};
  }

  Status check_type(const std::string& field, std::int32_t type_id, Info& info) const {
    const GgmlTypeInfo* type = find_ggml_type(type_id);
    if (type == nullptr) {
      const std::string_view removed = removed_ggml_type(type_id);
      if (!removed.empty())
        return fail(ErrorCode::kUnsupported, "{}: {}: type {} ({}) was removed from ggml; quantize the model again",
                    path_, field, type_id, removed);
      return fail(ErrorCode::kUnsupported,
                  "{}: {}: type {} is unknown; the file may come from a newer or modified program", path_, field,
                  type_id);
    }
    const auto cols = static_cast<std::uint64_t>(info.tensor.shape.empty() ? 1 : info.tensor.shape.back());
    const auto elements = static_cast<std::uint64_t>(info.tensor.elements());
    if (cols % static_cast<std::uint64_t>(type->block_values) != 0)
      return corrupt("{}: rows of {} values, {} needs a multiple of {}", field, cols, type->name, type->block_values);
    const auto bytes = ggml_bytes(*type, cols == 0 ? 0 : elements / cols, cols);
    if (!bytes) return corrupt("{}: {} values of {} overflow 63 bits", field, elements, type->name);
    info.bytes = *bytes;
    info.tensor.ggml_type = type_id;
    info.tensor.element = element_from_name(type->name).value_or(ElementType::kU8);  // block types: bytes
    return {};
  }

  /// Each tensor begins where the one listed before it ends, rounded up to the alignment.
  Status place_tensors(std::vector<Info>& infos, TensorSet& tensors) {
    const std::uint64_t file_bytes = file_->bytes().size();
    const auto data_begin = align_up(reader_.offset(), alignment_);
    if (infos.empty()) return check_end(data_begin.value_or(file_bytes));
    if (!data_begin || *data_begin > file_bytes)
      return corrupt("the data section begins behind the end of the file ({} bytes, {} {}); it may be cut short",
                     file_bytes, kGgufAlignmentKey, alignment_);
    const std::uint64_t data_bytes = file_bytes - *data_begin;
    std::uint64_t expected = 0;
    for (Info& info : infos) {
      const std::string name = printable(info.tensor.name);
      if (info.offset != expected)
        return corrupt("tensor \"{}\": offset is {}, expected {}: tensors follow each other, aligned to {}", name,
                       info.offset, expected, alignment_);
      if (info.offset > data_bytes || info.bytes > data_bytes - info.offset)
        return corrupt(
            "tensor \"{}\": {} bytes at offset {} of the data section, which has {}; the file may be cut short", name,
            info.bytes, info.offset, data_bytes);
      expected = align_up(info.offset + info.bytes, alignment_).value_or(UINT64_MAX);  // within the file: no overflow
      info.tensor.file = file_;
      info.tensor.file_offset = static_cast<std::size_t>(*data_begin + info.offset);
      info.tensor.bytes = file_->bytes().subspan(info.tensor.file_offset, static_cast<std::size_t>(info.bytes));
      NIBBLE_TRY_STATUS(tensors.add(std::move(info.tensor)));
    }
    return check_end(*data_begin + expected);
  }

  /// Nothing but zeros may follow the last tensor and its padding: a wrong tensor_count would show here.
  Status check_end(std::uint64_t end) const {
    if (end >= file_->bytes().size()) return {};
    const auto rest = file_->bytes().subspan(static_cast<std::size_t>(end));
    if (rest.size() > kGgufMaxAlignment ||
        std::any_of(rest.begin(), rest.end(), [](std::byte b) { return b != std::byte{0}; }))
      return corrupt("{} bytes follow the last tensor, expected none; is tensor_count wrong?", rest.size());
    return {};
  }

  MappedFile::Ptr file_;
  std::string path_;
  ByteReader reader_;
  std::shared_ptr<GgufMetadata> metadata_;
  std::unordered_set<std::string_view> keys_;  ///< views of the mapped file
  std::uint64_t alignment_ = kGgufDefaultAlignment;
};

namespace {

struct SplitKeys {
  std::int64_t number = 0;  ///< from 0
  std::int64_t count = 0;   ///< 0: not split
  std::int64_t tensors = 0;
};

Result<SplitKeys> read_split_keys(const GgufMetadata& metadata) {
  SplitKeys keys;
  NIBBLE_TRY(const auto count, metadata.integer(kGgufSplitCount));
  if (count.value_or(0) == 0) return keys;
  NIBBLE_TRY(const auto number, metadata.integer(kGgufSplitNo));
  NIBBLE_TRY(const auto tensors, metadata.integer(kGgufSplitTensors));
  keys = {number.value_or(-1), *count, tensors.value_or(-1)};
  if (keys.count < 0 || keys.count > UINT16_MAX || keys.number < 0 || keys.number >= keys.count || keys.tensors < 0)
    return fail(ErrorCode::kCorrupt, "{}: split.no {}, split.count {} and split.tensors.count {} contradict each other",
                metadata.what(), keys.number, keys.count, keys.tensors);
  return keys;
}

/// Adds shard `number` (from 0) to the file under construction.
Status open_shard(const GgufShardName& name, const SplitKeys& keys, std::int64_t number, GgufFile& file) {
  const auto path = gguf_shard_path(name.prefix, static_cast<std::uint64_t>(number) + 1, name.count);
  auto mapped = MappedFile::open(path);
  if (!mapped.ok()) return with_context(mapped.error(), fmt::format("shard {} of {}", number + 1, keys.count));
  GgufReader reader(*mapped);
  NIBBLE_TRY_STATUS(reader.read(file.tensors));
  NIBBLE_TRY(const SplitKeys own, read_split_keys(*reader.metadata()));
  if (own.number != number || own.count != keys.count)
    return fail(ErrorCode::kCorrupt, "{}: split.no {} of {}, expected {} of {}; shards of two models are mixed",
                path.string(), own.number, own.count, number, keys.count);
  file.file_bytes += reader.file_bytes();
  return {};
}

Status open_other_shards(const std::filesystem::path& path, const SplitKeys& keys, GgufFile& file) {
  const auto name = parse_gguf_shard_name(path);
  if (!name || name->count != static_cast<std::uint64_t>(keys.count))
    return fail(ErrorCode::kInvalidArgument,
                "{}: is shard {} of {}, but is not named like one (NAME-{:05}-of-{:05}.gguf); "
                "rename the shards",
                path.string(), keys.number + 1, keys.count, keys.number + 1, keys.count);
  if (keys.number != 0)
    return fail(ErrorCode::kInvalidArgument, "{}: is shard {} of {}; give the first one, {}", path.string(),
                keys.number + 1, keys.count, gguf_shard_path(name->prefix, 1, name->count).string());
  for (std::int64_t number = 1; number < keys.count; ++number) NIBBLE_TRY_STATUS(open_shard(*name, keys, number, file));
  if (file.tensors.all().size() != static_cast<std::uint64_t>(keys.tensors))
    return fail(ErrorCode::kCorrupt, "{}: split.tensors.count is {}, the {} shards hold {} tensors", path.string(),
                keys.tensors, keys.count, file.tensors.all().size());
  return {};
}

}  // namespace

Result<GgufFile> open_gguf(const std::filesystem::path& path) {
  NIBBLE_TRY(MappedFile::Ptr mapped, MappedFile::open(path));
  GgufReader reader(std::move(mapped));
  GgufFile file;
  NIBBLE_TRY_STATUS(reader.read(file.tensors));
  file.metadata = reader.metadata();
  file.file_bytes = reader.file_bytes();
  NIBBLE_TRY(const SplitKeys keys, read_split_keys(*file.metadata));
  if (keys.count > 1) NIBBLE_TRY_STATUS(open_other_shards(path, keys, file));
  return file;
}

}  // namespace nibble
