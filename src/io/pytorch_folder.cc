// A folder of PyTorch files: the index if there is one, else the one file that holds a model.
#include <algorithm>

#include "base/log.h"
#include "io/folder_listing.h"
#include "io/pytorch.h"
#include "io/weight_index.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexSuffix = ".bin.index.json";

/// What trainers leave beside the weights.
bool is_training_state(std::string_view name) {
  for (const char* prefix : {"training_args.", "optimizer", "scheduler.", "scaler.", "rng_state"})
    if (name.starts_with(prefix)) return true;
  return false;
}

}  // namespace

bool is_pytorch_name(std::string_view name) {
  if (is_training_state(name)) return false;
  return name.ends_with(".bin") || name.ends_with(kIndexSuffix) || name.ends_with(".pth") || name.ends_with(".pt");
}

Result<std::uint64_t> open_pytorch_folder(const fs::path& folder, TensorSet& tensors) {
  std::vector<std::string> names = names_in(folder);
  std::erase_if(names, [](const std::string& name) { return !is_pytorch_name(name); });
  const auto has = [&](const char* name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  const auto through = [&](const fs::path& index) { return open_weight_index(folder, index, open_pytorch, tensors); };
  const fs::path index = folder / "pytorch_model.bin.index.json";
  if (has("pytorch_model.bin.index.json")) {
    if (!has("pytorch_model.bin") || !is_leftover_index(folder, index)) return through(index);
    log_warning("{}: none of the files that it lists is there; pytorch_model.bin is used", index.string());
  }
  if (has("pytorch_model.bin")) return open_pytorch(folder / "pytorch_model.bin", tensors);
  const std::vector<std::string> indexes = names_ending(names, kIndexSuffix);
  if (indexes.size() == 1) return through(folder / indexes.front());
  if (names.size() == 1) return open_pytorch(folder / names.front(), tensors);
  if (names.empty()) return fail(ErrorCode::kNotFound, "{}: holds no PyTorch checkpoint", folder.string());
  return fail(ErrorCode::kNotFound,
              "{}: holds several PyTorch files ({}) but no pytorch_model.bin.index.json that says which belong to the "
              "model; is "
              "the download complete?",
              folder.string(), joined(names));
}

}  // namespace nibble
