// SHA-1 and SHA-256 of OpenSSL.
#include "hub/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace nibble {

struct EtagDigest::Context {
  EVP_MD_CTX* handle = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(handle); }
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
};

std::optional<EtagDigest> EtagDigest::create(std::string_view etag, std::uint64_t size) {
  const bool is_hex =
      std::all_of(etag.begin(), etag.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (!is_hex || (etag.size() != 40 && etag.size() != 64)) return std::nullopt;
  EtagDigest digest;
  digest.expected_ = std::string(etag);
  digest.context_ = std::make_shared<Context>();
  const EVP_MD* algorithm = etag.size() == 64 ? EVP_sha256() : EVP_sha1();
  NIBBLE_CHECK(digest.context_->handle != nullptr &&
               EVP_DigestInit_ex(digest.context_->handle, algorithm, nullptr) == 1);
  if (etag.size() == 40) {
    const std::string head = fmt::format("blob {}", size);
    digest.update(std::as_bytes(std::span(head.c_str(), head.size() + 1)));
  }
  return digest;
}

void EtagDigest::update(std::span<const std::byte> bytes) {
  NIBBLE_CHECK(EVP_DigestUpdate(context_->handle, bytes.data(), bytes.size()) == 1);
}

bool EtagDigest::matches() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  NIBBLE_CHECK(EVP_DigestFinal_ex(context_->handle, bytes.data(), &size) == 1);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text == expected_;
}

}  // namespace nibble
