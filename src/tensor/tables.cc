// The constant value tables (formats-hf.md 4.4 to 4.6 for bitsandbytes; gguf.md 3.6 for ggml).
#include <array>
#include <bit>

#include "tensor/quantized_matrix.h"

namespace nibble {
namespace {

template <std::size_t N>
constexpr std::array<float, N> from_bits(const std::array<std::uint32_t, N>& bits) {
  std::array<float, N> values{};
  for (std::size_t i = 0; i < N; ++i) values[i] = std::bit_cast<float>(bits[i]);
  return values;
}

/// The entries of `positive`, then their negatives.
template <std::size_t N>
constexpr std::array<float, 2 * N> with_negatives(const std::array<float, N>& positive) {
  std::array<float, 2 * N> values{};
  for (std::size_t i = 0; i < N; ++i) {
    values[i] = positive[i];
    values[N + i] = -positive[i];
  }
  return values;
}

constexpr auto kNf4 =
    from_bits<16>({0xBF800000, 0xBF3239B1, 0xBF066B30, 0xBECA32A0, 0xBE91A24D, 0xBE3D353F, 0xBDBA7871, 0x00000000,
                   0x3DA2FAFF, 0x3E24CAE3, 0x3E7C04DD, 0x3EAD033A, 0x3EE1A4B8, 0x3F1007AB, 0x3F3913B3, 0x3F800000});
/// Code 8 is +0, as in the saved quant_map.
constexpr auto kFp4 =
    from_bits<16>({0x00000000, 0x3BAAAAAB, 0x3F2AAAAB, 0x3F800000, 0x3EAAAAAB, 0x3F000000, 0x3E2AAAAB, 0x3E800000,
                   0x00000000, 0xBBAAAAAB, 0xBF2AAAAB, 0xBF800000, 0xBEAAAAAB, 0xBF000000, 0xBE2AAAAB, 0xBE800000});
constexpr std::array<float, 16> kIq4{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr std::array<float, 2> kBinary{-1, 1};
constexpr std::array<float, 3> kTernary{-1, 0, 1};
constexpr std::array<float, 6> kIq1{-0.875f, 0.125f, 1.125f, -1.125f, -0.125f, 0.875f};
constexpr auto kIq2 = with_negatives<3>({8, 25, 43});
constexpr auto kIq3Xxs = with_negatives<8>({4, 12, 20, 28, 36, 44, 52, 62});
constexpr auto kIq3S = with_negatives<8>({1, 3, 5, 7, 9, 11, 13, 15});
constexpr std::array<float, 16> kHalfStep{0.5f, 1.5f, 2.5f,  3.5f,  4.5f,  5.5f,  6.5f,  7.5f,
                                          8.5f, 9.5f, 10.5f, 11.5f, 12.5f, 13.5f, 14.5f, 15.5f};
constexpr std::array<float, 16> kOdd{1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31};

/// D[128..255] of the signed 8-bit dynamic map; D[127] = 0 and D[126 - j] = -D[128 + j].
constexpr std::array<std::uint32_t, 128> kDynamicPositive{
    0x3513A3B7, 0x365A1A94, 0x370205FF, 0x37B24206, 0x38378034, 0x388AEFB3, 0x38BA1F4B, 0x3923D70B, 0x398CE705,
    0x39C7E283, 0x3A016F01, 0x3A1EECC1, 0x3A3C6A80, 0x3A59E83E, 0x3A7765FF, 0x3AA7EF9D, 0x3AF1A9FC, 0x3B1DB22D,
    0x3B428F5C, 0x3B676C8A, 0x3B8624DD, 0x3B989374, 0x3BAB020D, 0x3BBD70A4, 0x3BCFDF3B, 0x3BE24DD3, 0x3BF4BC6A,
    0x3C039581, 0x3C0CCCCD, 0x3C160418, 0x3C1F3B64, 0x3C3AE148, 0x3C68F5C3, 0x3C8B851F, 0x3CA28F5D, 0x3CB9999A,
    0x3CD0A3D7, 0x3CE7AE15, 0x3CFEB852, 0x3D0AE148, 0x3D166667, 0x3D21EB85, 0x3D2D70A3, 0x3D38F5C3, 0x3D447AE1,
    0x3D500000, 0x3D5B851F, 0x3D670A3D, 0x3D728F5D, 0x3D7E147B, 0x3D84CCCD, 0x3D8A8F5D, 0x3D9051EB, 0x3D96147B,
    0x3D9BD70A, 0x3DA1999A, 0x3DA75C2A, 0x3DAD1EB8, 0x3DB2E148, 0x3DB8A3D7, 0x3DBE6667, 0x3DC428F7, 0x3DC9EB85,
    0x3DDB3334, 0x3DF80000, 0x3E0A6666, 0x3E18CCCD, 0x3E273333, 0x3E35999A, 0x3E440000, 0x3E526666, 0x3E60CCCD,
    0x3E6F3333, 0x3E7D9999, 0x3E860000, 0x3E8D3334, 0x3E946666, 0x3E9B999A, 0x3EA2CCCC, 0x3EAA0000, 0x3EB13333,
    0x3EB86666, 0x3EBF999A, 0x3EC6CCCC, 0x3ECE0000, 0x3ED53333, 0x3EDC6666, 0x3EE3999A, 0x3EEACCCC, 0x3EF20000,
    0x3EF93332, 0x3F003333, 0x3F03CCCC, 0x3F076666, 0x3F0B0000, 0x3F0E999A, 0x3F123334, 0x3F15CCCD, 0x3F196666,
    0x3F1D0000, 0x3F20999A, 0x3F243334, 0x3F27CCCD, 0x3F2B6666, 0x3F2F0000, 0x3F32999A, 0x3F363334, 0x3F39CCCD,
    0x3F3D6666, 0x3F410000, 0x3F44999A, 0x3F483333, 0x3F4BCCCD, 0x3F4F6666, 0x3F530000, 0x3F56999A, 0x3F5A3333,
    0x3F5DCCCD, 0x3F616666, 0x3F650000, 0x3F68999A, 0x3F6C3333, 0x3F6FCCCD, 0x3F736666, 0x3F770000, 0x3F7A999A,
    0x3F7E3333, 0x3F800000};

constexpr std::array<float, 256> make_dynamic8() {
  std::array<float, 256> values{};
  for (std::size_t j = 0; j < 128; ++j) {
    values[128 + j] = std::bit_cast<float>(kDynamicPositive[j]);
    if (j < 127) values[126 - j] = -values[128 + j];
  }
  return values;
}
constexpr auto kDynamic8 = make_dynamic8();

}  // namespace

std::span<const float> table_values(TableKind kind) {
  switch (kind) {
    case TableKind::kNf4:
      return kNf4;
    case TableKind::kFp4:
      return kFp4;
    case TableKind::kIq4:
      return kIq4;
    case TableKind::kBinary:
      return kBinary;
    case TableKind::kTernary:
      return kTernary;
    case TableKind::kIq1:
      return kIq1;
    case TableKind::kIq2:
    case TableKind::kIq2S:
      return kIq2;
    case TableKind::kIq3Xxs:
      return kIq3Xxs;
    case TableKind::kIq3S:
      return kIq3S;
    case TableKind::kDynamic8:
      return kDynamic8;
    case TableKind::kHalfStep:
      return kHalfStep;
    case TableKind::kOdd:
      return kOdd;
    case TableKind::kNone:
    case TableKind::kStored:
      return {};
  }
  return {};
}

}  // namespace nibble
