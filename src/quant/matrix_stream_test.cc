// Tiles cover every matrix once whatever the threads do; errors and samples do not depend on the number of threads.
#include "quant/matrix_stream.h"

#include <gtest/gtest.h>

#include <cstring>
#include <mutex>
#include <stdexcept>

namespace nibble {
namespace {

/// A float matrix whose value is its row; the rows asked to be released are counted.
class Rows final : public MatrixSource {
 public:
  Rows(std::int64_t rows, std::int64_t cols, float shift = 0.0f) : rows_(rows), cols_(cols), shift_(shift) {}
  const QuantScheme& scheme() const override { return scheme_; }
  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return cols_; }
  Status decode(std::int64_t begin, std::int64_t count, QuantizedMatrix& out) const override {
    out.allocate(scheme_, rows_, cols_, begin, count);
    for (std::int64_t i = 0; i < count * cols_; ++i) {
      const float value = static_cast<float>(begin + i / cols_) + shift_;
      std::memcpy(out.codes.data() + static_cast<std::size_t>(i) * sizeof value, &value, sizeof value);
    }
    return {};
  }
  void release(std::int64_t begin, std::int64_t count) const override {
    if (begin == 0 && count == rows_) released_whole_ = true;
  }
  bool released_whole() const { return released_whole_; }

 private:
  QuantScheme scheme_ = QuantScheme::of_float(ElementType::kF32);
  std::int64_t rows_;
  std::int64_t cols_;
  float shift_;
  mutable bool released_whole_ = false;
};

/// Three matrices: many tiles, tiles of whole steps, and one tile by wish.
struct Model {
  Rows tall{3000, 500};
  Rows shifted{3000, 500, 0.5f};
  Rows stepped{100, 4000};
  Rows whole{70, 9000};
  std::vector<StreamedMatrix> matrices() const {
    return {
        {"tall", &shifted, &tall, 1, true}, {"stepped", &stepped, &stepped, 48, true}, {"whole", &whole, &whole, 0}};
  }
};

TEST(MatrixStream, CoversEveryMatrixOnce) {
  for (const int threads : {1, 2, 5}) {
    const Model model;
    ThreadPool pool(threads);
    std::mutex mutex;
    std::vector<std::vector<int>> seen{std::vector<int>(3000), std::vector<int>(100), std::vector<int>(70)};
    std::int64_t weights = 0;
    const auto errors = stream_matrices(model.matrices(), pool,
                                        {[&](std::size_t matrix, const QuantizedMatrix& tile) -> Status {
                                           const std::lock_guard lock(mutex);
                                           EXPECT_TRUE(matrix != 1 || tile.row_begin % 48 == 0);
                                           EXPECT_TRUE(matrix != 2 || tile.row_count == 70);
                                           for (std::int64_t r = 0; r < tile.row_count; ++r)
                                             ++seen[matrix][static_cast<std::size_t>(tile.row_begin + r)];
                                           return {};
                                         },
                                         [&](std::int64_t more) -> Status {
                                           weights += more;
                                           return {};
                                         }});
    ASSERT_TRUE(errors.ok());
    for (const std::vector<int>& rows : seen) EXPECT_EQ(rows, std::vector<int>(rows.size(), 1));
    EXPECT_EQ(weights, 3000 * 500 + 100 * 4000 + 70 * 9000);
    EXPECT_TRUE(model.tall.released_whole() && model.shifted.released_whole() && model.whole.released_whole());
  }
}

TEST(MatrixStream, SamplesDoNotDependOnThreads) {
  const Model model;
  const TileConsumer nothing{[](std::size_t, const QuantizedMatrix&) { return Status(); },
                             [](std::int64_t) { return Status(); }};
  ThreadPool one(1);
  ThreadPool five(5);
  const auto a = stream_matrices(model.matrices(), one, nothing);
  const auto b = stream_matrices(model.matrices(), five, nothing);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_GT((*a)[0].relative(), 0.0);
  EXPECT_EQ((*a)[1].relative(), 0.0);
  EXPECT_EQ((*a)[2].squared_norm, 0.0) << "was not to be measured";
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ((*a)[i].squared_error, (*b)[i].squared_error);
    EXPECT_EQ((*a)[i].squared_norm, (*b)[i].squared_norm);
  }
}

TEST(MatrixStream, GivesTheFirstErrorWithItsMatrix) {
  const Model model;
  for (const int threads : {1, 5}) {
    ThreadPool pool(threads);
    const auto errors = stream_matrices(model.matrices(), pool,
                                        {[&](std::size_t matrix, const QuantizedMatrix& tile) -> Status {
                                           if (matrix == 0 && tile.row_begin < 700) return {};
                                           return fail(ErrorCode::kIo, "tile at {}", tile.row_begin);
                                         },
                                         [](std::int64_t) { return Status(); }});
    ASSERT_FALSE(errors.ok());
    EXPECT_EQ(errors.error().message, "tall: tile at 786");  // 131072 / 500 = 262 rows in a tile
  }
}

TEST(MatrixStream, StopsWhenAskedAndCarriesExceptions) {
  const Model model;
  ThreadPool pool(3);
  int advances = 0;
  const auto stopped = stream_matrices(model.matrices(), pool,
                                       {[](std::size_t, const QuantizedMatrix&) { return Status(); },
                                        [&](std::int64_t) -> Status {
                                          ++advances;
                                          return fail(ErrorCode::kCancelled, "enough");
                                        }});
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_LE(advances, 3) << "one for each tile under way";
  const auto throwing = [](std::size_t, const QuantizedMatrix&) -> Status { throw std::runtime_error("broken"); };
  EXPECT_THROW((void)stream_matrices(model.matrices(), pool, {throwing, [](std::int64_t) { return Status(); }}),
               std::runtime_error);
}

}  // namespace
}  // namespace nibble
