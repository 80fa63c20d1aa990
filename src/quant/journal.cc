#include "quant/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "base/atomic_output.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "quant/journal_entry.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRun = "run.json";

/// A matrix that is in memory only between its first decoding and its release.
class RecordedMatrix final : public MatrixSource {
 public:
  RecordedMatrix(fs::path path, const MatrixSource& written)
      : path_(std::move(path)),
        scheme_(written.scheme()),
        rows_(written.rows()),
        cols_(written.cols()),
        row_step_(written.row_step()) {}
  const QuantScheme& scheme() const override { return scheme_; }
  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return cols_; }
  std::int64_t row_step() const override { return row_step_; }

  Status decode(std::int64_t row_begin, std::int64_t row_count, QuantizedMatrix& out) const override {
    NIBBLE_TRY(const MatrixPtr matrix, loaded());
    return matrix->decode(row_begin, row_count, out);
  }
  void release(std::int64_t, std::int64_t row_count) const override {
    if (row_count != rows_) return;
    const std::lock_guard lock(mutex_);
    loaded_ = nullptr;
  }

 private:
  Result<MatrixPtr> loaded() const {
    const std::lock_guard lock(mutex_);
    if (loaded_ == nullptr) {
      NIBBLE_TRY(JournalEntry entry, read_journal_entry(path_));
      if (entry.matrix.scheme != scheme_ || entry.matrix.rows != rows_ || entry.matrix.cols != cols_)
        return fail(ErrorCode::kCorrupt, "{}: changed while it was in use", path_.string());
      loaded_ = make_source(std::move(entry.matrix));
    }
    return loaded_;
  }

  fs::path path_;
  QuantScheme scheme_;
  std::int64_t rows_;
  std::int64_t cols_;
  std::int64_t row_step_;
  mutable std::mutex mutex_;
  mutable MatrixPtr loaded_;
};

Journal::Entry entry_of(fs::path path, QuantizedMatrix matrix, Json notes) {
  const MatrixPtr source = make_source(std::move(matrix));
  return {source, std::make_shared<RecordedMatrix>(std::move(path), *source), std::move(notes)};
}

/// The journal's folder, held against other processes as long as it is open.
Result<int> lock_folder(const fs::path& folder, const fs::path& output) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail(ErrorCode::kIo, "{}: {}", folder.string(), std::strerror(errno));
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  close(fd);
  return fail(ErrorCode::kInvalidArgument, "{}: another run is at work on it; wait for it or choose another output",
              output.string());
}

/// The first key whose values differ, or nothing.
std::optional<std::string> difference(const Json& before, const Json& now) {
  for (const auto& [key, value] : now.items()) {
    const auto found = before.find(key);
    if (found == before.end() || *found != value)
      return fmt::format("{} was {}, is {}", key, found == before.end() ? "not there" : found->dump(), value.dump());
  }
  return std::nullopt;
}

/// Refuses the journal of another run.
Status check_same_run(const fs::path& file, const Json& run) {
  NIBBLE_TRY(const std::string text, read_text_file(file));
  const Result<Json> before = parse_untrusted(text, file.string());
  if (!before.ok() || !before->is_object())
    return fail(ErrorCode::kCorrupt, "{}: not the journal of a run; leave --resume out to start afresh", file.string());
  const std::optional<std::string> different = difference(*before, run);
  if (!different) return {};
  return fail(ErrorCode::kInvalidArgument,
              "the interrupted run was another one: {}; resume it with its own flags, or leave --resume out to start "
              "afresh",
              *different);
}

}  // namespace

fs::path Journal::folder_of(const fs::path& output) {
  const fs::path path = output.has_filename() ? output : output.parent_path();  // "out/"
  return path.string() + ".nibble-journal";
}

Result<Journal::Ptr> Journal::open(const fs::path& output, const Json& run, bool resume) {
  const fs::path folder = folder_of(output);
  std::error_code error;
  fs::create_directory(folder, error);
  if (error)
    return fail(ErrorCode::kIo, "{}: cannot create the journal's folder: {}", folder.string(), error.message());
  NIBBLE_TRY(const int lock, lock_folder(folder, output));
  auto journal = Ptr(new Journal);
  journal->folder_ = folder;
  journal->lock_ = lock;
  const fs::path begun = folder / kRun;
  if (fs::exists(begun, error)) {
    if (resume) {
      journal->has_entries_ = true;
      NIBBLE_TRY_STATUS(check_same_run(begun, run));
      return journal;
    }
    log_info("{}: what an interrupted run had finished is dropped; --resume would have gone on from there",
             folder.string());
  }
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    fs::remove_all(it->path(), error);
  if (error) return fail(ErrorCode::kIo, "{}: cannot empty the journal: {}", folder.string(), error.message());
  NIBBLE_TRY_STATUS(journal->put_text(std::string(kRun), run.dump(2) + "\n"));
  journal->has_entries_ = false;
  return journal;
}

Journal::~Journal() {
  if (!has_entries_ && lock_ >= 0) remove();
  if (lock_ >= 0) close(lock_);
}

fs::path Journal::file(const std::string& name) const { return folder_ / name; }

std::optional<Journal::Entry> Journal::find(const std::string& name) const {
  Result<JournalEntry> entry = read_journal_entry(file(name));
  if (entry.ok()) return entry_of(file(name), std::move(entry->matrix), std::move(entry->notes));
  if (entry.error().code != ErrorCode::kNotFound) log_warning("{}; it is made again", entry.error().message);
  return std::nullopt;
}

Result<Journal::Entry> Journal::put(const std::string& name, QuantizedMatrix matrix, Json notes) {
  NIBBLE_TRY_STATUS(write_journal_entry(file(name), matrix, notes));
  has_entries_ = true;
  return entry_of(file(name), std::move(matrix), std::move(notes));
}

std::optional<std::string> Journal::find_text(const std::string& name) const {
  Result<std::string> text = read_text_file(file(name));
  if (text.ok()) return *std::move(text);
  if (text.error().code != ErrorCode::kNotFound) log_warning("{}; it is made again", text.error().message);
  return std::nullopt;
}

Status Journal::put_text(const std::string& name, const std::string& text) {
  NIBBLE_TRY(AtomicFile out, AtomicFile::create(file(name)));
  NIBBLE_TRY_STATUS(out.append(std::as_bytes(std::span(text))));
  NIBBLE_TRY_STATUS(out.commit());
  has_entries_ = true;
  return {};
}

void Journal::remove() {
  std::error_code error;
  fs::remove_all(folder_, error);
  if (error) log_warning("{}: cannot be removed: {}", folder_.string(), error.message());
}

}  // namespace nibble
