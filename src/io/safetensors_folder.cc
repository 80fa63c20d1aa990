// A folder of safetensors files: the index if there is one, else the one file.
#include "base/log.h"
#include "io/folder_listing.h"
#include "io/safetensors.h"
#include "io/weight_index.h"

namespace nibble {

namespace fs = std::filesystem;

Result<std::uint64_t> open_safetensors_folder(const fs::path& folder, TensorSet& tensors) {
  std::error_code error;
  const auto through = [&](const fs::path& index) {
    return open_weight_index(folder, index, open_safetensors, tensors);
  };
  const fs::path index = folder / "model.safetensors.index.json";
  const fs::path whole = folder / "model.safetensors";
  const bool has_whole = fs::exists(whole, error);
  if (fs::exists(index, error)) {
    if (!has_whole || !is_leftover_index(folder, index)) return through(index);
    log_warning("{}: none of the files that it lists is there; model.safetensors is used", index.string());
  }
  if (has_whole) return open_safetensors(whole, tensors);
  const std::vector<std::string> names = names_in(folder);
  const std::vector<std::string> indexes = names_ending(names, ".safetensors.index.json");
  if (indexes.size() == 1) return through(folder / indexes.front());
  std::vector<std::string> files = names_ending(names, ".safetensors");
  if (files.size() > 1)  // a second copy of the same weights in the vendor's own names
    std::erase_if(files, [](const std::string& name) { return name.starts_with("consolidated"); });
  if (files.size() == 1) return open_safetensors(folder / files.front(), tensors);
  if (files.empty()) return fail(ErrorCode::kNotFound, "{}: holds no *.safetensors file", folder.string());
  return fail(
      ErrorCode::kNotFound,
      "{}: holds several *.safetensors files ({}) but no model.safetensors.index.json that says which belong to "
      "the model; is the download complete?",
      folder.string(), joined(files));
}

}  // namespace nibble
