// Tiles of about a hundred thousand weights: large enough to amortize a call, small enough that several for each thread
// balance and cost little memory.
#include "quant/matrix_stream.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace nibble {
namespace {

constexpr std::int64_t kTileWeights = 1 << 17;
constexpr int kTilesPerThread = 4;
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

/// Tiles of one matrix: decoded by many threads, then consumed in order.
class TileStream {
 public:
  TileStream(const MatrixSource& source, std::int64_t tile_rows, const MatrixSource& original, ErrorSample* error,
             const std::function<Status(const QuantizedMatrix&)>& consume)
      : source_(source), tile_rows_(tile_rows), original_(original), error_(error), consume_(consume) {}

  /// A few consecutive tiles.
  struct Batch {
    explicit Batch(std::size_t size) : tiles(size), states(size), samples(size) {}
    std::vector<QuantizedMatrix> tiles;
    std::vector<Status> states;
    std::vector<ErrorSample> samples;
    std::int64_t first_row = 0;
    std::size_t count = 0;
  };

  void decode(Batch& batch, std::size_t i) const {
    const std::int64_t first = batch.first_row + static_cast<std::int64_t>(i) * tile_rows_;
    batch.states[i] = source_.decode(first, std::min(tile_rows_, source_.rows() - first), batch.tiles[i]);
    batch.samples[i] = {};
    if (!batch.states[i].ok() || error_ == nullptr || first / tile_rows_ % kErrorEvery != 0) return;
    const Result<ErrorSample> sample = compare(original_, batch.tiles[i]);
    if (sample.ok()) batch.samples[i] = *sample;
  }

  Status consume(const Batch& batch) const {
    for (std::size_t i = 0; i < batch.count; ++i) {
      NIBBLE_TRY_STATUS(batch.states[i]);
      if (error_ != nullptr) error_->add(batch.samples[i]);
      const QuantizedMatrix& tile = batch.tiles[i];
      NIBBLE_TRY_STATUS(consume_(tile));
      source_.release(tile.row_begin, tile.row_count);
      original_.release(tile.row_begin, tile.row_count);
    }
    return {};
  }

 private:
  const MatrixSource& source_;
  std::int64_t tile_rows_;
  const MatrixSource& original_;
  ErrorSample* error_;
  const std::function<Status(const QuantizedMatrix&)>& consume_;
};

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
  const TileStream stream(source, tile_rows, original, error, consume);
  const auto in_flight = static_cast<std::size_t>(pool.threads()) * kTilesPerThread;
  TileStream::Batch next(in_flight);
  TileStream::Batch done(in_flight);
  for (std::int64_t begin = 0; begin < rows || done.count > 0;) {
    next.first_row = begin;
    const std::int64_t tiles_left = (std::max<std::int64_t>(rows - begin, 0) + tile_rows - 1) / tile_rows;
    next.count = static_cast<std::size_t>(std::min<std::int64_t>(static_cast<std::int64_t>(in_flight), tiles_left));
    Status consumed;
    pool.run(next.count + 1, 1, [&](std::size_t from, std::size_t to, int) {
      for (std::size_t i = from; i < to; ++i) {
        if (i == 0) {
          consumed = stream.consume(done);  // writing goes on while the next tiles are decoded
        } else {
          stream.decode(next, i - 1);
        }
      }
    });
    NIBBLE_TRY_STATUS(consumed);
    begin += static_cast<std::int64_t>(next.count) * tile_rows;
    std::swap(next, done);
    next.count = 0;
  }
  return {};
}

}  // namespace nibble
