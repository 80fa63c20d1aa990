// Pack files: all packed matrices of a model in one file, to be mapped and used where they lie.
//
//   header, 88 bytes   magic, versions of file and layouts, sizes, checksum of the directory, key, its own checksum
//   panels             of each matrix, each beginning at a multiple of 4096
//   directory          of each matrix: name, scheme, shape, place, checksum of its panels, description (packed_image.h)
//
// A pack is a cache: it is made from a model and says by its key from which. Nothing in it is believed: sizes are
// checked against the file, header, directory and panels against checksums, and what passes is read as packed_image.h
// reads it.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/atomic_output.h"
#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "kernel/matmul/packed_matrix.h"
#include "nibble/progress.h"

namespace nibble {

/// What a pack was made from: a SHA-256, whose making is the business of whoever asks for packs.
using PackKey = std::array<std::byte, 32>;

/// Writes a pack matrix by matrix; holds none of them. The file gets its name when it is whole.
class PackWriter {
 public:
  static Result<PackWriter> create(const std::filesystem::path& path, const PackKey& key);
  /// `scheme` and `stored_bytes` are what the model stores for the matrix.
  Status add(const std::string& name, const std::string& scheme, std::int64_t stored_bytes,
             const kernel::PackedMatrix& matrix, ThreadPool& pool);
  Status commit();

 private:
  PackWriter(AtomicFile file, const PackKey& key) : file_(std::move(file)), key_(key) {}
  AtomicFile file_;
  PackKey key_;
  std::uint64_t count_ = 0;
  std::vector<std::byte> directory_;
};

class PackFile {
 public:
  using Ptr = std::shared_ptr<const PackFile>;

  struct Entry {
    std::string name;
    std::string scheme;
    std::int64_t stored_bytes = 0;
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    std::uint64_t offset = 0;  ///< of the panels in the file
    std::uint64_t bytes = 0;
    std::uint64_t checksum = 0;
    std::span<const std::byte> description;
  };

  /// What becomes of pages that were verified.
  enum class Pages {
    kStay,
    kLeave,  ///< memory and page cache
  };

  /// Maps a pack and verifies every byte of it. Without a key, whatever it was made of. kNotFound: there is none;
  /// kUnsupported: it was made of something else or by another version; kCorrupt: it is damaged; kCancelled: `progress`
  /// said so.
  static Result<Ptr> open(const std::filesystem::path& path, const PackKey* key, Pages pages, ThreadPool& pool,
                          const Progress& progress = {});

  const PackKey& key() const { return key_; }
  const std::vector<Entry>& entries() const { return entries_; }
  const Entry* find(std::string_view name) const;
  /// The matrix of an entry of this file, which it keeps mapped.
  Result<kernel::PackedMatrix> matrix(const Entry& entry) const;
  const MappedFile::Ptr& file() const { return file_; }

 private:
  PackFile() = default;
  Status read_header(const PackKey* key);
  Status read_directory();
  Status verify_panels(Pages pages, ThreadPool& pool, const Progress& progress) const;

  MappedFile::Ptr file_;
  PackKey key_{};
  std::uint64_t directory_offset_ = 0;
  std::uint64_t directory_bytes_ = 0;
  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::size_t> by_name_;
};

}  // namespace nibble
