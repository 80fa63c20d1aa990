#include "io/imatrix.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/byte_reader.h"
#include "base/mapped_file.h"
#include "base/utf8.h"
#include "format/ggml_blocks_float.h"
#include "io/gguf.h"

namespace nibble {
namespace {

constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCounts = ".counts";
constexpr std::string_view kDatasetsKey = "imatrix.datasets";
constexpr std::string_view kChunksKey = "imatrix.chunk_count";
constexpr std::string_view kChunkSizeKey = "imatrix.chunk_size";
constexpr std::int32_t kMaxNameBytes = 1 << 12;  // of the legacy form; ours

/// What every entry must satisfy, whatever it was read from.
Status check_entry(const ImatrixEntry& entry, const std::string& what) {
  const auto valid = [](float v) { return v >= 0 && std::isfinite(v); };
  if (!std::all_of(entry.sums.begin(), entry.sums.end(), valid) ||
      !std::all_of(entry.counts.begin(), entry.counts.end(), valid))
    return fail(ErrorCode::kCorrupt,
                "{}: \"{}\" has sums or counts that are negative or not finite; make the matrix anew", what,
                printable(entry.name));
  return {};
}

Result<std::uint32_t> number_of(const GgufMetadata& metadata, std::string_view key) {
  NIBBLE_TRY(const std::optional<std::int64_t> value, metadata.integer(key));
  if (value && (*value < 0 || *value > UINT32_MAX))
    return fail(ErrorCode::kCorrupt, "{}: {} is {}, expected a number of 32 bits", metadata.what(), key, *value);
  return static_cast<std::uint32_t>(value.value_or(0));
}

Result<ImatrixEntry> gguf_entry(const GgufFile& file, const StoredTensor& sums, const std::string& what) {
  ImatrixEntry entry;
  entry.name = sums.name.substr(0, sums.name.size() - kSums.size());
  const StoredTensor* counts = file.tensors.find(entry.name + std::string(kCounts));
  if (counts == nullptr)
    return fail(ErrorCode::kCorrupt, "{}: \"{}\" has sums but no counts", what, printable(entry.name));
  if (sums.ggml_type != GgmlF32::kId || counts->ggml_type != GgmlF32::kId)
    return fail(ErrorCode::kCorrupt, "{}: \"{}\": sums and counts should be f32", what, printable(entry.name));
  entry.matrices = counts->elements();
  if (entry.matrices < 1 || sums.elements() < 1 || sums.elements() % entry.matrices != 0 ||
      sums.elements() / entry.matrices != sums.shape.back())
    return fail(ErrorCode::kCorrupt, "{}: \"{}\": {} sums in rows of {} and {} counts do not fit each other", what,
                printable(entry.name), sums.elements(), sums.shape.back(), entry.matrices);
  NIBBLE_TRY(entry.sums, read_floats(sums));
  NIBBLE_TRY(entry.counts, read_floats(*counts));
  return entry;
}

Result<Imatrix> read_gguf_form(const std::filesystem::path& path) {
  const std::string what = path.string();
  NIBBLE_TRY(const GgufFile file, open_gguf(path));
  NIBBLE_TRY(const auto type, file.metadata->string("general.type"));
  if (type != "imatrix")
    return fail(ErrorCode::kInvalidArgument, "{}: general.type is \"{}\", expected \"imatrix\"", what,
                printable(type.value_or("")));
  Imatrix out;
  NIBBLE_TRY(const auto datasets, file.metadata->strings(kDatasetsKey));
  out.datasets = datasets.value_or(std::vector<std::string>());
  NIBBLE_TRY(out.chunks, number_of(*file.metadata, kChunksKey));
  NIBBLE_TRY(out.chunk_size, number_of(*file.metadata, kChunkSizeKey));
  std::size_t counts = 0;
  for (const StoredTensor& tensor : file.tensors.all()) {
    if (tensor.name.ends_with(kCounts)) ++counts;
    if (!tensor.name.ends_with(kSums)) continue;
    NIBBLE_TRY(ImatrixEntry entry, gguf_entry(file, tensor, what));
    NIBBLE_TRY_STATUS(check_entry(entry, what));
    out.entries.push_back(std::move(entry));
  }
  if (counts != out.entries.size())
    return fail(ErrorCode::kCorrupt, "{}: {} tensors of counts for {} of sums", what, counts, out.entries.size());
  return out;
}

/// One entry of a .dat: name, calls, values that are means times calls.
Result<ImatrixEntry> legacy_entry(ByteReader& reader, const std::string& what) {
  NIBBLE_TRY(const std::int32_t length, reader.read<std::int32_t>("the length of a name"));
  if (length < 1 || length > kMaxNameBytes)
    return fail(ErrorCode::kCorrupt, "{}: a name of {} bytes; this is no importance matrix", what, length);
  NIBBLE_TRY(const auto name, reader.read_bytes(static_cast<std::uint64_t>(length), "a name"));
  ImatrixEntry entry;
  entry.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
  if (!is_utf8(entry.name))
    return fail(ErrorCode::kCorrupt, "{}: the name \"{}\" is not UTF-8", what, printable(entry.name));
  NIBBLE_TRY(const std::int32_t calls, reader.read<std::int32_t>("the number of calls"));
  NIBBLE_TRY(const std::int32_t values, reader.read<std::int32_t>("the number of values"));
  if (values < 1) return fail(ErrorCode::kCorrupt, "{}: \"{}\" has {} values", what, printable(entry.name), values);
  NIBBLE_TRY(const auto bytes, reader.read_bytes(static_cast<std::uint64_t>(values) * sizeof(float), "values"));
  entry.sums.resize(static_cast<std::size_t>(values));
  std::memcpy(entry.sums.data(), bytes.data(), bytes.size());
  entry.counts = {static_cast<float>(std::max(calls, 1))};
  NIBBLE_TRY_STATUS(check_entry(entry, what));
  return entry;
}

Result<Imatrix> read_legacy_form(std::span<const std::byte> bytes, const std::string& what) {
  ByteReader reader(bytes, what);
  NIBBLE_TRY(const std::int32_t count, reader.read<std::int32_t>("the number of entries"));
  if (count < 1) return fail(ErrorCode::kCorrupt, "{}: {} entries; this is no importance matrix", what, count);
  Imatrix out;
  std::set<std::string> names;
  for (std::int32_t i = 0; i < count; ++i) {
    NIBBLE_TRY(ImatrixEntry entry, legacy_entry(reader, what));
    if (!names.insert(entry.name).second)
      return fail(ErrorCode::kCorrupt, "{}: \"{}\" occurs twice", what, printable(entry.name));
    out.entries.push_back(std::move(entry));
  }
  if (reader.remaining() == 0) return out;
  NIBBLE_TRY(const std::int32_t chunks, reader.read<std::int32_t>("the number of chunks"));
  out.chunks = static_cast<std::uint32_t>(std::max(chunks, 0));
  if (reader.remaining() == 0) return out;
  NIBBLE_TRY(const std::int32_t length, reader.read<std::int32_t>("the length of the dataset's name"));
  NIBBLE_TRY(const auto name, reader.read_bytes(static_cast<std::uint64_t>(std::max(length, 0)), "the dataset's name"));
  out.datasets.emplace_back(reinterpret_cast<const char*>(name.data()), name.size());
  return out;
}

}  // namespace

std::vector<float> ImatrixEntry::means() const {
  std::vector<float> out(sums.size(), 1.0f);
  const auto width = static_cast<std::size_t>(columns());
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const float count = counts[i / width];
    if (count > 0) out[i] = sums[i] / count;
  }
  return out;
}

const ImatrixEntry* Imatrix::find(std::string_view name) const {
  const auto found =
      std::find_if(entries.begin(), entries.end(), [name](const ImatrixEntry& e) { return e.name == name; });
  return found == entries.end() ? nullptr : &*found;
}

Result<Imatrix> read_imatrix(const std::filesystem::path& path) {
  NIBBLE_TRY(const MappedFile::Ptr file, MappedFile::open(path));
  const std::span<const std::byte> bytes = file->bytes();
  constexpr std::string_view kMagic = "GGUF";
  const bool is_gguf = bytes.size() >= kMagic.size() && std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
  NIBBLE_TRY(Imatrix out, is_gguf ? read_gguf_form(path) : read_legacy_form(bytes, path.string()));
  NIBBLE_TRY_STATUS(file->check_intact());
  return out;
}

Status write_imatrix(const Imatrix& imatrix, const std::filesystem::path& path) {
  GgufMetadata metadata(path.string());
  metadata.set_string("general.type", "imatrix");
  GgufArray datasets;
  datasets.element = GgufType::kString;
  datasets.strings = imatrix.datasets;
  metadata.set(std::string(kDatasetsKey), {GgufType::kArray, std::move(datasets)});
  metadata.set_u32(std::string(kChunksKey), imatrix.chunks);
  metadata.set_u32(std::string(kChunkSizeKey), imatrix.chunk_size);
  std::vector<const ImatrixEntry*> sorted;
  for (const ImatrixEntry& entry : imatrix.entries) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  std::vector<GgufTensorPlan> plan;
  for (const ImatrixEntry* entry : sorted) {
    // ggml drops trailing dimensions of one.
    const bool stacked = entry->matrices > 1;
    const std::int64_t n = entry->columns();
    plan.push_back({entry->name + std::string(kSums),
                    stacked ? std::vector<std::int64_t>{entry->matrices, n} : std::vector<std::int64_t>{n},
                    GgmlF32::kId});
    plan.push_back({entry->name + std::string(kCounts),
                    stacked ? std::vector<std::int64_t>{entry->matrices, 1} : std::vector<std::int64_t>{1},
                    GgmlF32::kId});
  }
  NIBBLE_TRY(const std::unique_ptr<GgufWriter> writer, GgufWriter::create(path, metadata, std::move(plan)));
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    NIBBLE_TRY_STATUS(writer->write(2 * i, 0, std::as_bytes(std::span(sorted[i]->sums))));
    NIBBLE_TRY_STATUS(writer->write(2 * i + 1, 0, std::as_bytes(std::span(sorted[i]->counts))));
  }
  return writer->finish();
}

}  // namespace nibble
