// Finds out what a path holds, opens its container, asks the families whose it is, and sorts the tensors into weight
// matrices and the rest.
#include "io/checkpoint.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "base/utf8.h"
#include "io/checkpoint_opener.h"
#include "io/float_matrix.h"
#include "io/folder_listing.h"
#include "io/gguf_format.h"
#include "io/pytorch.h"
#include "io/safetensors.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWeightSuffix = ".weight";

bool is_safetensors(const std::string& name) {
  return name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
}

/// A GGUF file that can be opened: whole, or the first shard.
bool is_openable_gguf(const std::string& name) {
  if (!name.ends_with(".gguf")) return false;
  const auto shard = parse_gguf_shard_name(name);
  return !shard || shard->number == 1;
}

Result<Json> read_json_object(const fs::path& path) {
  NIBBLE_TRY(const std::string text, read_text_file(path, std::size_t{64} << 20));
  NIBBLE_TRY(Json document, parse_untrusted(text, path.string()));
  if (!document.is_object())
    return fail(ErrorCode::kCorrupt, "{}: is {}, expected an object", path.string(), document.type_name());
  return document;
}

/// quantization_config of config.json (compression_config in old compressed-tensors), or nullptr.
const Json* config_inside(const Json& config) {
  for (const char* key : {"quantization_config", "compression_config"})
    if (const auto found = config.find(key); found != config.end() && !found->is_null()) return &*found;
  return nullptr;
}

/// Where a folder says how it is quantized (formats-hf.md section 11): config.json, its text_config, or a file of its
/// own.
Result<Json> find_quantization_config(const fs::path& folder, const Json& config) {
  const Json* found = config_inside(config);
  if (found == nullptr) {
    const auto text_config = config.find("text_config");
    if (text_config != config.end() && text_config->is_object()) found = config_inside(*text_config);
  }
  if (found != nullptr) {
    if (!found->is_object())
      return fail(ErrorCode::kCorrupt, "{}: quantization_config is {}, expected an object",
                  (folder / "config.json").string(), found->type_name());
    return *found;
  }
  std::error_code error;
  for (const char* name : {"quantize_config.json", "quant_config.json", "hf_quant_config.json"})
    if (fs::exists(folder / name, error)) return read_json_object(folder / name);
  return Json();
}

/// The module whose weight this tensor is; empty when it is no float matrix.
std::string module_of_float(const StoredTensor& tensor) {
  if (!is_float_matrix(tensor) || !tensor.name.ends_with(kWeightSuffix)) return {};
  return tensor.name.substr(0, tensor.name.size() - kWeightSuffix.size());
}

Error no_model(const fs::path& folder, const std::vector<std::string>& names) {
  const bool has_config = std::find(names.begin(), names.end(), "config.json") != names.end();
  return fail(ErrorCode::kNotFound, "{}: {} *.safetensors, *.bin or *.gguf file; {}", folder.string(),
              has_config ? "holds config.json but no" : "is not a model folder: it holds no config.json, no",
              has_config ? "is the download complete?" : "name a folder with a model or a GGUF file");
}

}  // namespace

Status CheckpointOpener::open_folder(const fs::path& folder, Checkpoint& checkpoint) const {
  const std::vector<std::string> names = names_in(folder);
  const bool has_safetensors = std::any_of(names.begin(), names.end(), is_safetensors);
  const bool has_pytorch = std::any_of(names.begin(), names.end(), is_pytorch_name);
  if (!has_safetensors) {
    std::vector<std::string> ggufs;
    std::copy_if(names.begin(), names.end(), std::back_inserter(ggufs), is_openable_gguf);
    if (ggufs.empty() && !has_pytorch) {  // repositories may keep each quantization in a folder of its own
      ggufs = names_below(folder, ".gguf");
      std::erase_if(ggufs, [](const std::string& name) { return !is_openable_gguf(name); });
    }
    if (ggufs.size() == 1) return open_file(folder / ggufs.front(), checkpoint);
    if (ggufs.size() > 1)
      return fail(ErrorCode::kInvalidArgument, "{}: holds several GGUF files; name one of them, for example {}",
                  folder.string(), (folder / ggufs.front()).string());
    if (!has_pytorch) return no_model(folder, names);
  }
  NIBBLE_TRY_STATUS(read_configs(folder, checkpoint));
  checkpoint.container_ = has_safetensors ? "safetensors" : "pytorch";
  const auto open = has_safetensors ? open_safetensors_folder : open_pytorch_folder;
  NIBBLE_TRY(checkpoint.file_bytes_, open(folder, checkpoint.tensors_));
  return {};
}

Status CheckpointOpener::read_configs(const fs::path& folder, Checkpoint& checkpoint) {
  std::error_code error;
  if (fs::exists(folder / "config.json", error)) {
    NIBBLE_TRY(checkpoint.config_, read_json_object(folder / "config.json"));
  }
  NIBBLE_TRY(checkpoint.quantization_config_, find_quantization_config(folder, checkpoint.config_));
  return {};
}

Status CheckpointOpener::open_file(const fs::path& path, Checkpoint& checkpoint) const {
  checkpoint.path_ = path;
  const bool is_pytorch = is_pytorch_name(path.filename().string()) && path.extension() != ".json";
  if (path.extension() == ".safetensors" || is_pytorch) {
    NIBBLE_TRY_STATUS(read_configs(checkpoint.folder(), checkpoint));
    checkpoint.container_ = is_pytorch ? "pytorch" : "safetensors";
    const auto open = is_pytorch ? open_pytorch : open_safetensors;
    NIBBLE_TRY(checkpoint.file_bytes_, open(path, checkpoint.tensors_));
    return {};
  }
  NIBBLE_TRY(GgufFile file, open_gguf(path));
  checkpoint.container_ = "gguf";
  checkpoint.gguf_ = std::move(file.metadata);
  checkpoint.tensors_ = std::move(file.tensors);
  checkpoint.file_bytes_ = file.file_bytes;
  return {};
}

Error CheckpointOpener::unknown_method(const Checkpoint& checkpoint, const std::string& method) const {
  std::string known;
  for (const Family* family : families_) known += (known.empty() ? "" : ", ") + std::string(family->name);
  return fail(
      ErrorCode::kUnsupported,
      "{}: quant_method \"{}\" is not supported, or its tensors do not look like it; supported families: {}. Take "
      "the unquantized model and quantize it with one of them",
      checkpoint.path_.string(), printable(method), known);
}

FamilyInput CheckpointOpener::input_of(const Checkpoint& checkpoint) {
  return {checkpoint.path_.string(), checkpoint.config_, checkpoint.quantization_config_, checkpoint.tensors_,
          checkpoint.is_gguf()};
}

Status CheckpointOpener::find_family(Checkpoint& checkpoint) const {
  const FamilyInput input = input_of(checkpoint);
  const JsonFields fields(checkpoint.quantization_config_, input.what + ": quantization_config");
  NIBBLE_TRY(const auto method, fields.string("quant_method"));  // its type is checked for the families, too
  const auto found =
      std::find_if(families_.begin(), families_.end(), [&](const Family* family) { return family->detect(input); });
  if (found != families_.end()) checkpoint.family_ = *found;
  if (found != families_.end() || !checkpoint.quantization_config_.is_object()) return {};
  if (method) return unknown_method(checkpoint, *method);
  log_warning("{}: has a quantization config without quant_method, but no tensors of a known family; read as floats",
              input.what);
  return {};
}

Status CheckpointOpener::collect_matrices(Checkpoint& checkpoint) const {
  const std::vector<StoredTensor>& tensors = checkpoint.tensors_.all();
  std::vector<bool> consumed(tensors.size(), false);
  std::vector<std::pair<std::size_t, std::string>> order;  // position of a module's first tensor, module
  if (checkpoint.family_ != nullptr) {
    NIBBLE_TRY(std::vector<FamilyModule> modules, checkpoint.family_->open(input_of(checkpoint)));
    for (FamilyModule& module : modules) {
      NIBBLE_CHECK(module.weight != nullptr && !module.consumed.empty());
      std::size_t first = tensors.size();
      for (const StoredTensor* tensor : module.consumed) {
        const auto position = static_cast<std::size_t>(tensor - tensors.data());
        NIBBLE_CHECK(position < tensors.size());
        consumed[position] = true;
        first = std::min(first, position);
      }
      order.emplace_back(first, module.module);
      if (!checkpoint.matrices_.emplace(module.module, std::move(module.weight)).second)
        return fail(ErrorCode::kCorrupt, "{}: the module \"{}\" has two weights", checkpoint.path_.string(),
                    printable(module.module));
    }
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (consumed[i]) continue;
    const std::string module = module_of_float(tensors[i]);
    if (!module.empty() && checkpoint.matrices_.emplace(module, nullptr).second) {
      checkpoint.matrices_[module] = make_float_matrix(tensors[i]);
      order.emplace_back(i, module);
    } else {
      checkpoint.plain_.push_back(&tensors[i]);
    }
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& place : order) checkpoint.module_order_.push_back(std::move(place.second));
  return {};
}

Result<Checkpoint::Ptr> CheckpointOpener::open(const fs::path& path) const {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status))
    return fail(ErrorCode::kNotFound,
                "{}: does not exist; a model is a folder with safetensors or PyTorch weights, or a GGUF file",
                path.string());
  const std::shared_ptr<Checkpoint> checkpoint(new Checkpoint);  // filled in place: families point into its tensors
  checkpoint->path_ = path;
  NIBBLE_TRY_STATUS(fs::is_directory(status) ? open_folder(path, *checkpoint) : open_file(path, *checkpoint));
  NIBBLE_TRY_STATUS(find_family(*checkpoint));
  NIBBLE_TRY_STATUS(collect_matrices(*checkpoint));
  NIBBLE_TRY_STATUS(checkpoint->check_intact());
  return Checkpoint::Ptr(checkpoint);
}

Result<Checkpoint::Ptr> Checkpoint::open(const fs::path& path) { return CheckpointOpener(all_families()).open(path); }

fs::path Checkpoint::folder() const {
  std::error_code error;
  if (fs::is_directory(path_, error)) return path_;
  return path_.has_parent_path() ? path_.parent_path() : fs::path(".");
}

std::string_view Checkpoint::family_name() const { return family_ == nullptr ? "float" : family_->name; }

Result<MatrixPtr> Checkpoint::matrix(std::string_view module) const {
  const auto found = matrices_.find(module);
  if (found == matrices_.end())
    return fail(ErrorCode::kNotFound, "{}: no weight matrix of a module \"{}\"", path_.string(), printable(module));
  return found->second;
}

bool Checkpoint::has_matrix(std::string_view module) const { return matrices_.find(module) != matrices_.end(); }

std::vector<std::string> Checkpoint::modules() const { return module_order_; }

std::vector<const StoredTensor*> Checkpoint::plain_tensors() const { return plain_; }

std::vector<MappedFile::Ptr> Checkpoint::files() const {
  std::vector<MappedFile::Ptr> files;
  for (const StoredTensor& tensor : tensors_.all()) {
    if (tensor.file == nullptr || (!files.empty() && files.back() == tensor.file)) continue;
    if (std::find(files.begin(), files.end(), tensor.file) == files.end()) files.push_back(tensor.file);
  }
  return files;
}

Status Checkpoint::check_intact() const {
  for (const MappedFile::Ptr& file : files()) NIBBLE_TRY_STATUS(file->check_intact());
  return {};
}

}  // namespace nibble
