// Activations for the matrix product: quantized to int8 once, permuted for matrices with sorted columns.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "kernel/matmul/matmul_kernel.h"

namespace nibble::kernel {

struct MatmulInput::State {
  struct Part {
    std::vector<std::int8_t> q;
    std::vector<float> scale;
    std::vector<std::int32_t> sum32;
    std::vector<std::int32_t> sum16;
  };
  InputView view;
  Compute compute = Compute::kF32;
  Part parts[2];
  std::vector<std::uint8_t> has_rest;
  std::vector<float> chunks;
  // Not cleared: most of the second part's are never touched.
  std::unique_ptr<TokenTile[]> tiles[2];
  std::int64_t tile_count = 0;
  std::vector<std::uint32_t> tile_rests;

  // The same activations in another column order, for the matrices that want it.
  std::vector<std::int32_t> order;
  std::vector<float> permuted_x;
  std::unique_ptr<MatmulInput> permuted;
  bool permuted_valid = false;
};

MatmulInput::MatmulInput() : state_(std::make_unique<State>()) {}
MatmulInput::MatmulInput(MatmulInput&&) noexcept = default;
MatmulInput& MatmulInput::operator=(MatmulInput&&) noexcept = default;
MatmulInput::~MatmulInput() = default;

std::int64_t MatmulInput::tokens() const { return state_->view.tokens; }
std::int64_t MatmulInput::cols() const { return state_->view.cols; }
Compute MatmulInput::compute() const { return state_->compute; }
const InputView& MatmulInput::view() const { return state_->view; }

namespace {

template <typename T>
T* grown(std::vector<T>& buffer, std::int64_t size) {
  if (buffer.size() < static_cast<std::size_t>(size)) buffer.resize(static_cast<std::size_t>(size));
  return buffer.data();
}

/// Up to so many are multiplied as fast without tiles. SmolLM2 int4 on one thread of a Xeon, tokens a second without
/// tiles and with: of 9 745 and 685, of 12 829 and 1,074, of 16 963 and 1,327, of 18 1,012 and 886, of 20 1,072 and
/// 1,093, of 32 1,102 and 1,276, of 60 1,195 and 1,456.
constexpr std::int64_t kFewTokensForTiles = 9;

/// So many rests of 16 tokens are cheaper one by one than in a tile.
constexpr int kFewRests = 8;

/// Tokens per parallel chunk: some two thousand values, half a microsecond.
std::size_t token_grain(std::int64_t cols) {
  return static_cast<std::size_t>(std::max<std::int64_t>(2048 / std::max<std::int64_t>(cols, 1), 1));
}

}  // namespace

void MatmulInput::set(const float* x, std::int64_t tokens, std::int64_t cols, std::int64_t ld, Compute compute,
                      ThreadPool& pool) {
  NIBBLE_CHECK(tokens >= 0 && cols >= 0 && (tokens <= 1 || ld >= cols));
  static std::atomic<std::uint64_t> numbers{0};
  State& s = *state_;
  s.compute = compute;
  s.permuted_valid = false;
  s.view = InputView{};
  s.view.number = ++numbers;
  s.view.x = x;
  s.view.ld = ld;
  s.view.tokens = tokens;
  s.view.cols = cols;
  s.view.blocks = (cols + kBlockCols - 1) / kBlockCols;
  if (compute != Compute::kInt8) return;
  const std::int64_t blocks = s.view.blocks * tokens;
  for (int i = 0; i < 2; ++i) {
    State::Part& part = s.parts[i];
    s.view.part[i] = {grown(part.q, blocks * kBlockCols), grown(part.scale, blocks), grown(part.sum32, blocks),
                      grown(part.sum16, 2 * blocks)};
  }
  s.view.has_rest = grown(s.has_rest, blocks);
  static const QuantizeKernel& quantize = choose_quantize(cpu_features());
  pool.run(static_cast<std::size_t>(tokens), token_grain(cols), [&](std::size_t begin, std::size_t end, int) {
    quantize.run(s.view, static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end));
  });
}

void MatmulInput::prepare_chunks(ThreadPool& pool) const {
  State& s = *state_;
  InputView& v = s.view;
  if (v.chunks != nullptr || v.tokens <= kFewFloatTokens) return;
  const std::int64_t count = (v.cols + kFloatChunk - 1) / kFloatChunk;
  float* out = grown(s.chunks, count * v.tokens * kFloatChunk);
  pool.run(static_cast<std::size_t>(v.tokens), token_grain(v.cols), [&](std::size_t begin, std::size_t end, int) {
    for (auto t = static_cast<std::int64_t>(begin); t < static_cast<std::int64_t>(end); ++t)
      for (std::int64_t c = 0; c < count; ++c) {
        float* to = out + (c * v.tokens + t) * kFloatChunk;
        const float* from = v.x + t * v.ld + c * kFloatChunk;
        const std::int64_t cols = std::min<std::int64_t>(v.cols - c * kFloatChunk, kFloatChunk);
        std::fill(std::copy_n(from, cols, to), to + kFloatChunk, 0.0f);
      }
  });
  v.chunks = out;
}

namespace {

/// A block of some tokens, `at` being that of the first. Those past the last are zeros.
void fill_tile(const Int8Part& from, std::int64_t at, std::int64_t blocks, std::int64_t tokens, TokenTile& to) {
  if (tokens < kTileTokens) to = TokenTile{};
  for (std::int64_t i = 0; i < tokens; ++i, at += blocks) {
    std::memcpy(to.q[i], from.q + at * kBlockCols, kBlockCols);
    to.scale[i] = from.scale[at];
    to.sum32[i] = static_cast<float>(from.sum32[at]);
    to.sum16[0][i] = static_cast<float>(from.sum16[2 * at]);
    to.sum16[1][i] = static_cast<float>(from.sum16[2 * at + 1]);
  }
}

}  // namespace

void MatmulInput::prepare_tiles(ThreadPool& pool) const {
  State& s = *state_;
  InputView& v = s.view;
  if (v.tile_rests != nullptr || v.part[0].q == nullptr || v.tokens <= kFewTokensForTiles) return;
  const std::int64_t rows = (v.tokens + kTileTokens - 1) / kTileTokens;
  if (s.tile_count < rows * v.blocks) {
    s.tile_count = rows * v.blocks;
    for (auto& tiles : s.tiles)
      tiles = std::make_unique_for_overwrite<TokenTile[]>(static_cast<std::size_t>(s.tile_count));
  }
  std::uint32_t* const rests = grown(s.tile_rests, rows * v.blocks);
  const auto grain = std::max<std::size_t>(token_grain(v.cols) / kTileTokens, 1);
  pool.run(static_cast<std::size_t>(rows), grain, [&](std::size_t begin, std::size_t end, int) {
    for (auto row = static_cast<std::int64_t>(begin); row < static_cast<std::int64_t>(end); ++row) {
      const std::int64_t tokens = std::min<std::int64_t>(v.tokens - row * kTileTokens, kTileTokens);
      for (std::int64_t b = 0; b < v.blocks; ++b) {
        const std::int64_t at = row * kTileTokens * v.blocks + b;
        const std::int64_t tile = row * v.blocks + b;
        std::uint32_t bits = 0;
        for (std::int64_t i = 0; i < tokens; ++i) bits |= std::uint32_t{v.has_rest[at + i * v.blocks]} << i;
        fill_tile(v.part[0], at, v.blocks, tokens, s.tiles[0][tile]);
        const bool in_tile = std::popcount(bits) > kFewRests;
        if (in_tile) fill_tile(v.part[1], at, v.blocks, tokens, s.tiles[1][tile]);
        rests[tile] = in_tile ? kRestsInTile : bits;
      }
    }
  });
  for (int p = 0; p < 2; ++p) v.tiles[p] = s.tiles[p].get();
  v.tile_rests = rests;
}

const MatmulInput& MatmulInput::permuted(std::span<const std::int32_t> order, ThreadPool& pool) const {
  State& s = *state_;
  const InputView& v = s.view;
  NIBBLE_CHECK(static_cast<std::int64_t>(order.size()) == v.cols);
  if (s.permuted_valid && std::equal(order.begin(), order.end(), s.order.begin(), s.order.end())) return *s.permuted;
  s.order.assign(order.begin(), order.end());
  float* out = grown(s.permuted_x, v.tokens * v.cols);
  pool.run(static_cast<std::size_t>(v.tokens), token_grain(v.cols), [&](std::size_t begin, std::size_t end, int) {
    for (auto t = static_cast<std::int64_t>(begin); t < static_cast<std::int64_t>(end); ++t)
      for (std::int64_t c = 0; c < v.cols; ++c)
        out[t * v.cols + c] = v.x[t * v.ld + s.order[static_cast<std::size_t>(c)]];
  });
  if (s.permuted == nullptr) s.permuted = std::make_unique<MatmulInput>();
  s.permuted->set(out, v.tokens, v.cols, v.cols, s.compute, pool);
  s.permuted_valid = true;
  return *s.permuted;
}

}  // namespace nibble::kernel
