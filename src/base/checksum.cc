#include "base/checksum.h"

#include <array>
#include <bit>
#include <cstring>

namespace nibble {
namespace {

static_assert(std::endian::native == std::endian::little, "checksums are those of little-endian words");

constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15u;
constexpr std::size_t kLanes = 8;
constexpr std::size_t kStripe = 8 * kLanes;

inline std::uint64_t step(std::uint64_t lane, std::uint64_t word) noexcept {
  return std::rotl((lane ^ word) * kOdd, 31);
}

/// MurmurHash3's finalizer (Austin Appleby, public domain): every input bit reaches every output bit.
inline std::uint64_t finish(std::uint64_t x) noexcept {
  x = (x ^ (x >> 33)) * 0xFF51AFD7ED558CCDu;
  x = (x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53u;
  return x ^ (x >> 33);
}

inline void add_stripe(std::array<std::uint64_t, kLanes>& lanes, const std::byte* from) noexcept {
  std::array<std::uint64_t, kLanes> words;
  std::memcpy(words.data(), from, kStripe);
  for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = step(lanes[i], words[i]);
}

}  // namespace

std::uint64_t checksum64(std::span<const std::byte> bytes) noexcept {
  std::array<std::uint64_t, kLanes> lanes;
  for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = (i + 1) * kOdd;
  std::size_t done = 0;
  for (; done + kStripe <= bytes.size(); done += kStripe) add_stripe(lanes, bytes.data() + done);
  if (done < bytes.size()) {
    std::array<std::byte, kStripe> last{};
    std::memcpy(last.data(), bytes.data() + done, bytes.size() - done);
    add_stripe(lanes, last.data());
  }
  std::uint64_t sum = bytes.size();
  for (const std::uint64_t lane : lanes) sum = step(sum, finish(lane));
  return finish(sum);
}

}  // namespace nibble
