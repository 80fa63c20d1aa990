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

constexpr int kTileTokens = 16;  // most rows of a tile register
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

/// One part of the activations of a tile's tokens for a chunk of the columns.
struct PartOfTile {
  const std::int8_t* q;  // of the first token
  std::int64_t ld_q;
  alignas(64) std::int32_t sum[kTileTokens][kFolds];
  alignas(64) float scaled_sum[kTileTokens][kFolds];  // with offsets in place of the sums
  alignas(64) float scale[kTileTokens][kMostChunkBlocks];
  alignas(64) std::int8_t copy[kTileTokens][kMostChunkBlocks * kBlockCols];
};

/// One product of a tile: a fold of one part of the activations.
struct Step {
  std::int16_t fold;
  std::int8_t part;
  bool ends_block;  // the last with this block's first part
};

/// What a tile of tokens multiplies with a chunk of the columns.
struct TileSteps {
  PartOfTile part[2];
  std::uint32_t rests[kMostChunkBlocks];  // bit i: token i has a rest in this block that no step multiplies
  int count;
  Step steps[2 * kFolds];
};

/// So many rests of a block are cheaper token by token than in a tile.
constexpr int kFewRests = 8;
constexpr int kStepsAtOnce = 8;  // their sums, of two panels, stay in the first-level cache
using StepSums = std::int32_t[kStepsAtOnce][2][kTileTokens * kPanelRows];

/// The scales of at most 8 blocks, for each fold.
template <int Fold>
NIBBLE_LANES F scale_of_folds(const float* scale) {
  const F blocks = load_first(scale, kMostChunkBlocks);
  if (Fold == 32) return blocks;
  return _mm512_permutexvar_ps(_mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0), blocks);
}

/// A tile of fewer than MR tokens gets its activations copied, as it reads MR rows; scales of those that are not there
/// are zero.
template <int MR, int Fold, Extra E>
static inline void gather_part(const Int8Part& from, const InputView& in, std::int64_t at, int tokens, int blocks,
                               PartOfTile& to) {
  constexpr int kPerBlock = kBlockCols / Fold;
  const bool copied = tokens < MR;
  to.q = copied ? to.copy[0] : from.q + at * kBlockCols;
  to.ld_q = copied ? static_cast<std::int64_t>(sizeof(to.copy[0])) : in.blocks * kBlockCols;
  for (int i = 0; i < tokens; ++i, at += in.blocks) {
    if (copied) copy_blocks(from.q + at * kBlockCols, blocks, to.copy[i]);
    store_first(to.scale[i], load_first(from.scale + at, blocks), blocks);
    if constexpr (E != Extra::kNothing) {
      const I sum = load_int_first((Fold == 32 ? from.sum32 : from.sum16) + at * kPerBlock, blocks * kPerBlock);
      if constexpr (E == Extra::kZeros) store_int(to.sum[i], sum);
      if constexpr (E == Extra::kOffsets)
        store(to.scaled_sum[i], mul(to_float(sum), scale_of_folds<Fold>(to.scale[i])));
    }
  }
  for (int i = tokens; i < MR; ++i) store_first(to.scale[i], zero(), kMostChunkBlocks);
}

/// `at` is the first token's first block.
template <int MR, int Fold, Extra E>
static inline void gather_steps(const InputView& in, std::int64_t at, int tokens, int blocks, TileSteps& to) {
  constexpr int kPerBlock = kBlockCols / Fold;
  gather_part<MR, Fold, E>(in.part[0], in, at, tokens, blocks, to.part[0]);
  for (std::uint32_t& of_block : to.rests) of_block = 0;
  for (int i = 0; i < tokens; ++i)
    for (std::uint64_t rests = rests_of<1>(in, at + i * in.blocks, blocks); rests != 0; rests &= rests - 1)
      to.rests[__builtin_ctzll(rests) / 8] |= 1u << i;
  to.count = 0;
  bool in_tiles = false;
  for (int b = 0; b < blocks; ++b) {
    const int parts = __builtin_popcount(to.rests[b]) > kFewRests ? 2 : 1;
    for (int p = 0; p < parts; ++p)
      for (int n = 0; n < kPerBlock; ++n)
        to.steps[to.count++] = {static_cast<std::int16_t>(b * kPerBlock + n), static_cast<std::int8_t>(p),
                                p == 0 && n == kPerBlock - 1};
    if (parts == 1) continue;
    to.rests[b] = 0;
    in_tiles = true;
  }
  if (in_tiles) gather_part<MR, Fold, E>(in.part[1], in, at, tokens, blocks, to.part[1]);
}

/// The integer sums of some steps and of two panels; each is stored while the next is multiplied.
template <int MR, int Fold>
static inline void multiply_steps(const TileSteps& tile, int first, int count, const std::uint8_t* u,
                                  std::int64_t panel_stride, bool signed_weights, StepSums& sums) {
  constexpr int kS = MR > kFewTileTokens ? kSums : kFewSums;
  constexpr int kA = MR > kFewTileTokens ? kActivations : kFewActivations;
  for (int s = 0; s < count; ++s) {
    const Step step = tile.steps[first + s];
    const PartOfTile& part = tile.part[step.part];
    const std::uint8_t* weights = u + step.fold * Fold * kPanelRows;
    load_tile_rows<kA>(part.q + step.fold * Fold, part.ld_q);
    load_tile_rows<kWeights>(weights, 64);
    zero_tile<kS>();
    multiply_tiles<kS, kA, kWeights>(signed_weights);
    if (s > 0) store_tile_rows<kS + 1>(sums[s - 1][1]);
    load_tile_rows<kWeights + 1>(weights + panel_stride, 64);
    zero_tile<kS + 1>();
    multiply_tiles<kS + 1, kA, kWeights + 1>(signed_weights);
    store_tile_rows<kS>(sums[s][0]);
  }
  store_tile_rows<kS + 1>(sums[count - 1][1]);
}

struct AmxDot {
  using Activation = std::int8_t;
  static constexpr int kTile = kTileTokens;
  static constexpr int kParts = 1;
  static constexpr int kPanels = kMostPanels;
  static constexpr int kFewTokens = 0;
  NIBBLE_LANES void store_line(std::uint8_t* u, int j, I codes) { store_int(u + 64 * j, codes); }
  NIBBLE_LANES I without_bias(I codes, std::int32_t bias) {
    return _mm512_sub_epi8(codes, _mm512_set1_epi8(static_cast<char>(bias)));
  }

  /// Where a fold of a panel has its planes; the activations are the caller's to fill in.
  NIBBLE_LANES FoldPlace place_of(const IntTile<AmxDot>& tile, int panel, int f) {
    const IntSlab<AmxDot>& slab = *tile.slab;
    const std::int64_t plane = f * kPanelRows;
    return {slab.scale[panel] + plane, slab.zero[panel] + plane, slab.offset[panel] + plane, nullptr, 0, nullptr, 0};
  }

  /// The rests of a block, token by token: few have one. Without the tiles' detour through memory, four columns at
  /// once.
  template <int Fold, Extra E>
  __attribute__((noinline)) static void add_rests(const IntTile<AmxDot>& tile, std::int64_t t, std::uint32_t tokens,
                                                  int panel, int block, F* acc) {
    constexpr int kPerBlock = kBlockCols / Fold;
    const InputView& in = *tile.input;
    const Int8Part& part = in.part[1];
    const bool signed_weights = tile.bias != 0;
    const I flip = set1_bytes(signed_weights ? '\x80' : '\0');  // to bytes without a sign, 128 more
    for (; tokens != 0; tokens &= tokens - 1) {
      const int i = __builtin_ctz(tokens);
      const std::int64_t at = (tile.first_token + t + i) * in.blocks + tile.first_block + block;
      for (int n = 0; n < kPerBlock; ++n) {
        const int f = block * kPerBlock + n;
        const std::uint8_t* u = tile.slab->u[panel] + f * Fold * kPanelRows;
        const std::int8_t* q = part.q + at * kBlockCols + n * Fold;
        FoldPlace place = place_of(tile, panel, f);
        place.q_scale = part.scale + at;
        place.q_sum = (Fold == 32 ? part.sum32 : part.sum16) + at * kPerBlock + n;
        I sum[1][1] = {{set1_int(signed_weights ? -128 * *place.q_sum : 0)}};
        NIBBLE_UNROLL
        for (int j = 0; j < Fold / 4; ++j) {
          std::int32_t quad;
          __builtin_memcpy(&quad, q + 4 * j, sizeof quad);
          sum[0][0] = _mm512_dpbusd_epi32(sum[0][0], _mm512_xor_si512(load_int(u + 64 * j), flip), set1_int(quad));
        }
        add_fold<E>(place, sum, reinterpret_cast<F(&)[1][1]>(acc[i]));
      }
    }
  }

  /// Tokens [t, t + tokens) of the tile's, at most MR, and panels panel and panel + 1.
  template <int MR, int Fold, Extra E>
  static inline void two_panels(const IntTile<AmxDot>& tile, const TileSteps& todo, std::int64_t t, int tokens,
                                int panel, StepSums& sums) {
    constexpr int kPerBlock = kBlockCols / Fold;
    IntSlab<AmxDot>& slab = *tile.slab;
    for (int first = 0; first < todo.count; first += kStepsAtOnce) {
      const int some = todo.count - first < kStepsAtOnce ? todo.count - first : kStepsAtOnce;
      multiply_steps<MR, Fold>(todo, first, some, slab.u[panel], sizeof(slab.u[0]), tile.bias != 0, sums);
      for (int p = panel; p < panel + 2; ++p) {
        F acc[MR][1];
        load_tile(slab.sums, t, p, tile.first_chunk && first == 0, acc);
        for (int s = 0; s < some; ++s) {
          const Step step = todo.steps[first + s];
          const PartOfTile& part = todo.part[step.part];
          const int block = step.fold / kPerBlock;
          FoldPlace place = place_of(tile, p, step.fold);
          NIBBLE_UNROLL
          for (int i = 0; i < MR; ++i) {
            const I sum[1][1] = {{load_int(sums[s][p - panel] + i * kPanelRows)}};
            place.q_scale = part.scale[i] + block;
            place.q_sum = part.sum[i] + step.fold;
            place.q_scaled_sum = part.scaled_sum[i] + step.fold;
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

  /// What the next tile reads, from the second-level cache.
  NIBBLE_LANES void ask_for_next(const IntTile<AmxDot>& tile, std::int64_t t) {
    const InputView& in = *tile.input;
    const std::int8_t* q = in.part[0].q + ((tile.first_token + t) * in.blocks + tile.first_block) * kBlockCols;
    for (int i = 0; i < kTileTokens; ++i, q += in.blocks * kBlockCols) {
      for (int b = 0; b < tile.blocks; b += 2) prefetch_near(q + b * kBlockCols);
      for (int panel = 0; panel < tile.panels; ++panel) prefetch_near(tile.slab->sums.sums[t + i] + panel * kPanelRows);
    }
  }

  /// Tokens [t, t + tokens) of the tile's, at most MR, and all panels.
  template <int MR, int Fold, Extra E>
  static inline void some_tokens(const IntTile<AmxDot>& tile, std::int64_t t, int tokens, TileSteps& todo,
                                 StepSums& sums) {
    gather_steps<MR, Fold, E>(*tile.input, (tile.first_token + t) * tile.input->blocks + tile.first_block, tokens,
                              tile.blocks, todo);
    if (t + tokens < tile.tokens) ask_for_next(tile, t + tokens);
    for (int panel = 0; panel < tile.panels; panel += 2) two_panels<MR, Fold, E>(tile, todo, t, tokens, panel, sums);
  }

  template <int Fold, Extra E>
  static inline void every_token(const IntTile<AmxDot>& tile) {
    TileSteps todo;
    alignas(64) StepSums sums;
    std::int64_t t = 0;
    for (; t + kFewTileTokens < tile.tokens; t += kTileTokens)
      some_tokens<kTileTokens, Fold, E>(
          tile, t, static_cast<int>(tile.tokens - t < kTileTokens ? tile.tokens - t : kTileTokens), todo, sums);
    if (t < tile.tokens) some_tokens<kFewTileTokens, Fold, E>(tile, t, static_cast<int>(tile.tokens - t), todo, sums);
  }
};
template <>
constexpr bool kOwnTiles<AmxDot> = true;

/// What AVX-512 does for a layout.
template <Layout L>
MatmulRun run_without_tiles() {
  for (std::size_t i = 0; i < avx512::kMatmulKernels.count; ++i) {
    const MatmulKernel& kernel = avx512::kMatmulKernels.kernels[i];
    if (kernel.layout == L && kernel.int8) return kernel.run;
  }
  return nullptr;
}

/// Whether the integers of the codes are bytes, with a sign or without.
template <Layout L>
bool are_bytes(const PackedView& w) {
  constexpr std::int32_t kMostCode[] = {1, 3, 7, 15, 31, 63, 255};
  const std::int32_t most = w.int_table != nullptr ? 255 : kMostCode[static_cast<int>(L)];
  return w.int_table_high == nullptr && (w.int_bias == 0 || (w.int_bias <= 128 && most - w.int_bias <= 127));
}

/// Up to so many AVX-512 is at least as fast. SmolLM2, two threads: of 20 tokens 1,870 a second without tiles and 1,490
/// with, of 40 1,920 and 1,900.
constexpr std::int64_t kFewTokens = 63;

template <Layout L>
void run_int8(const PackedView& w, const InputView& in, std::int64_t item_begin, std::int64_t item_end, float* y,
              std::int64_t ld_y) noexcept {
  static const MatmulRun without_tiles = run_without_tiles<L>();
  if (in.tokens <= kFewTokens || in.blocks == 0 || !are_bytes<L>(w))
    return without_tiles(w, in, item_begin, item_end, y, ld_y);
  const TileRegisters registers(w.fold);
  run_int_codes<L, AmxDot>(w, IntCodes{w.int_table, w.int_bias, nullptr}, in, item_begin, item_end, y, ld_y);
}

constexpr std::uint32_t kNeeds = kAvx2 | kFma | kF16c | kAvx512 | kAvx512Vnni | kAmxInt8;

constexpr MatmulKernel kKernels[] = {
    {"matmul_q1_q8g32_amx", Layout::kQ1, true, kNeeds, run_int8<Layout::kQ1>},
    {"matmul_q2_q8g32_amx", Layout::kQ2, true, kNeeds, run_int8<Layout::kQ2>},
    {"matmul_q3_q8g32_amx", Layout::kQ3, true, kNeeds, run_int8<Layout::kQ3>},
    {"matmul_q4_q8g32_amx", Layout::kQ4, true, kNeeds, run_int8<Layout::kQ4>},
    {"matmul_q5_q8g32_amx", Layout::kQ5, true, kNeeds, run_int8<Layout::kQ5>},
    {"matmul_q6_q8g32_amx", Layout::kQ6, true, kNeeds, run_int8<Layout::kQ6>},
    {"matmul_q8_q8g32_amx", Layout::kQ8, true, kNeeds, run_int8<Layout::kQ8>},
};

}  // namespace

const KernelTable kMatmulKernels = {
    kKernels, sizeof(kKernels) / sizeof(kKernels[0]), {"quantize_q8g32_amx", kNeeds, nullptr}};

}  // namespace nibble::kernel::amx
