// Tiles of about half a million weights: large enough to amortize a call, small enough that a few of them cost little
// memory.
#include "quant/matrix_stream.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace nibble {
namespace {

constexpr std::int64_t kTileWeights = 1 << 19;
constexpr std::int64_t kErrorEvery = 8;

std::int64_t round_up(std::int64_t value, std::int64_t step) { return (value + step - 1) / step * step; }

Result<ErrorSample> compare(const MatrixSource& original, const QuantizedMatrix& tile) {
  QuantizedMatrix expected;
  const std::int64_t step = original.row_step();
  const std::int64_t begin = tile.row_begin / step * step;
  const std::int64_t end = std::min(round_up(tile.row_begin + tile.row_count, step), original.rows());
  NIBBLE_TRY_STATUS(original.decode(begin, end - begin, expected));
  std::vector<float> w(static_cast<std::size_t>((end - begin) * tile.cols));
  std::vector<float> q(static_cast<std::size_t>(tile.row_count * tile.cols));
  dequantize(expected, w.data());
  dequantize(tile, q.data());
  const float* first = w.data() + (tile.row_begin - begin) * tile.cols;
  ErrorSample sample;
  for (std::size_t i = 0; i < q.size(); ++i) {
    const double value = static_cast<double>(first[i]);
    const double difference = value - static_cast<double>(q[i]);
    if (!std::isfinite(value) || !std::isfinite(difference)) continue;
    sample.squared_error += difference * difference;
    sample.squared_norm += value * value;
  }
  return sample;
}

}  // namespace

double ErrorSample::relative() const { return squared_norm > 0 ? std::sqrt(squared_error / squared_norm) : 0.0; }

Status stream_matrix(const MatrixSource& source, std::int64_t row_step, const MatrixSource& original,
                     ErrorSample* error, ThreadPool& pool,
                     const std::function<Status(const QuantizedMatrix&)>& consume) {
  const std::int64_t rows = source.rows();
  const std::int64_t step = row_step == 0 ? rows : std::lcm(row_step, source.row_step());
  const std::int64_t tile_rows =
      row_step == 0
          ? rows
          : round_up(std::max<std::int64_t>(kTileWeights / std::max<std::int64_t>(source.cols(), 1), 1), step);
  const auto in_flight = static_cast<std::size_t>(pool.threads());
  std::vector<QuantizedMatrix> tiles(in_flight);
  std::vector<Status> states(in_flight);
  std::vector<ErrorSample> samples(in_flight);
  for (std::int64_t begin = 0; begin < rows; begin += tile_rows * static_cast<std::int64_t>(in_flight)) {
    const auto count = static_cast<std::size_t>(
        std::min<std::int64_t>(static_cast<std::int64_t>(in_flight), (rows - begin + tile_rows - 1) / tile_rows));
    pool.run(count, 1, [&](std::size_t from, std::size_t to, int) {
      for (std::size_t i = from; i < to; ++i) {
        const std::int64_t first = begin + static_cast<std::int64_t>(i) * tile_rows;
        states[i] = source.decode(first, std::min(tile_rows, rows - first), tiles[i]);
        samples[i] = {};
        if (!states[i].ok() || error == nullptr || first / tile_rows % kErrorEvery != 0) continue;
        const Result<ErrorSample> sample = compare(original, tiles[i]);
        if (sample.ok()) samples[i] = *sample;
      }
    });
    for (std::size_t i = 0; i < count; ++i) {
      NIBBLE_TRY_STATUS(states[i]);
      if (error != nullptr) error->add(samples[i]);
      NIBBLE_TRY_STATUS(consume(tiles[i]));
      source.release(tiles[i].row_begin, tiles[i].row_count);
      original.release(tiles[i].row_begin, tiles[i].row_count);
    }
  }
  return {};
}

}  // namespace nibble
