// The contract of every matmul kernel: how packed weights and prepared activations lie in memory, and what a kernel
// computes. Plain structs only: instruction-set files include this header and the intrinsics, nothing else.
//
// Weights lie in panels of 16 output rows, a panel in chunks of some blocks of 32 columns (PackedView::chunk_blocks,
// the last of a panel often fewer; K is padded with zero codes). A chunk holds the entries of its planes (scales and
// their outer scales, zeros, offsets, table numbers), then, from the next multiple of 64 bytes on, its codes: who
// multiplies reads ascending addresses, which memory gives fastest. An entry that chunks share is in each.
//
// Codes of 1 to 8 bits, per block of 32 columns, from the bit planes that make up their width (3 = 2 + 1, 5 = 4 + 1,
// 6 = 4 + 2, 7 is stored as 8; the wide plane holds the low bits). Numbering the 512 codes of a block
// i = 64 * (k / 4) + 4 * row + k % 4   (four columns of a row make one 32-bit lane, as integer dot products want it)
//   8-bit plane, 512 bytes: byte i is code i
//   4-bit plane, 256 bytes: byte i holds code i in its low and code i + 256 in its high half
//   2-bit plane, 128 bytes: byte i holds codes i, i + 128, i + 256, i + 384 from the low bits up
//   1-bit plane,  64 bytes: bit n of byte i is code i + 64 n
// Codes of e4m3, e5m2, f16, bf16 and f32: element 16 * k + row.
// Entries of a plane: entry e of the panel's 16 rows side by side, element 16 * e + row; e = column / group, less that
// of the chunk's first column.
#pragma once

#include <cstdint>

namespace nibble::kernel {

inline constexpr int kPanelRows = 16;       ///< output rows that are interleaved
inline constexpr int kPanelsPerItem = 2;    ///< panels that a kernel computes together: the unit of the parallel loop
inline constexpr int kBlockCols = 32;       ///< K is padded to this; also the group of int8 activations
inline constexpr int kFloatChunk = 64;      ///< columns that the float path takes at once
inline constexpr int kFewFloatTokens = 4;   ///< up to so many, float weights are multiplied as they lie
inline constexpr int kMostChunkBlocks = 8;  ///< most blocks of a chunk

/// How the codes of a matrix lie in its panels; kQN are unsigned codes of N bits.
enum class Layout : std::uint8_t { kQ1, kQ2, kQ3, kQ4, kQ5, kQ6, kQ8, kE4m3, kE5m2, kF16, kBf16, kF32, kGeneric };
inline constexpr int kLayoutCount = 13;

/// How the entries of a plane are stored.
enum class PlaneKind : std::uint8_t {
  kNone,
  kF32,
  kF16,
  kBf16,
  kE8m0,
  kU8,   ///< the unsigned integer itself
  kI8,   ///< nested: value = outer * integer
  kLut,  ///< nested: value = outer * lut[byte], or lut[byte] / outer; then + constant when has_constant
};

/// One of scale, zero, offset within each panel.
struct PlaneView {
  PlaneKind kind = PlaneKind::kNone;
  PlaneKind outer_kind = PlaneKind::kNone;  ///< nested: kF16 or kF32
  bool outer_divides = false;
  bool has_constant = false;
  float constant = 0.0f;
  std::int64_t group = 0;        ///< columns per entry, a multiple of 16
  std::int64_t outer_group = 0;  ///< nested: columns per outer scale, a multiple of group
  std::int64_t position = 0;     ///< bytes from a chunk's start to its entries
  std::int64_t outer_position = 0;
  const float* lut = nullptr;  ///< kLut: 256 values
};

/// A plane of the generic layout: decoded to float32, in the matrix's own order.
struct GenericPlane {
  enum class Kind : std::uint8_t { kNone, kTensor, kRow, kColumns, kBlock, kFlat, kStrided, kIndexed };
  Kind kind = Kind::kNone;
  std::int64_t size = 0;             ///< as in Grouping
  std::int64_t block_rows = 1;       ///< as in Grouping::rows
  std::int64_t entries_per_row = 0;  ///< kStrided: entries in all
  const float* values = nullptr;
};

/// The generic layout: codes row by row, 1, 2, 4 or 8 bits wide from the low bits up, rows on byte boundaries; any
/// plane grouping. value = lut[code], - zero, * scale (or / scale), * post_scale, + offset.
struct GenericView {
  const std::uint8_t* codes = nullptr;
  std::int64_t row_bytes = 0;
  int bits = 8;
  int table_shift = 8;  ///< a table holds 1 << table_shift values
  bool scale_divides = false;
  const float* tables = nullptr;           ///< one or more tables
  GenericPlane table;                      ///< which weights share a table; kNone: all. values is unused
  const std::uint8_t* selector = nullptr;  ///< with a bank: the table's number in the bank, per entry
  GenericPlane scale;
  GenericPlane zero;
  GenericPlane offset;
  const std::int32_t* group_index = nullptr;  ///< kIndexed: one group per column
};

/// A packed matrix as kernels see it.
struct PackedView {
  const std::uint8_t* data = nullptr;  ///< panels, 64-byte aligned
  std::int64_t panel_bytes = 0;
  std::int64_t chunk_blocks = kMostChunkBlocks;  ///< blocks of every chunk but the last, which has those that are left
  std::int64_t chunk_bytes = 0;                  ///< from one chunk of a panel to the next
  std::int64_t codes_position = 0;               ///< bytes from a chunk's start to its codes
  std::int64_t ahead_bytes = 0;                  ///< how far ahead a single token asks for weights
  std::int64_t few_ahead_bytes = 0;              ///< the same for a few tokens
  bool few_into_first_level = false;             ///< what a few tokens ask for goes to the first-level cache
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  Layout layout = Layout::kF32;
  bool has_int8 = false;  ///< the integer path can compute it
  std::int32_t bias = 0;  ///< kQN without a table: x = code - bias
  float post_scale = 1.0f;
  const float* table = nullptr;  ///< kQN: x = table[code]; always set up to 4 bits unless table_index_group > 0
  /// kQN: each row and group of columns has its own table, number n of `tables` (2^bits values each), the numbers being
  /// int32 at table_index_position. 0: no.
  std::int64_t table_index_group = 0;
  std::int64_t table_index_position = 0;
  const float* tables = nullptr;
  PlaneView scale;
  PlaneView zero;
  PlaneView offset;

  // The integer path: weights as unsigned integers u with u - int_bias the integer, times int_scale * scale.
  const std::uint8_t* int_table = nullptr;  ///< 16 bytes: u = int_table[code]; null: u = code
  /// 16 more, for tables that bytes do not hold: u = int_table[code] + 256 * int_table_high[code], the nearest
  /// integers.
  const std::uint8_t* int_table_high = nullptr;
  std::int32_t int_bias = 0;
  float int_scale = 1.0f;
  int fold = 32;  ///< 16 when a plane's group is no multiple of 32, else 32

  const GenericView* generic = nullptr;
};

/// One byte of activations, with the scale of each group of 32 columns and sums over 32 and over 16.
struct Int8Part {
  std::int8_t* q = nullptr;       ///< [tokens, 32 * blocks]; null: not prepared
  float* scale = nullptr;         ///< [tokens, blocks]
  std::int32_t* sum32 = nullptr;  ///< [tokens, blocks]
  std::int32_t* sum16 = nullptr;  ///< [tokens, 2 * blocks]
};

inline constexpr int kTileTokens = 16;  ///< tokens that a tile register takes

/// A block of one part of the activations of 16 tokens, as tile registers take them.
struct alignas(64) TokenTile {
  std::int8_t q[kTileTokens][kBlockCols];
  float scale[kTileTokens];
  float sum32[kTileTokens];  ///< of q
  float sum16[kBlockCols / 16][kTileTokens];
};

inline constexpr std::uint32_t kRestsInTile = 1u << kTileTokens;

inline constexpr float kLeastMagnitude = 0x1p-100f;
inline constexpr float kRestSteps = 254.0f;  ///< of a rest, in a step of the larger part: at most 127 either way
inline constexpr float kRestFrom = 2.5f;     ///< times the mean magnitude; docs/decisions/two-bytes-where-it-matters.md

/// Activations as kernels see them: a byte each, and two where a group is large beside the others of its token, whose
/// rounding would be most of the product's error.
///   part[0].q[t, k] = round to even (x[t, k] * (127 / m)), m the largest magnitude of the 32 columns around k
///   part[0].scale[t, b] = m / 127; K padded with zeros to a multiple of 32
/// A group that holds a NaN or an infinity has scale NaN and q = 0; one with m < 2^-100 has scale 0 and q = 0; both
/// count as m = 0 below. has_rest[t, b] = m[b] * blocks > 2.5 * (sum of the token's m, ascending), and then
///   part[1].q[t, k] = round to even (254 * (x[t, k] * (127 / m) - part[0].q[t, k]))
///   part[1].scale[t, b] = m / 127 / 254
/// where it is not, part[1] is zero.
struct InputView {
  const float* x = nullptr;  ///< [tokens, cols], rows ld floats apart
  std::int64_t ld = 0;
  std::int64_t tokens = 0;
  std::int64_t cols = 0;
  std::int64_t blocks = 0;  ///< ceil(cols / 32): row length of the arrays below, times what they state
  Int8Part part[2];
  std::uint8_t* has_rest = nullptr;  ///< [tokens, blocks], 0 or 1
  /// x once more, [ceil(cols / kFloatChunk), tokens, kFloatChunk], padded with zeros, for the float path with many
  /// tokens: rows of x are often a power of two apart, and of such lines the caches hold few. Null: not prepared.
  const float* chunks = nullptr;
  /// The parts once more, [ceil(tokens / 16), blocks], for the integer path with many tokens in tiles; tokens past the
  /// last are zeros. Of part[1] the blocks that tile_rests names. Null: not prepared.
  const TokenTile* tiles[2] = {};
  /// [ceil(tokens / 16), blocks], with the tiles: kRestsInTile when the rests of the block are in tiles[1], else bit i
  /// says that token i of the 16 has one.
  const std::uint32_t* tile_rests = nullptr;
  /// Of the call of MatmulInput::set() that filled it, none like another: what a thread made of it may be kept with it.
  /// 0: it may not.
  std::uint64_t number = 0;
};

/// y[t, r] for all tokens t and the rows of items [item_begin, item_end), an item being 2 panels. y overlaps no input.
///
/// Integer path, per output, over blocks ascending, of each its part[0] and then, where there is one, its rest, over
/// its folds f (of 16 or 32 columns) ascending, each line one float32 operation:
///   d   = float(sum over the fold of (u - int_bias) * q)                 the integer sum is exact
///   d   = fma(-zero, float(sum of q), d)                                 if there are zeros
///   acc = fma(d, (scale * int_scale) * q_scale, acc)
///   acc = fma(offset, q_scale * float(sum of q), acc)                    if there are offsets
/// Float path, per output, over columns ascending:
///   w   = ((x - zero) * scale) * post_scale + offset                     rounded after each operation, absent parts
///   skipped acc = fma(w, input, acc)
/// So every kernel gives the same bits, whatever its lanes, tiles and number of tokens. (One that takes part[1] of a
/// group without rest, for a neighbour that has one, adds zeros, as long as scales and offsets are finite.)
/// Reads no byte past the last panel, the last row of x and the arrays above. Allocates nothing.
using MatmulRun = void (*)(const PackedView& weights, const InputView& input, std::int64_t item_begin,
                           std::int64_t item_end, float* y, std::int64_t ld_y) noexcept;

/// Fills the parts of tokens [begin, end).
using QuantizeRun = void (*)(const InputView& input, std::int64_t begin, std::int64_t end) noexcept;

}  // namespace nibble::kernel
