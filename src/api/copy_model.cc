// nibble/output.h: copying models.
#include <filesystem>
#include <fstream>
#include <span>
#include <vector>

#include "api/boundary.h"
#include "api/model_path.h"
#include "base/atomic_output.h"
#include "io/gguf_format.h"
#include "nibble/output.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

struct SourceFile {
  fs::path from;
  fs::path name;  ///< within the model's folder
  std::uint64_t bytes = 0;
};

/// The files of a folder. What begins with a dot is no part of a model: packs, leftovers, version control.
Result<std::vector<SourceFile>> files_of(const fs::path& folder) {
  std::vector<SourceFile> files;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().filename().string().starts_with('.')) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file(error)) {
      files.push_back({entry->path(), entry->path().lexically_relative(folder), entry->file_size(error)});
    }
    if (error) break;
  }
  if (error) return fail(ErrorCode::kIo, "{}: reading the folder: {}", folder.string(), error.message());
  return files;
}

/// Copies files, counting bytes.
class Copier {
 public:
  Copier(const std::vector<SourceFile>& files, const Progress& progress) : progress_(progress), buffer_(kChunk) {
    for (const SourceFile& file : files) total_ += file.bytes;
  }

  Status copy(const fs::path& from, const fs::path& to) {
    std::ifstream in(from, std::ios::binary);
    if (!in) return fail(ErrorCode::kIo, "{}: cannot be opened", from.string());
    NIBBLE_TRY(AtomicFile out, AtomicFile::create(to));
    while (in) {
      in.read(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
      if (in.bad()) return fail(ErrorCode::kIo, "{}: reading failed", from.string());
      const auto bytes = std::span(buffer_).first(static_cast<std::size_t>(in.gcount()));
      NIBBLE_TRY_STATUS(out.append(std::as_bytes(bytes)));
      done_ += bytes.size();
      if (progress_ && !progress_("copying", done_, total_, "bytes"))
        return fail(ErrorCode::kCancelled, "copying was stopped; nothing was written");
    }
    return out.commit();
  }

 private:
  static constexpr std::size_t kChunk = std::size_t{4} << 20;
  const Progress& progress_;
  std::vector<char> buffer_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

Status copy_folder(const fs::path& from, const std::string& to, const Progress& progress) {
  NIBBLE_TRY(const std::vector<SourceFile> files, files_of(from));
  NIBBLE_TRY(AtomicFolder folder, AtomicFolder::create(to));
  Copier copier(files, progress);
  for (const SourceFile& file : files) {
    const fs::path target = folder.path() / file.name;
    std::error_code error;
    fs::create_directories(target.parent_path(), error);
    if (error) return fail(ErrorCode::kIo, "{}: {}", target.parent_path().string(), error.message());
    NIBBLE_TRY_STATUS(copier.copy(file.from, target));
  }
  return folder.commit();
}

}  // namespace

Status copy_model(const std::string& model, const std::string& out, const Progress& progress) {
  return at_boundary([&]() -> Status {
    NIBBLE_TRY(const std::string path, model_path(model));
    std::error_code error;
    if (!fs::exists(path, error)) return fail(ErrorCode::kNotFound, "{}: no such file or folder", path);
    if (fs::exists(out, error) && fs::equivalent(path, out, error))
      return fail(ErrorCode::kInvalidArgument, "{}: is the model itself; choose another path for the copy", out);
    if (fs::is_directory(path, error)) return copy_folder(path, out, progress);
    if (const auto shard = parse_gguf_shard_name(path); shard && shard->count > 1)
      return fail(ErrorCode::kUnsupported, "{}: is one of several files of a model; convert it to gguf instead", path);
    Copier copier({{path, {}, fs::file_size(path, error)}}, progress);
    return copier.copy(path, out);
  });
}

}  // namespace nibble
