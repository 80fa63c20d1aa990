// Opens a checkpoint with a given list of families; Checkpoint::open() takes all_families(), tests their own.
#pragma once

#include "io/checkpoint.h"
#include "io/family.h"

namespace nibble {

class CheckpointOpener {
 public:
  explicit CheckpointOpener(std::span<const Family* const> families) : families_(families) {}

  /// What Checkpoint::open() promises.
  Result<Checkpoint::Ptr> open(const std::filesystem::path& path) const;

 private:
  Status open_folder(const std::filesystem::path& folder, Checkpoint& checkpoint) const;
  Status open_file(const std::filesystem::path& path, Checkpoint& checkpoint) const;
  static Status read_configs(const std::filesystem::path& folder, Checkpoint& checkpoint);
  static FamilyInput input_of(const Checkpoint& checkpoint);
  Status find_family(Checkpoint& checkpoint) const;
  Status collect_matrices(Checkpoint& checkpoint) const;
  Error unknown_method(const Checkpoint& checkpoint, const std::string& method) const;

  std::span<const Family* const> families_;
};

}  // namespace nibble
