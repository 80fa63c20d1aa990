#include "api/pack_cache.h"

#include <chrono>
#include <system_error>
#include <thread>

#include "base/log.h"
#include "hub/digest.h"
#include "nibble/pack_cache.h"

#include "api/boundary.h"
#include "api/model_path.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".pack";
/// Of how stored weights become those that are packed: rounding to nearest, its ranges, the head in int8. Whoever
/// changes a result of these counts on, so that packs made before are made anew.
constexpr std::int64_t kPackedWeightsVersion = 1;
/// Linux keeps file times in steps of its timer, at most 10 ms.
constexpr std::chrono::milliseconds kTimeStep{20};

fs::path model_place(const ModelFiles& files) {
  std::error_code error;
  const fs::path& path = files.checkpoint().path();
  const fs::path place = fs::canonical(path, error);
  return error ? path : place;
}

class KeyDigest {
 public:
  void text(std::string_view value) {
    number(static_cast<std::int64_t>(value.size()));
    digest_.update(std::as_bytes(std::span(value)));
  }
  void number(std::int64_t value) { digest_.update(std::as_bytes(std::span(&value, 1))); }
  PackKey key() {
    const std::string hex = digest_.hex();
    PackKey key{};
    for (std::size_t i = 0; i < key.size(); ++i)
      key[i] = static_cast<std::byte>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
    return key;
  }
  std::string hex() { return digest_.hex(); }

 private:
  Sha256 digest_;
};

void wait_for_another_time(const std::vector<MappedFile::Ptr>& files) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  for (const MappedFile::Ptr& file : files) {
    const auto age = now - std::chrono::nanoseconds(file->stamp().changed_ns);
    if (age >= kTimeStep || age < std::chrono::nanoseconds(0)) continue;
    std::this_thread::sleep_for(kTimeStep);
    return;
  }
}

Status check_unchanged(const ModelFiles& files) {
  for (const MappedFile::Ptr& file : files.checkpoint().files()) {
    const Result<FileStamp> now = file_stamp(file->path());
    if (!now.ok() || !(*now == file->stamp()))
      return fail(ErrorCode::kIo, "{}: the file changed while it was being packed; try again", file->path());
  }
  return {};
}

/// A pack of somebody else's making may be in the way; what it is decides what is said.
Result<PackFile::Ptr> current_pack(const fs::path& path, const PackKey& key, const ModelFiles& files,
                                   PackFile::Pages pages, const Progress& progress, ThreadPool& pool) {
  Result<PackFile::Ptr> pack = PackFile::open(path, &key, pages, pool, progress);
  if (!pack.ok()) return pack;
  for (std::size_t i = 0; i < files.layout().linears.size(); ++i) {
    const LinearInfo& info = files.layout().linears[i];
    if (!is_packed(files.layout(), static_cast<LinearId>(i))) continue;
    const PackFile::Entry* entry = (*pack)->find(info.name);
    if (entry == nullptr || entry->rows != info.rows || entry->cols != info.cols)
      return fail(ErrorCode::kCorrupt, "{}: holds no \"{}\" of {} x {}", path.string(), info.name, info.rows,
                  info.cols);
    const Result<kernel::PackedMatrix> matrix = (*pack)->matrix(*entry);
    if (!matrix.ok()) return matrix.error();
  }
  return pack;
}

/// The largest matrix, about: making a pack holds one at a time.
std::uint64_t largest_matrix(const ModelFiles& files, const LoadOptions& options) {
  std::int64_t largest = 0;
  for (std::size_t i = 0; i < files.layout().linears.size(); ++i) {
    const LinearInfo& info = files.layout().linears[i];
    const auto id = static_cast<LinearId>(i);
    if (!is_packed(files.layout(), id)) continue;
    const Result<MatrixPtr> matrix = files.matrix(id);
    if (!matrix.ok()) continue;
    QuantScheme scheme = (*matrix)->scheme();
    if (!options.scheme.empty() && (options.head == HeadWeights::kScheme || info.role == LinearInfo::Role::kBlock))
      if (const Result<QuantScheme> asked = parse_scheme(options.scheme); asked.ok()) scheme = *asked;
    largest = std::max(largest, scheme.stored_bytes(info.rows, info.cols));
  }
  return static_cast<std::uint64_t>(largest);
}

bool is_pack_of(const fs::path& path, const std::string& prefix) {
  const std::string name = path.filename().string();
  return name.starts_with(prefix) && name.ends_with(kExtension) && name.size() > prefix.size() + kExtension.size();
}

Result<std::vector<fs::path>> packs_of(const ModelFiles& files, const std::string& folder) {
  std::vector<fs::path> packs;
  std::error_code error;
  const fs::path where = pack_folder(files, folder);
  const std::string prefix = pack_prefix(files, folder);
  if (!fs::exists(where, error)) return packs;
  for (fs::directory_iterator it(where, error), end; !error && it != end; it.increment(error))
    if (it->is_regular_file() && is_pack_of(it->path(), prefix)) packs.push_back(it->path());
  if (error) return fail(ErrorCode::kIo, "{}: {}", where.string(), error.message());
  std::sort(packs.begin(), packs.end());
  return packs;
}

}  // namespace

Result<std::string> pack_name(const LoadOptions& options) {
  std::string name = "stored";
  if (!options.scheme.empty()) {
    NIBBLE_TRY(const QuantScheme scheme, parse_scheme(options.scheme));
    name = to_string(scheme);
    if (options.range != "full") name += "-" + options.range;
  }
  // Only int8 activations are multiplied with a head made int8 for them.
  if (options.head == HeadWeights::kScheme)
    name += "-head";
  else if (options.head == HeadWeights::kStored || options.arithmetic != Arithmetic::kInt8)
    name += "-float-head";
  return name;
}

fs::path pack_folder(const ModelFiles& files, const std::string& folder) {
  if (!folder.empty()) return folder;
  const fs::path place = model_place(files);
  std::error_code error;
  return fs::is_directory(place, error) ? place / ".nibble-pack" : fs::path(place.string() + ".nibble-pack");
}

std::string pack_prefix(const ModelFiles& files, const std::string& folder) {
  if (folder.empty()) return "";
  const fs::path place = model_place(files);
  KeyDigest digest;
  digest.text(place.string());
  return place.filename().string() + "-" + digest.hex().substr(0, 12) + "-";
}

PackKey pack_key(const ModelFiles& files, const std::string& name) {
  const Checkpoint& checkpoint = files.checkpoint();
  const std::vector<MappedFile::Ptr> sources = checkpoint.files();
  wait_for_another_time(sources);
  KeyDigest digest;
  digest.text(NIBBLE_VERSION);
  digest.number(kPackedWeightsVersion);
  digest.text(name);
  digest.text(files.config_json().dump());
  digest.text(checkpoint.quantization_config().dump());
  digest.number(static_cast<std::int64_t>(sources.size()));
  for (const MappedFile::Ptr& source : sources) {
    const FileStamp& stamp = source->stamp();
    digest.number(static_cast<std::int64_t>(stamp.inode));
    digest.number(static_cast<std::int64_t>(stamp.size));
    digest.number(stamp.modified_ns);
    digest.number(stamp.changed_ns);
  }
  for (const StoredTensor& tensor : checkpoint.tensors().all()) {
    digest.text(tensor.name);
    digest.number(static_cast<std::int64_t>(tensor.element));
    digest.number(tensor.ggml_type);
    digest.number(static_cast<std::int64_t>(tensor.shape.size()));
    for (const std::int64_t size : tensor.shape) digest.number(size);
    digest.number(static_cast<std::int64_t>(tensor.file_offset));
    digest.number(static_cast<std::int64_t>(tensor.bytes.size()));
  }
  return digest.key();
}

Result<PackFile::Ptr> ready_pack(const ModelFiles& files, const LoadOptions& options, const MatrixHook& hook,
                                 bool required, ThreadPool& pool) {
  NIBBLE_TRY(const std::string name, pack_name(options));
  const fs::path folder = pack_folder(files, options.pack_folder);
  const fs::path path = folder / (pack_prefix(files, options.pack_folder) + name + std::string(kExtension));
  const PackKey key = pack_key(files, name);
  const auto pages = options.memory > 0 ? PackFile::Pages::kLeave : PackFile::Pages::kStay;
  Result<PackFile::Ptr> pack = current_pack(path, key, files, pages, options.progress, pool);
  if (pack.ok() || pack.error().code == ErrorCode::kCancelled) return pack;
  if (pack.error().code == ErrorCode::kCorrupt)
    log_warning("{}; packing anew", pack.error().message);
  else if (pack.error().code != ErrorCode::kNotFound)
    log_info("{}; packing anew", pack.error().message);
  const std::uint64_t largest = largest_matrix(files, options);
  if (options.memory > 0 && largest + largest / 8 > options.memory / 2)
    return fail(ErrorCode::kOutOfMemory,
                "{}: making the pack holds a matrix of {} MB; make it once with --pack-cache and without --memory, or "
                "use --memory {}M",
                files.path(), largest / 1'000'000, 2 * (largest + largest / 8) / 1'000'000 + 1);
  const auto give_up = [&](const std::string& why) -> Result<PackFile::Ptr> {
    if (required)
      return fail(ErrorCode::kIo, "{}; --memory runs from a pack: name a folder for it with --pack-cache=DIR", why);
    log_info("the pack is not kept: {}; --pack-cache=DIR names another folder", why);
    return PackFile::Ptr();
  };
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return give_up(fmt::format("{}: {}", folder.string(), error.message()));
  const Status written = write_pack(
      path, key, files, hook, options.progress, [&] { return check_unchanged(files); }, pool);
  if (!written.ok()) {
    fs::remove(folder, error);  // where it is empty
    if (written.error().code != ErrorCode::kIo && written.error().code != ErrorCode::kInvalidArgument)
      return written.error();
    return give_up(written.error().message);
  }
  files.release();
  pack = current_pack(path, key, files, pages, options.progress, pool);
  if (pack.ok() || pack.error().code == ErrorCode::kCancelled) return pack;
  return give_up(pack.error().message);
}

Result<std::vector<PackInfo>> list_packs(const std::string& model, const std::string& folder) {
  return at_boundary([&]() -> Result<std::vector<PackInfo>> {
    NIBBLE_TRY(const std::string found, model_path(model));
    NIBBLE_TRY(const ModelFiles::Ptr files, ModelFiles::open(found));
    NIBBLE_TRY(const std::vector<fs::path> paths, packs_of(*files, folder));
    ThreadPool pool;
    std::vector<PackInfo> packs;
    for (const fs::path& path : paths) {
      PackInfo info;
      info.path = path.string();
      info.name = path.filename().string().substr(pack_prefix(*files, folder).size());
      info.name.resize(info.name.size() - kExtension.size());
      std::error_code error;
      info.bytes = fs::file_size(path, error);
      const Result<PackFile::Ptr> pack = PackFile::open(path, nullptr, PackFile::Pages::kLeave, pool);
      info.state = !pack.ok()                                      ? PackState::kDamaged
                   : (*pack)->key() == pack_key(*files, info.name) ? PackState::kCurrent
                                                                   : PackState::kStale;
      if (!pack.ok()) {
        info.why = pack.error().message;
        if (pack.error().code == ErrorCode::kUnsupported) info.state = PackState::kStale;
      }
      packs.push_back(std::move(info));
    }
    return packs;
  });
}

Result<std::uint64_t> delete_packs(const std::string& model, const std::string& folder) {
  return at_boundary([&]() -> Result<std::uint64_t> {
    NIBBLE_TRY(const std::string found, model_path(model));
    NIBBLE_TRY(const ModelFiles::Ptr files, ModelFiles::open(found));
    NIBBLE_TRY(const std::vector<fs::path> paths, packs_of(*files, folder));
    std::uint64_t bytes = 0;
    std::error_code error;
    for (const fs::path& path : paths) {
      const std::uint64_t size = fs::file_size(path, error);
      if (!fs::remove(path, error) && error) return fail(ErrorCode::kIo, "{}: {}", path.string(), error.message());
      bytes += size;
    }
    fs::remove(pack_folder(*files, folder), error);  // where it is empty
    return bytes;
  });
}

}  // namespace nibble
