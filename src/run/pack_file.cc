// Writing and verifying packs.
#include "run/pack_file.h"

#include <algorithm>
#include <cstring>

#include "base/byte_reader.h"
#include "base/checksum.h"
#include "kernel/matmul/packed_image.h"

namespace nibble {
namespace {

constexpr std::array<char, 8> kMagic{'N', 'I', 'B', 'P', 'A', 'C', 'K', '\n'};
constexpr std::uint32_t kFileVersion = 1;
constexpr std::size_t kHeaderBytes = 88;
/// Panels of a matrix begin with a page, so that their pages can leave memory alone.
constexpr std::uint64_t kPanelsAt = 4096;
/// Panels are summed in pieces of so many bytes, and the sums summed: several threads do it.
constexpr std::uint64_t kPieceBytes = std::uint64_t{1} << 20;
/// Verified between two calls of the progress.
constexpr std::size_t kPiecesAtOnce = 256;

template <typename T>
void append(std::vector<std::byte>& to, const T& value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  to.insert(to.end(), bytes, bytes + sizeof value);
}

void append_bytes(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
  append(to, static_cast<std::uint64_t>(bytes.size()));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

void append_text(std::vector<std::byte>& to, const std::string& text) {
  append_bytes(to, std::as_bytes(std::span(text.data(), text.size())));
}

Result<std::span<const std::byte>> read_counted(ByteReader& reader, std::string_view field) {
  NIBBLE_TRY(const std::uint64_t size, reader.read<std::uint64_t>(field));
  return reader.read_bytes(size, field);
}

Result<std::string> read_text(ByteReader& reader, std::string_view field) {
  NIBBLE_TRY(const auto bytes, read_counted(reader, field));
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

constexpr std::uint64_t pieces_of(std::uint64_t bytes) { return (bytes + kPieceBytes - 1) / kPieceBytes; }

std::span<const std::byte> piece(std::span<const std::byte> bytes, std::uint64_t number) {
  const std::uint64_t begin = number * kPieceBytes;
  return bytes.subspan(begin, std::min<std::uint64_t>(kPieceBytes, bytes.size() - begin));
}

std::uint64_t sum_of_sums(std::span<const std::uint64_t> sums) { return checksum64(std::as_bytes(sums)); }

}  // namespace

Result<PackWriter> PackWriter::create(const std::filesystem::path& path, const PackKey& key) {
  NIBBLE_TRY(AtomicFile file, AtomicFile::create(path));
  NIBBLE_TRY_STATUS(file.write_at(0, std::vector<std::byte>(kPanelsAt)));
  return PackWriter(std::move(file), key);
}

Status PackWriter::add(const std::string& name, const std::string& scheme, std::int64_t stored_bytes,
                       const kernel::PackedMatrix& matrix, ThreadPool& pool) {
  const std::span<const std::byte> panels = kernel::packed_panels(matrix);
  const std::uint64_t offset = (file_.size() + kPanelsAt - 1) / kPanelsAt * kPanelsAt;
  NIBBLE_TRY_STATUS(file_.reserve(offset + panels.size()));
  std::vector<std::uint64_t> sums(pieces_of(panels.size()));
  std::vector<Status> written(sums.size());
  pool.run(sums.size(), 1, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i) {
      sums[i] = checksum64(piece(panels, i));
      written[i] = file_.write_at(offset + i * kPieceBytes, piece(panels, i));
    }
  });
  for (const Status& status : written) NIBBLE_TRY_STATUS(status);
  append_text(directory_, name);
  append_text(directory_, scheme);
  append(directory_, stored_bytes);
  append(directory_, matrix.rows());
  append(directory_, matrix.cols());
  append(directory_, offset);
  append(directory_, static_cast<std::uint64_t>(panels.size()));
  append(directory_, sum_of_sums(sums));
  append_bytes(directory_, kernel::describe_packed(matrix));
  ++count_;
  return {};
}

Status PackWriter::commit() {
  std::vector<std::byte> directory;
  append(directory, count_);
  directory.insert(directory.end(), directory_.begin(), directory_.end());
  const std::uint64_t offset = file_.size();
  NIBBLE_TRY_STATUS(file_.append(directory));
  std::vector<std::byte> header;
  for (const char c : kMagic) append(header, c);
  append(header, kFileVersion);
  append(header, kernel::kPackedLayoutVersion);
  append(header, file_.size());
  append(header, offset);
  append(header, static_cast<std::uint64_t>(directory.size()));
  append(header, checksum64(directory));
  header.insert(header.end(), key_.begin(), key_.end());
  append(header, checksum64(header));
  NIBBLE_TRY_STATUS(file_.write_at(0, header));
  return file_.commit();
}

Status PackFile::read_header(const PackKey* key) {
  const std::string& what = file_->path();
  const std::span<const std::byte> bytes = file_->bytes();
  if (bytes.size() < kHeaderBytes || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0)
    return fail(ErrorCode::kCorrupt, "{}: not a pack", what);
  ByteReader reader(bytes.first(kHeaderBytes), what);
  NIBBLE_TRY_STATUS(reader.seek(kMagic.size(), "header"));
  NIBBLE_TRY(const auto version, reader.read<std::uint32_t>("version"));
  NIBBLE_TRY(const auto layouts, reader.read<std::uint32_t>("version of layouts"));
  NIBBLE_TRY(const auto file_bytes, reader.read<std::uint64_t>("size"));
  NIBBLE_TRY(directory_offset_, reader.read<std::uint64_t>("place of the directory"));
  NIBBLE_TRY(directory_bytes_, reader.read<std::uint64_t>("size of the directory"));
  NIBBLE_TRY(const auto directory_sum, reader.read<std::uint64_t>("checksum of the directory"));
  NIBBLE_TRY(const auto key_bytes, reader.read_bytes(key_.size(), "key"));
  std::copy(key_bytes.begin(), key_bytes.end(), key_.begin());
  NIBBLE_TRY(const auto header_sum, reader.read<std::uint64_t>("checksum of the header"));
  if (header_sum != checksum64(bytes.first(kHeaderBytes - sizeof header_sum)))
    return fail(ErrorCode::kCorrupt, "{}: the header's checksum is wrong", what);
  if (version != kFileVersion || layouts != kernel::kPackedLayoutVersion)
    return fail(ErrorCode::kUnsupported, "{}: made by another version of nibble", what);
  if (key != nullptr && key_ != *key)
    return fail(ErrorCode::kUnsupported, "{}: made of another content of the model", what);
  if (file_bytes != bytes.size())
    return fail(ErrorCode::kCorrupt, "{}: {} bytes, {} were written", what, bytes.size(), file_bytes);
  if (directory_offset_ > bytes.size() || directory_bytes_ > bytes.size() - directory_offset_)
    return fail(ErrorCode::kCorrupt, "{}: the directory is not within the file", what);
  if (checksum64(bytes.subspan(directory_offset_, directory_bytes_)) != directory_sum)
    return fail(ErrorCode::kCorrupt, "{}: the directory's checksum is wrong", what);
  return {};
}

Status PackFile::read_directory() {
  const std::string& what = file_->path();
  ByteReader reader(file_->bytes().subspan(directory_offset_, directory_bytes_), what);
  NIBBLE_TRY(const auto count, reader.read<std::uint64_t>("number of matrices"));
  for (std::uint64_t i = 0; i < count; ++i) {
    Entry entry;
    NIBBLE_TRY(entry.name, read_text(reader, "name"));
    NIBBLE_TRY(entry.scheme, read_text(reader, "scheme"));
    NIBBLE_TRY(entry.stored_bytes, reader.read<std::int64_t>("stored bytes"));
    NIBBLE_TRY(entry.rows, reader.read<std::int64_t>("rows"));
    NIBBLE_TRY(entry.cols, reader.read<std::int64_t>("columns"));
    NIBBLE_TRY(entry.offset, reader.read<std::uint64_t>("place"));
    NIBBLE_TRY(entry.bytes, reader.read<std::uint64_t>("size"));
    NIBBLE_TRY(entry.checksum, reader.read<std::uint64_t>("checksum"));
    NIBBLE_TRY(entry.description, read_counted(reader, "description"));
    if (entry.offset % kPanelsAt != 0 || entry.offset > directory_offset_ ||
        entry.bytes > directory_offset_ - entry.offset)
      return fail(ErrorCode::kCorrupt, "{}: matrix {} is not within the file", what, i);
    if (!by_name_.emplace(entry.name, entries_.size()).second)
      return fail(ErrorCode::kCorrupt, "{}: matrix {} is there twice", what, i);
    entries_.push_back(std::move(entry));
  }
  if (reader.remaining() != 0) return fail(ErrorCode::kCorrupt, "{}: the directory is longer than its matrices", what);
  return {};
}

Status PackFile::verify_panels(Pages pages, ThreadPool& pool, const Progress& progress) const {
  struct Piece {
    std::size_t entry;
    std::uint64_t number;
  };
  std::vector<Piece> pieces;
  std::vector<std::vector<std::uint64_t>> sums;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    sums.emplace_back(pieces_of(entries_[i].bytes));
    for (std::uint64_t number = 0; number < sums.back().size(); ++number) pieces.push_back({i, number});
  }
  const std::span<const std::byte> bytes = file_->bytes();
  for (std::size_t first = 0; first < pieces.size(); first += kPiecesAtOnce) {
    const std::size_t count = std::min(kPiecesAtOnce, pieces.size() - first);
    pool.run(count, 4, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t i = first + begin; i < first + end; ++i) {
        const Entry& entry = entries_[pieces[i].entry];
        const auto part = piece(bytes.subspan(entry.offset, entry.bytes), pieces[i].number);
        const auto offset = static_cast<std::size_t>(part.data() - bytes.data());
        file_->populate(offset, part.size());
        sums[pieces[i].entry][pieces[i].number] = checksum64(part);
        if (pages == Pages::kLeave) file_->release(offset, part.size());
      }
    });
    if (pages == Pages::kLeave) {
      const Entry& last = entries_[pieces[first + count - 1].entry];
      file_->drop(0, last.offset + last.bytes);
    }
    if (progress && !progress("checking the pack", first + count, pieces.size(), "MiB"))
      return fail(ErrorCode::kCancelled, "{}: loading was stopped", file_->path());
  }
  for (std::size_t i = 0; i < entries_.size(); ++i)
    if (sum_of_sums(sums[i]) != entries_[i].checksum)
      return fail(ErrorCode::kCorrupt, "{}: the checksum of \"{}\" is wrong", file_->path(), entries_[i].name);
  return file_->check_intact();
}

Result<PackFile::Ptr> PackFile::open(const std::filesystem::path& path, const PackKey* key, Pages pages,
                                     ThreadPool& pool, const Progress& progress) {
  std::shared_ptr<PackFile> pack(new PackFile);
  NIBBLE_TRY(pack->file_, MappedFile::open(path));
  NIBBLE_TRY_STATUS(pack->read_header(key));
  NIBBLE_TRY_STATUS(pack->read_directory());
  NIBBLE_TRY_STATUS(pack->verify_panels(pages, pool, progress));
  return Ptr(std::move(pack));
}

const PackFile::Entry* PackFile::find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nullptr : &entries_[found->second];
}

Result<kernel::PackedMatrix> PackFile::matrix(const Entry& entry) const {
  Result<kernel::PackedMatrix> matrix = kernel::packed_from_image(
      entry.description, file_->bytes().subspan(entry.offset, entry.bytes), file_, entry.rows, entry.cols);
  if (!matrix.ok()) return with_context(matrix.error(), file_->path() + ": \"" + entry.name + "\"");
  return matrix;
}

}  // namespace nibble
