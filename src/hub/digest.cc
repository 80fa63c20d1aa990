// SHA-1 and SHA-256 of OpenSSL.
#include "hub/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace nibble {

struct DigestContext {
  EVP_MD_CTX* handle = EVP_MD_CTX_new();
  explicit DigestContext(const EVP_MD* algorithm) {
    NIBBLE_CHECK(handle != nullptr && EVP_DigestInit_ex(handle, algorithm, nullptr) == 1);
  }
  ~DigestContext() { EVP_MD_CTX_free(handle); }
  DigestContext(const DigestContext&) = delete;
  DigestContext& operator=(const DigestContext&) = delete;

  void update(std::span<const std::byte> bytes) {
    NIBBLE_CHECK(EVP_DigestUpdate(handle, bytes.data(), bytes.size()) == 1);
  }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
    unsigned int size = 0;
    NIBBLE_CHECK(EVP_DigestFinal_ex(handle, bytes.data(), &size) == 1);
    std::string text;
    for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
    return text;
  }
};

Sha256::Sha256() : context_(std::make_shared<DigestContext>(EVP_sha256())) {}

void Sha256::update(std::span<const std::byte> bytes) { context_->update(bytes); }

std::string Sha256::hex() { return context_->hex(); }

std::optional<EtagDigest> EtagDigest::create(std::string_view etag, std::uint64_t size) {
  const bool is_hex =
      std::all_of(etag.begin(), etag.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (!is_hex || (etag.size() != 40 && etag.size() != 64)) return std::nullopt;
  EtagDigest digest;
  digest.expected_ = std::string(etag);
  digest.context_ = std::make_shared<DigestContext>(etag.size() == 64 ? EVP_sha256() : EVP_sha1());
  if (etag.size() == 40) {
    const std::string head = fmt::format("blob {}", size);
    digest.update(std::as_bytes(std::span(head.c_str(), head.size() + 1)));
  }
  return digest;
}

void EtagDigest::update(std::span<const std::byte> bytes) { context_->update(bytes); }

bool EtagDigest::matches() { return context_->hex() == expected_; }

}  // namespace nibble
