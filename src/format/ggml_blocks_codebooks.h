// The grids of ggml's IQ1, IQ2 and IQ3 types: which combinations of 4 or 8 neighbouring values can be stored. An entry
// holds, per element, the index of its value in the set of the type.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace nibble {

template <std::size_t kElements, std::size_t kEntries>
using GgmlGrid = std::array<std::array<std::uint8_t, kElements>, kEntries>;

extern const GgmlGrid<8, 256> kIq2XxsGrid;  ///< of {8, 25, 43}, as the next two
extern const GgmlGrid<8, 512> kIq2XsGrid;
extern const GgmlGrid<8, 1024> kIq2SGrid;
extern const GgmlGrid<4, 256> kIq3XxsGrid;  ///< of {4, 12, 20, 28, 36, 44, 52, 62}
extern const GgmlGrid<4, 512> kIq3SGrid;    ///< of {1, 3, 5, ..., 15}
extern const GgmlGrid<8, 2048> kIq1Grid;    ///< of {-1, 0, 1}; IQ1_S and IQ1_M

/// The sets, each followed by its negatives: the values of the unpacked codes of IQ2 and IQ3.
inline constexpr float kIq2Values[6] = {8, 25, 43, -8, -25, -43};
inline constexpr float kIq3XxsValues[16] = {4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62};
inline constexpr float kIq3SValues[16] = {1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15};
/// {-1, 0, 1} + 0.125, then {-1, 0, 1} - 0.125: IQ1's values with their shift.
inline constexpr float kIq1Values[6] = {-0.875f, 0.125f, 1.125f, -1.125f, -0.125f, 0.875f};
/// IQ4_NL and IQ4_XS.
inline constexpr float kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

}  // namespace nibble
