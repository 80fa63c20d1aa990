// Tiles of about a hundred thousand weights: large enough to amortize a call, small enough to stay in a core's cache.
#include "quant/matrix_stream.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <numeric>
#include <optional>

#include "quant/weights_as_floats.h"

namespace nibble {
namespace {

constexpr std::int64_t kTileWeights = 1 << 17;
constexpr std::int64_t kErrorEvery = 8;
/// Tiles whose pages are released together: each release stops all threads for a moment.
constexpr std::int64_t kReleaseTogether = 16;
/// Whole matrices may be tiles: threads wait rather than hold more than this at once.
constexpr std::int64_t kMaxWeightsInFlight = std::int64_t{1} << 26;

std::int64_t round_up(std::int64_t value, std::int64_t step) { return (value + step - 1) / step * step; }

/// Weights where either number is not finite count for nothing. In lanes, which the compiler makes vectors of.
ErrorSample error_of(const float* w, const float* q, std::size_t count) {
  constexpr std::size_t kLanes = 8;
  constexpr double kLargest = std::numeric_limits<double>::max();
  double error[kLanes] = {};
  double norm[kLanes] = {};
  const auto add = [&](std::size_t i, std::size_t lane) {
    const auto value = static_cast<double>(w[i]);
    const double difference = value - static_cast<double>(q[i]);
    const bool finite = (std::fabs(value) <= kLargest) & (std::fabs(difference) <= kLargest);
    error[lane] += finite ? difference * difference : 0.0;
    norm[lane] += finite ? value * value : 0.0;
  };
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::size_t lane = 0; lane < kLanes; ++lane) add(i + lane, lane);
  for (std::size_t lane = 0; i + lane < count; ++lane) add(i + lane, lane);
  ErrorSample sample;
  for (std::size_t lane = 0; lane < kLanes; ++lane) sample.add({error[lane], norm[lane]});
  return sample;
}

Result<ErrorSample> compare(const MatrixSource& original, const QuantizedMatrix& tile) {
  thread_local QuantizedMatrix expected;
  thread_local std::vector<float> w, q;
  const std::int64_t step = original.row_step();
  const std::int64_t begin = tile.row_begin / step * step;
  const std::int64_t end = std::min(round_up(tile.row_begin + tile.row_count, step), original.rows());
  NIBBLE_TRY_STATUS(original.decode(begin, end - begin, expected));
  w.resize(static_cast<std::size_t>((end - begin) * tile.cols));
  q.resize(static_cast<std::size_t>(tile.row_count * tile.cols));
  weights_as_floats(expected, w.data());
  weights_as_floats(tile, q.data());
  return error_of(w.data() + (tile.row_begin - begin) * tile.cols, q.data(), q.size());
}

/// Hands tiles out, in order, and collects what became of them.
class TileStream {
 public:
  TileStream(std::span<const StreamedMatrix> matrices, const TileConsumer& consumer)
      : matrices_(matrices), consumer_(consumer), states_(matrices.size()) {
    for (std::size_t i = 0; i < matrices.size(); ++i) {
      const StreamedMatrix& m = matrices[i];
      const std::int64_t rows = m.source->rows();
      const std::int64_t wanted = std::max<std::int64_t>(kTileWeights / std::max<std::int64_t>(m.source->cols(), 1), 1);
      State& state = states_[i];
      state.tile_rows = m.row_step == 0 ? rows : round_up(wanted, std::lcm(m.row_step, m.source->row_step()));
      state.tiles = rows == 0 ? 0 : (rows + state.tile_rows - 1) / state.tile_rows;
      state.tiles_left = state.tiles;
      for (std::int64_t first = 0; first < state.tiles; first += kReleaseTogether)
        state.unreleased.push_back(std::min(kReleaseTogether, state.tiles - first));
      state.samples.resize(static_cast<std::size_t>((state.tiles + kErrorEvery - 1) / kErrorEvery));
    }
  }

  /// What each thread does.
  void work() {
    QuantizedMatrix decoded;
    while (const std::optional<Tile> tile = claim()) {
      try {
        finish(*tile, process(*tile, decoded));
      } catch (...) {
        abandon(*tile);
        throw;
      }
    }
  }

  Result<std::vector<ErrorSample>> result() const {
    if (failure_) return failure_->second;
    std::vector<ErrorSample> errors(matrices_.size());
    for (std::size_t i = 0; i < matrices_.size(); ++i)
      for (const ErrorSample& sample : states_[i].samples) errors[i].add(sample);
    return errors;
  }

 private:
  struct State {
    std::int64_t tile_rows = 0;
    std::int64_t tiles = 0;
    std::int64_t tiles_left = 0;           ///< not done
    std::vector<std::int64_t> unreleased;  ///< the same of every kReleaseTogether tiles
    std::vector<ErrorSample> samples;      ///< of every kErrorEvery-th tile
  };

  struct Tile {
    std::size_t matrix = 0;
    std::int64_t number = 0;  ///< within its matrix
    std::int64_t first_row = 0;
    std::int64_t rows = 0;
    std::int64_t weights = 0;
  };
  using Position = std::pair<std::size_t, std::int64_t>;  ///< matrix and number of a tile

  /// The next tile, once there is room for it; nothing when none is left or one has failed.
  std::optional<Tile> claim() {
    std::unique_lock lock(mutex_);
    while (next_.matrix < matrices_.size() && next_.number == states_[next_.matrix].tiles) next_ = {next_.matrix + 1};
    if (stopped_ || next_.matrix == matrices_.size()) return std::nullopt;
    Tile tile = next_;
    ++next_.number;
    const StreamedMatrix& m = matrices_[tile.matrix];
    const State& state = states_[tile.matrix];
    tile.first_row = tile.number * state.tile_rows;
    tile.rows = std::min(state.tile_rows, m.source->rows() - tile.first_row);
    tile.weights = tile.rows * m.source->cols();
    room_.wait(lock, [&] { return in_flight_ == 0 || in_flight_ + tile.weights <= kMaxWeightsInFlight; });
    in_flight_ += tile.weights;
    return tile;
  }

  Status process(const Tile& tile, QuantizedMatrix& decoded) {
    const StreamedMatrix& m = matrices_[tile.matrix];
    NIBBLE_TRY_STATUS(m.source->decode(tile.first_row, tile.rows, decoded));
    if (m.measure_error && tile.number % kErrorEvery == 0) {
      NIBBLE_TRY(states_[tile.matrix].samples[static_cast<std::size_t>(tile.number / kErrorEvery)],
                 compare(*m.original, decoded));
    }
    return consumer_.consume(tile.matrix, decoded);
  }

  void release(std::size_t matrix, std::int64_t first_row, std::int64_t rows) const {
    const StreamedMatrix& m = matrices_[matrix];
    rows = std::min(rows, m.source->rows() - first_row);
    m.source->release(first_row, rows);
    m.original->release(first_row, rows);
  }

  void finish(const Tile& tile, Status status) {
    const std::int64_t together = tile.number / kReleaseTogether;
    State& state = states_[tile.matrix];
    bool together_done = false;
    bool matrix_done = false;
    {
      const std::lock_guard lock(mutex_);
      if (status.ok()) status = consumer_.advance(tile.weights);
      if (!status.ok()) note_failure(tile, status.error());
      together_done = --state.unreleased[static_cast<std::size_t>(together)] == 0;
      matrix_done = --state.tiles_left == 0;
      in_flight_ -= tile.weights;
    }
    room_.notify_all();
    if (matrix_done)  // with pages that tiles share, and sources that do not lie in the order of rows
      release(tile.matrix, 0, matrices_[tile.matrix].source->rows());
    else if (together_done)
      release(tile.matrix, together * kReleaseTogether * state.tile_rows, kReleaseTogether * state.tile_rows);
  }

  void abandon(const Tile& tile) {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    in_flight_ -= tile.weights;
    room_.notify_all();
  }

  /// Tiles before one that failed have all been claimed, so that the first failure does not depend on timing.
  void note_failure(const Tile& tile, const Error& error) {
    stopped_ = true;
    const Position position(tile.matrix, tile.number);
    if (!failure_ || position < failure_->first)
      failure_.emplace(position, with_context(error, matrices_[tile.matrix].name));
  }

  std::span<const StreamedMatrix> matrices_;
  const TileConsumer& consumer_;
  std::vector<State> states_;  ///< a tile's sample is its thread's; the rest is under the mutex
  std::mutex mutex_;
  std::condition_variable room_;
  Tile next_;
  std::int64_t in_flight_ = 0;  ///< weights of claimed tiles
  bool stopped_ = false;
  std::optional<std::pair<Position, Error>> failure_;
};

}  // namespace

double ErrorSample::relative() const { return squared_norm > 0 ? std::sqrt(squared_error / squared_norm) : 0.0; }

Result<std::vector<ErrorSample>> stream_matrices(std::span<const StreamedMatrix> matrices, ThreadPool& pool,
                                                 const TileConsumer& consumer) {
  TileStream stream(matrices, consumer);
  pool.run(static_cast<std::size_t>(pool.threads()), 1, [&](std::size_t, std::size_t, int) { stream.work(); });
  return stream.result();
}

}  // namespace nibble
