// PyTorch checkpoints (docs/formats/pytorch.md): zip archives of a pickle and the storages it refers to. The pickle is
// read, never run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/result.h"
#include "io/stored_tensor.h"

namespace nibble {

/// Adds the tensors of one file that torch.save() wrote (PyTorch 1.6 or newer); returns the file's size. Tensors may
/// share bytes. One that lies in another order than its shape is copied, all such together at most the file's size.
Result<std::uint64_t> open_pytorch(const std::filesystem::path& path, TensorSet& tensors);

/// Adds the tensors of a folder: pytorch_model.bin.index.json if present, else pytorch_model.bin, else the only index
/// or
/// *.bin, *.pt or *.pth. Returns the files' total size.
Result<std::uint64_t> open_pytorch_folder(const std::filesystem::path& folder, TensorSet& tensors);

/// A name that PyTorch checkpoints and their indexes have, and the state that trainers leave beside them has not.
bool is_pytorch_name(std::string_view name);

}  // namespace nibble
