// Checksums of files: SHA-256, and the one that a hub's ETag is of a file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace nibble {

class Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> bytes);
  /// Ends the digest: 64 hexadecimal digits.
  std::string hex();

 private:
  std::shared_ptr<struct DigestContext> context_;
};

/// Large files are named by the SHA-256 of their content (64 hexadecimal digits), others by git's: the SHA-1 of
/// "blob SIZE", a zero byte and the content (40).
class EtagDigest {
 public:
  /// Nothing when the ETag is neither: then there is nothing to compare.
  static std::optional<EtagDigest> create(std::string_view etag, std::uint64_t size);
  void update(std::span<const std::byte> bytes);
  /// Ends the digest: does it say what the ETag says?
  bool matches();

 private:
  EtagDigest() = default;
  std::string expected_;
  std::shared_ptr<struct DigestContext> context_;
};

}  // namespace nibble
