// Reading one safetensors file: an 8-byte length, a JSON header, the tensors' bytes without gaps
// (formats-hf.md 1.1, 1.2).
#include "io/safetensors.h"

#include <algorithm>

#include "base/byte_reader.h"
#include "base/json.h"
#include "base/utf8.h"

namespace nibble {
namespace {

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr int kMaxHeaderDepth = 4;  // document, tensor, list

std::string known_dtypes() {
  std::string names;
  for (const ElementTypeInfo& info : element_types()) {
    if (!names.empty()) names += ", ";
    names += info.safetensors;
  }
  return names;
}

/// Dtypes of the specification that have no meaning here yet.
bool is_foreign_dtype(std::string_view dtype) {
  return dtype == "C64" || dtype == "F8_E4M3FNUZ" || dtype == "F8_E5M2FNUZ" || dtype == "F6_E2M3" || dtype == "F6_E3M2";
}

/// One entry of the header and where its bytes lie in the data buffer.
struct Entry {
  StoredTensor tensor;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// Reads the entries of one header; `where_` names file and tensor in messages.
class EntryReader {
 public:
  EntryReader(const std::string& path, const std::string& name)
      : where_(fmt::format("{}: tensor \"{}\"", path, printable(name))) {}

  Status read(const Json& fields, Entry& entry) const {
    if (!fields.is_object())
      return fail(ErrorCode::kCorrupt, "{}: is {}, expected an object of dtype, shape and data_offsets", where_,
                  fields.type_name());
    for (const char* required : {"dtype", "shape", "data_offsets"})
      if (!fields.contains(required)) return fail(ErrorCode::kCorrupt, "{}: {} is missing", where_, required);
    NIBBLE_TRY_STATUS(read_dtype(fields["dtype"], entry.tensor.element));
    NIBBLE_TRY_STATUS(read_shape(fields["shape"], entry.tensor.shape));
    NIBBLE_TRY_STATUS(read_offsets(fields["data_offsets"], entry));
    return check_size(entry);
  }

 private:
  Status read_dtype(const Json& value, ElementType& element) const {
    if (!value.is_string())
      return fail(ErrorCode::kCorrupt, "{}: dtype is {}, expected a string", where_, value.type_name());
    const auto& dtype = value.get_ref<const std::string&>();
    if (is_foreign_dtype(dtype))
      return fail(ErrorCode::kUnsupported, "{}: dtype {} is not supported; supported: {}", where_, dtype,
                  known_dtypes());
    const auto found = element_from_safetensors(dtype);
    if (!found)
      return fail(ErrorCode::kCorrupt, "{}: dtype \"{}\" is unknown; known: {}", where_, printable(dtype),
                  known_dtypes());
    element = *found;
    return {};
  }

  Status read_shape(const Json& value, std::vector<std::int64_t>& shape) const {
    if (!value.is_array())
      return fail(ErrorCode::kCorrupt, "{}: shape is {}, expected a list of sizes", where_, value.type_name());
    std::uint64_t product = 1;
    for (const Json& dimension : value) {
      if (!dimension.is_number_unsigned())
        return fail(ErrorCode::kCorrupt, "{}: shape[{}] is {}, expected a whole number that is not negative", where_,
                    shape.size(), printable(dimension.dump()));
      const auto size = dimension.get<std::uint64_t>();
      if (!checked_multiply(product, std::max<std::uint64_t>(size, 1), product) ||
          product > static_cast<std::uint64_t>(INT64_MAX))
        return fail(ErrorCode::kCorrupt, "{}: shape {} overflows 63 bits", where_, printable(value.dump()));
      shape.push_back(static_cast<std::int64_t>(size));
    }
    return {};
  }

  Status read_offsets(const Json& value, Entry& entry) const {
    if (!value.is_array() || value.size() != 2 || !value[0].is_number_unsigned() || !value[1].is_number_unsigned())
      return fail(ErrorCode::kCorrupt, "{}: data_offsets is not a list of two byte positions", where_);
    entry.begin = value[0].get<std::uint64_t>();
    entry.end = value[1].get<std::uint64_t>();
    if (entry.end < entry.begin)
      return fail(ErrorCode::kCorrupt, "{}: data_offsets [{}, {}] end before they begin", where_, entry.begin,
                  entry.end);
    return {};
  }

  Status check_size(const Entry& entry) const {
    const auto elements = static_cast<std::uint64_t>(entry.tensor.elements());
    const auto needed = element_bytes(entry.tensor.element, elements);
    const ElementTypeInfo& info = element_info(entry.tensor.element);
    if (!needed)
      return fail(ErrorCode::kCorrupt, "{}: shape: {} elements of {} are not a whole number of bytes below 2^64",
                  where_, elements, info.safetensors);
    if (entry.end - entry.begin != *needed)
      return fail(ErrorCode::kCorrupt, "{}: data_offsets hold {} bytes, {} elements of {} need {}", where_,
                  entry.end - entry.begin, elements, info.safetensors, *needed);
    return {};
  }

  std::string where_;
};

Status check_metadata(const std::string& path, const Json& metadata) {
  if (!metadata.is_object())
    return fail(ErrorCode::kCorrupt, "{}: __metadata__ is {}, expected an object of strings", path,
                metadata.type_name());
  for (const auto& member : metadata.items())
    if (!member.value().is_string())
      return fail(ErrorCode::kCorrupt, "{}: __metadata__: \"{}\" is {}, expected a string", path,
                  printable(member.key()), member.value().type_name());
  return {};
}

/// Sorts the entries by their place and checks that together they cover the data buffer exactly once.
Status check_coverage(const std::string& path, std::vector<Entry>& entries, std::uint64_t data_bytes) {
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  std::uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != covered)
      return fail(ErrorCode::kCorrupt, "{}: tensor \"{}\": data_offsets begin at {}, expected {}: bytes {}", path,
                  printable(entry.tensor.name), entry.begin, covered,
                  entry.begin < covered ? "are used by two tensors" : "between tensors belong to none");
    covered = entry.end;
    if (covered > data_bytes)
      return fail(ErrorCode::kCorrupt,
                  "{}: tensor \"{}\": data_offsets end at {}, the file holds {} bytes of data; it may "
                  "be cut short",
                  path, printable(entry.tensor.name), entry.end, data_bytes);
  }
  if (covered != data_bytes)
    return fail(ErrorCode::kCorrupt, "{}: {} bytes follow the last tensor, expected none", path, data_bytes - covered);
  return {};
}

Result<std::vector<Entry>> read_entries(const std::string& path, std::string_view header) {
  NIBBLE_TRY(const Json document,
             parse_untrusted(header, path + ": header", {static_cast<std::size_t>(kMaxHeaderBytes), kMaxHeaderDepth}));
  if (!document.is_object())
    return fail(ErrorCode::kCorrupt, "{}: header is {}, expected an object", path, document.type_name());
  std::vector<Entry> entries;
  for (const auto& member : document.items()) {
    if (member.key() == "__metadata__") {
      NIBBLE_TRY_STATUS(check_metadata(path, member.value()));
      continue;
    }
    Entry entry;
    entry.tensor.name = member.key();
    NIBBLE_TRY_STATUS(EntryReader(path, member.key()).read(member.value(), entry));
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace

Result<std::uint64_t> open_safetensors(const std::filesystem::path& path, TensorSet& tensors) {
  NIBBLE_TRY(const MappedFile::Ptr file, MappedFile::open(path));
  ByteReader reader(file->bytes(), file->path());
  NIBBLE_TRY(const auto header_bytes, reader.read<std::uint64_t>("header length"));
  if (header_bytes > kMaxHeaderBytes)
    return fail(ErrorCode::kCorrupt, "{}: header length is {}, the limit is {}; is this a safetensors file?",
                file->path(), header_bytes, kMaxHeaderBytes);
  NIBBLE_TRY(const auto header, reader.read_bytes(header_bytes, "header"));
  NIBBLE_TRY(auto entries, read_entries(file->path(), {reinterpret_cast<const char*>(header.data()), header.size()}));
  NIBBLE_TRY_STATUS(check_coverage(file->path(), entries, reader.remaining()));
  for (Entry& entry : entries) {
    entry.tensor.file = file;
    entry.tensor.file_offset = reader.offset() + static_cast<std::size_t>(entry.begin);
    entry.tensor.bytes =
        file->bytes().subspan(entry.tensor.file_offset, static_cast<std::size_t>(entry.end - entry.begin));
    NIBBLE_TRY_STATUS(tensors.add(std::move(entry.tensor)));
  }
  NIBBLE_TRY_STATUS(file->check_intact());
  return file->bytes().size();
}

}  // namespace nibble
