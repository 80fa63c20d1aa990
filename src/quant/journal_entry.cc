#include "quant/journal_entry.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/atomic_output.h"
#include "base/mapped_file.h"
#include "io/scheme_json.h"

namespace nibble {
namespace {

template <typename T>
constexpr std::size_t kSize = sizeof(typename T::value_type);

/// Calls f(part) for every vector that makes up a matrix, in the order of the file.
template <typename Matrix, typename F>
void for_each_part(Matrix& matrix, const F& f) {
  f(matrix.codes);
  for (auto* plane : {&matrix.scale, &matrix.zero, &matrix.offset}) {
    f(plane->entries);
    f(plane->codes);
    f(plane->outer);
    f(plane->table);
  }
  f(matrix.tables);
  f(matrix.selector);
  f(matrix.group_index);
  f(matrix.supplement.columns);
  f(matrix.supplement.kept);
  f(matrix.supplement.kept_scale);
  f(matrix.supplement.left);
  f(matrix.supplement.right);
}

Json header(const QuantizedMatrix& matrix, const Json& notes) {
  Json sizes = Json::array();
  for_each_part(matrix, [&](const auto& part) { sizes.push_back(part.size()); });
  Json constants = Json::array();
  for (const PlaneData* plane : {&matrix.scale, &matrix.zero, &matrix.offset})
    constants.push_back(std::bit_cast<std::uint32_t>(plane->constant));
  return {{"rows", matrix.rows},    {"cols", matrix.cols}, {"scheme", scheme_to_json(matrix.scheme)},
          {"constants", constants}, {"sizes", sizes},      {"notes", notes}};
}

/// Takes a matrix from the fields of the header and the bytes behind it.
Result<JournalEntry> parse(const Json& json, std::span<const std::byte> bytes, const std::string& name) {
  const Error damaged = fail(ErrorCode::kCorrupt, "{}: not an entry of a journal", name);
  JournalEntry entry;
  QuantizedMatrix& m = entry.matrix;
  const JsonFields fields(json, name);
  NIBBLE_TRY(const std::optional<std::int64_t> rows, fields.integer("rows"));
  NIBBLE_TRY(const std::optional<std::int64_t> cols, fields.integer("cols"));
  const Json* scheme = fields.child("scheme");
  const Json* constants = fields.child("constants");
  const Json* sizes = fields.child("sizes");
  if (!rows || !cols || scheme == nullptr || constants == nullptr || sizes == nullptr) return damaged;
  NIBBLE_TRY(m.scheme, scheme_from_json(*scheme, name));
  m.rows = m.row_count = *rows;
  m.cols = *cols;
  std::size_t number = 0;
  bool fits = sizes->is_array();
  for_each_part(m, [&](auto& part) {
    const std::size_t size = kSize<std::remove_reference_t<decltype(part)>>;
    if (!fits || number >= sizes->size() || !(*sizes)[number].is_number_unsigned() ||
        (*sizes)[number].get<std::uint64_t>() > bytes.size() / size) {
      fits = false;
      return;
    }
    part.resize((*sizes)[number++].get<std::size_t>());
    if (!part.empty()) std::memcpy(part.data(), bytes.data(), part.size() * size);
    bytes = bytes.subspan(part.size() * size);
  });
  if (!fits || !bytes.empty() || number != sizes->size() || constants->size() != 3) return damaged;
  number = 0;
  for (PlaneData* plane : {&m.scale, &m.zero, &m.offset}) {
    const Json& constant = (*constants)[number++];
    if (!constant.is_number_unsigned()) return damaged;
    plane->constant = std::bit_cast<float>(constant.get<std::uint32_t>());
  }
  NIBBLE_TRY_STATUS(m.validate());
  if (const Json* notes = fields.child("notes"); notes != nullptr) entry.notes = *notes;
  return entry;
}

}  // namespace

Status write_journal_entry(const std::filesystem::path& path, const QuantizedMatrix& matrix, const Json& notes) {
  NIBBLE_TRY(AtomicFile file, AtomicFile::create(path));
  const std::string line = header(matrix, notes).dump() + "\n";
  NIBBLE_TRY_STATUS(file.append(std::as_bytes(std::span(line))));
  Status status;
  for_each_part(matrix, [&](const auto& part) {
    if (status.ok()) status = file.append(std::as_bytes(std::span(part)));
  });
  NIBBLE_TRY_STATUS(status);
  return file.commit();
}

Result<JournalEntry> read_journal_entry(const std::filesystem::path& path) {
  NIBBLE_TRY(const MappedFile::Ptr file, MappedFile::open(path));
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  const std::size_t end = std::min(text.find('\n'), text.size());
  NIBBLE_TRY(const Json json, parse_untrusted(text.substr(0, end), path.string()));
  NIBBLE_TRY(JournalEntry entry, parse(json, file->bytes().subspan(std::min(end + 1, text.size())), path.string()));
  NIBBLE_TRY_STATUS(file->check_intact());
  return entry;
}

}  // namespace nibble
