// The index of a sharded model (model.safetensors.index.json, pytorch_model.bin.index.json): which file holds a tensor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/stored_tensor.h"

namespace nibble {

/// Reads one file of a container: adds its tensors, returns its size.
using TensorFileReader = Result<std::uint64_t> (*)(const std::filesystem::path& path, TensorSet& tensors);

/// Adds the tensors of every file that `index`, a file in `folder`, lists; returns the files' total size. The index is
/// untrusted: its paths must stay below the folder, and its files must hold what it says (formats-hf.md 1.6).
Result<std::uint64_t> open_weight_index(const std::filesystem::path& folder, const std::filesystem::path& index,
                                        TensorFileReader read, TensorSet& tensors);

/// None of the files that the index lists is in `folder`: it was left there by other weights. False where it cannot be
/// read.
bool is_leftover_index(const std::filesystem::path& folder, const std::filesystem::path& index);

/// The files that an index lists, sorted; relative paths that stay below its folder.
Result<std::vector<std::string>> files_of_weight_index(const std::filesystem::path& index);

}  // namespace nibble
