// safetensors (formats-hf.md section 1): mapped reading of one file or a sharded folder, and atomic writing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/atomic_output.h"
#include "base/result.h"
#include "io/stored_tensor.h"

namespace nibble {

/// Adds the tensors of one file to `tensors`; returns the file's size. Makes every check of formats-hf.md 1.2.
Result<std::uint64_t> open_safetensors(const std::filesystem::path& path, TensorSet& tensors);

/// Adds the tensors of a folder: model.safetensors.index.json if present (then only the files it lists, paths checked),
/// else model.safetensors, else the only *.safetensors. Returns the files' total size.
Result<std::uint64_t> open_safetensors_folder(const std::filesystem::path& folder, TensorSet& tensors);

struct SafetensorsPlan {
  std::string name;
  std::vector<std::int64_t> shape;
  ElementType element = ElementType::kF32;
};

/// Bytes of the file that SafetensorsWriter makes of a plan when it makes one.
Result<std::uint64_t> safetensors_bytes(const std::vector<SafetensorsPlan>& plan,
                                        const std::map<std::string, std::string>& metadata);

/// Writes model.safetensors, or shards of at most `shard_bytes` with an index, into a folder under construction.
/// Tensors may be written in any order and in pieces, by many threads at once. Files are laid out as the official
/// writer does (formats-hf.md 1.4); their room on the disk is claimed at once. Destroyed without finish(), it leaves
/// nothing behind.
class SafetensorsWriter {
 public:
  static Result<std::unique_ptr<SafetensorsWriter>> create(
      const std::filesystem::path& folder, std::vector<SafetensorsPlan> plan,
      const std::map<std::string, std::string>& metadata = {{"format", "pt"}},
      std::uint64_t shard_bytes = 5'000'000'000);
  virtual ~SafetensorsWriter() = default;
  /// `index` is the tensor's position in the plan; `offset` is in bytes within the tensor.
  virtual Status write(std::size_t index, std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  /// Fails when a byte of a planned tensor was not written.
  virtual Status finish() = 0;
};

}  // namespace nibble
