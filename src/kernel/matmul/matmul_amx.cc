// Matmul kernels for AMX: a tile register multiplies the activations of 16 tokens with a fold of 16 rows at once, and
// AVX-512 adds its integer sums to the float ones. A few tokens, codes with two tables and bytes with a bias in
// between are AVX-512's, as is all else.
#include "base/cpu_features.h"
#include "kernel/lanes/int_lanes_avx512.h"
#include "kernel/matmul/matmul_tables.h"

namespace nibble::kernel::amx {

// Lanes.
using namespace avx512;

namespace {

constexpr int kMostPanels = 4;
template <int tokens>
[[maybe_unused]] constexpr int kTilePanels = 2;  // tiles are its own

}  // namespace

#include "kernel/matmul/int_path_lanes.inc"

namespace {

constexpr int kFewTileTokens = 8;

/// Tile registers: sums and activations of 16 tokens, the same of 8, and the weights of two panels.
enum Tile { kSums = 0, kFewSums = 2, kActivations = 4, kFewActivations = 5, kWeights = 6 };
constexpr int kTiles = 8;

/// LDTILECFG's operand.
struct alignas(64) TileShapes {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};
static_assert(sizeof(TileShapes) == 64);

/// Tile registers are this thread's from here to the end of the scope. A released register costs nothing to save.
class TileRegisters {
 public:
  explicit TileRegisters(int fold) {
    TileShapes shapes;
    for (int tile = 0; tile < kTiles; ++tile) {
      const bool few = tile == kFewSums || tile == kFewSums + 1 || tile == kFewActivations;
      shapes.row_bytes[tile] = 64;
      shapes.rows[tile] = static_cast<std::uint8_t>(few ? kFewTileTokens : kTileTokens);
      if (tile >= kWeights) shapes.rows[tile] = static_cast<std::uint8_t>(fold / 4);
    }
    shapes.row_bytes[kActivations] = shapes.row_bytes[kFewActivations] = static_cast<std::uint16_t>(fold);
    __asm__ volatile("ldtilecfg %0" : : "m"(shapes));
  }
  ~TileRegisters() { __asm__ volatile("tilerelease"); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

// GCC 12's intrinsics do not say what memory they read and write.
template <int tile>
NIBBLE_LANES void load_tile_rows(const void* from, std::int64_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(tile) : "memory");
}
template <int tile>
NIBBLE_LANES void store_tile_rows(std::int32_t* to) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(std::int64_t{64}), "i"(tile) : "memory");
}
template <int tile>
NIBBLE_LANES void zero_tile() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(tile));
}
/// sums += activations times weights, which have a sign or none.
template <int sums, int activations, int weights>
NIBBLE_LANES void multiply_tiles(bool signed_weights) {
  if (signed_weights)
    __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(activations), "i"(weights));
  else
    __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(activations), "i"(weights));
}

/// One product of a tile: a fold of one part of the activations.
struct Step {
  const TokenTile* part;
  std::int16_t fold;
  bool ends_block;  // the last with this block's first part
};

/// What a tile of tokens multiplies with a chunk of the columns.
struct TileSteps {
  std::uint32_t rests[kMostChunkBlocks];  // bit i: token i has a rest in this block that no step multiplies
  int count;
  Step steps[2 * kFolds];
};

constexpr int kStepsAtOnce = 8;  // their sums, of two matrices of bytes, stay in the first-level cache
using StepSums = std::int32_t[kStepsAtOnce][2][kTileTokens * kPanelRows];

/// `at` is the tile's first block.
template <int Fold>
static inline void list_steps(const InputView& in, std::int64_t at, int blocks, TileSteps& to) {
  constexpr int kPerBlock = kBlockCols / Fold;
  to.count = 0;
  for (int b = 0; b < blocks; ++b) {
    const bool rests_in_tile = in.tile_rests[at + b] == kRestsInTile;
    to.rests[b] = rests_in_tile ? 0 : in.tile_rests[at + b];
    const int parts = rests_in_tile ? 2 : 1;
    for (int p = 0; p < parts; ++p)
      for (int n = 0; n < kPerBlock; ++n)
        to.steps[to.count++] = {in.tiles[p] + at + b, static_cast<std::int16_t>(b * kPerBlock + n),
                                p == 0 && n == kPerBlock - 1};
  }
}

/// The weights of a chunk that are multiplied with the same activations, one after the other: bytes of two panels, or
/// of one panel the low and the high ones.
struct TwoMatrices {
  const std::uint8_t* u;
  std::int64_t next;   // from the first's byte to the second's
  std::int64_t block;  // from a block's bytes to those of the next
  bool has_sign[2];
};

/// The integer sums of some steps; each is stored while the next is multiplied.
template <int MR, int Fold>
static inline void multiply_steps(const TileSteps& tile, int first, int count, const TwoMatrices& weights,
                                  StepSums& sums) {
  constexpr int kS = MR > kFewTileTokens ? kSums : kFewSums;
  constexpr int kA = MR > kFewTileTokens ? kActivations : kFewActivations;
  constexpr int kPerBlock = kBlockCols / Fold;
  for (int s = 0; s < count; ++s) {
    const Step step = tile.steps[first + s];
    const int of_block = step.fold % kPerBlock * Fold;
    const std::uint8_t* u = weights.u + step.fold / kPerBlock * weights.block + of_block * kPanelRows;
    load_tile_rows<kA>(step.part->q[0] + of_block, kBlockCols);
    load_tile_rows<kWeights>(u, 64);
    zero_tile<kS>();
    multiply_tiles<kS, kA, kWeights>(weights.has_sign[0]);
    if (s > 0) store_tile_rows<kS + 1>(sums[s - 1][1]);
    load_tile_rows<kWeights + 1>(u + weights.next, 64);
    zero_tile<kS + 1>();
    multiply_tiles<kS + 1, kA, kWeights + 1>(weights.has_sign[1]);
    store_tile_rows<kS>(sums[s][0]);
  }
  store_tile_rows<kS + 1>(sums[count - 1][1]);
}

/// Codes that are bytes, or that two tables make of bytes without and of bytes with a sign, which count 256.
template <int Parts>
struct AmxDot {
  using Activation = std::int8_t;
  static constexpr int kTile = kTileTokens;
  static constexpr int kParts = Parts;
  static constexpr int kPanels = Parts == 1 ? kMostPanels : kPanelsPerItem;  // the same number of bytes in the cache
  static constexpr int kFewTokens = 0;
  static constexpr int kPart = kBlockCols * kPanelRows;  // bytes of a block
  static constexpr int kPanelsAtOnce = 2 / Parts;
  NIBBLE_LANES void store_line(std::uint8_t* u, int j, I codes) { store_int(u + 64 * j, codes); }
  NIBBLE_LANES void store_line(std::uint8_t* u, int j, I low, I high) {
    store_int(u + 64 * j, low);
    store_int(u + kPart + 64 * j, high);
  }
  NIBBLE_LANES I without_bias(I codes, std::int32_t bias) {
    return _mm512_sub_epi8(codes, _mm512_set1_epi8(static_cast<char>(bias)));
  }

  /// Where a fold of a panel has its planes; the activations are the caller's to fill in.
  NIBBLE_LANES FoldPlace place_of(const IntTile<AmxDot<Parts>>& tile, int panel, int f) {
    const IntSlab<AmxDot<Parts>>& slab = *tile.slab;
    const std::int64_t plane = f * kPanelRows;
    return {slab.scale[panel] + plane, slab.zero[panel] + plane, slab.offset[panel] + plane, nullptr, 0, nullptr, 0};
  }

  /// The rests of a block, token by token: few have one. Without the tiles' detour through memory, four columns at
  /// once.
  template <int Fold, Extra E>
  __attribute__((noinline)) static void add_rests(const IntTile<AmxDot<Parts>>& tile, std::int64_t t,
                                                  std::uint32_t tokens, int panel, int block, F* acc) {
    constexpr int kPerBlock = kBlockCols / Fold;
    const InputView& in = *tile.input;
    const Int8Part& part = in.part[1];
    const bool signed_weights = tile.bias != 0;
    const I flip = set1_bytes(Parts == 2 || signed_weights ? '\x80' : '\0');  // to bytes without a sign, 128 more
    for (; tokens != 0; tokens &= tokens - 1) {
      const int i = __builtin_ctz(tokens);
      const std::int64_t at = (tile.first_token + t + i) * in.blocks + tile.first_block + block;
      for (int n = 0; n < kPerBlock; ++n) {
        const int f = block * kPerBlock + n;
        const std::uint8_t* u = tile.slab->u[panel] + block * Parts * kPart + n * Fold * kPanelRows;
        const std::int8_t* q = part.q + at * kBlockCols + n * Fold;
        FoldPlace place = place_of(tile, panel, f);
        place.q_scale = part.scale + at;
        place.q_sum = (Fold == 32 ? part.sum32 : part.sum16) + at * kPerBlock + n;
        const I start = set1_int(Parts == 2 || signed_weights ? -128 * *place.q_sum : 0);
        I sum[1][1] = {{Parts == 2 ? zero_int() : start}};
        [[maybe_unused]] I high = start;
        NIBBLE_UNROLL
        for (int j = 0; j < Fold / 4; ++j) {
          std::int32_t quad;
          __builtin_memcpy(&quad, q + 4 * j, sizeof quad);
          const I line = load_int(u + 64 * j);
          sum[0][0] = _mm512_dpbusd_epi32(sum[0][0], Parts == 2 ? line : _mm512_xor_si512(line, flip), set1_int(quad));
          if constexpr (Parts == 2)
            high = _mm512_dpbusd_epi32(high, _mm512_xor_si512(load_int(u + kPart + 64 * j), flip), set1_int(quad));
        }
        if constexpr (Parts == 2) sum[0][0] = add_int(sum[0][0], shift_left<8>(high));
        add_fold<E>(place, sum, reinterpret_cast<F(&)[1][1]>(acc[i]));
      }
    }
  }

  /// A token's integer sums of a step and a panel.
  NIBBLE_LANES I sums_of(const std::int32_t (&sums)[2][kTileTokens * kPanelRows], int panel, int token) {
    if constexpr (Parts == 1) return load_int(sums[panel] + token * kPanelRows);
    return add_int(load_int(sums[0] + token * kPanelRows), shift_left<8>(load_int(sums[1] + token * kPanelRows)));
  }

  /// Tokens [t, t + tokens) of the tile's, at most MR, and the panels of two matrices of bytes from `panel` on.
  template <int MR, int Fold, Extra E>
  static inline void some_panels(const IntTile<AmxDot<Parts>>& tile, const TileSteps& todo, std::int64_t t, int tokens,
                                 int panel, StepSums& sums) {
    constexpr int kPerBlock = kBlockCols / Fold;
    IntSlab<AmxDot<Parts>>& slab = *tile.slab;
    const bool has_sign = tile.bias != 0;
    const TwoMatrices weights = Parts == 1 ? TwoMatrices{slab.u[panel], sizeof(slab.u[0]), kPart, {has_sign, has_sign}}
                                           : TwoMatrices{slab.u[panel], kPart, 2 * kPart, {false, true}};
    for (int first = 0; first < todo.count; first += kStepsAtOnce) {
      const int some = todo.count - first < kStepsAtOnce ? todo.count - first : kStepsAtOnce;
      multiply_steps<MR, Fold>(todo, first, some, weights, sums);
      for (int p = panel; p < panel + kPanelsAtOnce; ++p) {
        F acc[MR][1];
        load_tile(slab.sums, t, p, tile.first_chunk && first == 0, acc);
        for (int s = 0; s < some; ++s) {
          const Step step = todo.steps[first + s];
          const TokenTile& part = *step.part;
          const int block = step.fold / kPerBlock;
          FoldPlace place = place_of(tile, p, step.fold);
          const float* float_sum = Fold == 32 ? part.sum32 : part.sum16[step.fold % kPerBlock];
          [[maybe_unused]] alignas(64) float scaled_sum[kTileTokens];
          if constexpr (E == Extra::kOffsets) {
            store(scaled_sum, mul(load(part.scale), load(float_sum)));
            float_sum = scaled_sum;
          }
          NIBBLE_UNROLL
          for (int i = 0; i < MR; ++i) {
            const I sum[1][1] = {{sums_of(sums[s], p - panel, i)}};
            place.q_scale = part.scale + i;
            place.q_float_sum = float_sum + i;
            add_fold<E, true>(place, sum, reinterpret_cast<F(&)[1][1]>(acc[i]));
          }
          if (!step.ends_block || todo.rests[block] == 0) continue;
          F with_rests[MR][1];
          __builtin_memcpy(with_rests, acc, sizeof acc);
          add_rests<Fold, E>(tile, t, todo.rests[block], p, block, with_rests[0]);
          __builtin_memcpy(acc, with_rests, sizeof acc);
        }
        if (!tile.last_chunk || first + some < todo.count) {
          store_tile(slab.sums, t, p, acc);
          continue;
        }
        float* y = tile.y + t * tile.ld_y + p * kPanelRows;
        NIBBLE_UNROLL
        for (int i = 0; i < MR; ++i)
          if (i < tokens) store_rows(y + i * tile.ld_y, acc[i][0], tile.rows[p]);
      }
    }
  }

  /// Tokens [t, t + tokens) of the tile's, at most MR, and all panels.
  template <int MR, int Fold, Extra E>
  static inline void some_tokens(const IntTile<AmxDot<Parts>>& tile, std::int64_t t, int tokens, TileSteps& todo,
                                 StepSums& sums) {
    const InputView& in = *tile.input;
    list_steps<Fold>(in, (tile.first_token + t) / kTileTokens * in.blocks + tile.first_block, tile.blocks, todo);
    for (int panel = 0; panel < tile.panels; panel += kPanelsAtOnce)
      some_panels<MR, Fold, E>(tile, todo, t, tokens, panel, sums);
  }

  template <int Fold, Extra E>
  static inline void every_token(const IntTile<AmxDot<Parts>>& tile) {
    TileSteps todo;
    alignas(64) StepSums sums;
    std::int64_t t = 0;
    for (; t + kFewTileTokens < tile.tokens; t += kTileTokens)
      some_tokens<kTileTokens, Fold, E>(
          tile, t, static_cast<int>(tile.tokens - t < kTileTokens ? tile.tokens - t : kTileTokens), todo, sums);
    if (t < tile.tokens) some_tokens<kFewTileTokens, Fold, E>(tile, t, static_cast<int>(tile.tokens - t), todo, sums);
  }
};
template <int Parts>
constexpr bool kOwnTiles<AmxDot<Parts>> = true;
template <>
constexpr bool kTwoTables<AmxDot<2>> = true;

/// What AVX-512 does for a layout.
template <Layout L>
MatmulRun run_without_tiles() {
  for (std::size_t i = 0; i < avx512::kMatmulKernels.count; ++i) {
    const MatmulKernel& kernel = avx512::kMatmulKernels.kernels[i];
    if (kernel.layout == L && kernel.int8) return kernel.run;
  }
  return nullptr;
}

/// Whether the integers of the codes are bytes, with a sign or without, or two tables' with one in the high bytes.
template <Layout L>
bool suit_tiles(const PackedView& w) {
  constexpr std::int32_t kMostCode[] = {1, 3, 7, 15, 31, 63, 255};
  const std::int32_t most = w.int_table != nullptr ? 255 : kMostCode[static_cast<int>(L)];
  if (w.int_table_high != nullptr) return w.int_bias == 0x8000;
  return w.int_bias == 0 || (w.int_bias <= 128 && most - w.int_bias <= 127);
}

template <Layout L>
void run_int8(const PackedView& w, const InputView& in, std::int64_t item_begin, std::int64_t item_end, float* y,
              std::int64_t ld_y) noexcept {
  static const MatmulRun without_tiles = run_without_tiles<L>();
  if (in.tile_rests == nullptr || !suit_tiles<L>(w)) return without_tiles(w, in, item_begin, item_end, y, ld_y);
  const TileRegisters registers(w.fold);
  if constexpr (L <= Layout::kQ4) {
    if (w.int_table_high != nullptr) {
      std::uint8_t high[16];
      for (int i = 0; i < 16; ++i) high[i] = w.int_table_high[i] ^ 0x80;
      return run_int_codes<L, AmxDot<2>>(w, IntCodes{w.int_table, 0, high}, in, item_begin, item_end, y, ld_y);
    }
  }
  run_int_codes<L, AmxDot<1>>(w, IntCodes{w.int_table, w.int_bias, nullptr}, in, item_begin, item_end, y, ld_y);
}

constexpr std::uint32_t kNeeds = kAvx2 | kFma | kF16c | kAvx512 | kAvx512Vnni | kAmxInt8;

constexpr MatmulKernel kKernels[] = {
    {"matmul_q1_q8g32_amx", Layout::kQ1, true, kNeeds, run_int8<Layout::kQ1>, true},
    {"matmul_q2_q8g32_amx", Layout::kQ2, true, kNeeds, run_int8<Layout::kQ2>, true},
    {"matmul_q3_q8g32_amx", Layout::kQ3, true, kNeeds, run_int8<Layout::kQ3>, true},
    {"matmul_q4_q8g32_amx", Layout::kQ4, true, kNeeds, run_int8<Layout::kQ4>, true},
    {"matmul_q5_q8g32_amx", Layout::kQ5, true, kNeeds, run_int8<Layout::kQ5>, true},
    {"matmul_q6_q8g32_amx", Layout::kQ6, true, kNeeds, run_int8<Layout::kQ6>, true},
    {"matmul_q8_q8g32_amx", Layout::kQ8, true, kNeeds, run_int8<Layout::kQ8>, true},
};

}  // namespace

const KernelTable kMatmulKernels = {
    kKernels, sizeof(kKernels) / sizeof(kKernels[0]), {"quantize_q8g32_amx", kNeeds, nullptr}};

}  // namespace nibble::kernel::amx
