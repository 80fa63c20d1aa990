// Tests of the matrix product: packing keeps every value, every kernel by name agrees bit for bit with an oracle that
// knows no layouts, results depend on neither threads nor batching.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <set>

#include "kernel/matmul/matmul_fixtures.h"

namespace nibble::kernel::test {
namespace {

/// Memory that ends where a page without access begins.
class GuardedBytes {
 public:
  explicit GuardedBytes(std::size_t size) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    mapped_ = (size + page - 1) / page * page + page;
    base_ =
        static_cast<std::uint8_t*>(mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_NE(base_, MAP_FAILED);
    mprotect(base_ + mapped_ - page, page, PROT_NONE);
    data_ = base_ + mapped_ - page - size;
  }
  ~GuardedBytes() { munmap(base_, mapped_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;
  std::uint8_t* data() const { return data_; }

 private:
  std::uint8_t* base_ = nullptr;
  std::uint8_t* data_ = nullptr;
  std::size_t mapped_ = 0;
};

PackedMatrix pack(const QuantizedMatrix& m, ThreadPool& pool) {
  auto packed = PackedMatrix::pack(*make_source(m), pool);
  EXPECT_TRUE(packed.ok()) << (packed.ok() ? "" : packed.error().message);
  return std::move(packed).value();
}

struct Shape {
  std::int64_t rows;
  std::int64_t cols;
};
/// One value; odd sizes; rows past a panel, past an item; K past two tiles of every kernel.
const std::vector<Shape> kShapes{{1, 1}, {3, 31}, {16, 32}, {17, 100}, {33, 257}, {40, 576}, {2, 1340}};

/// A matrix, its packed form, activations and the oracle's outputs, made once for all tests.
class Fixture {
 public:
  Fixture(std::string fixture_name, QuantizedMatrix m, std::int64_t tokens, MatrixMaker& maker)
      : name(std::move(fixture_name)), matrix(std::move(m)), most_tokens(tokens), ld(matrix.cols + 3) {
    ThreadPool pool(1);
    packed = pack(matrix, pool);
    x = maker.activations((tokens - 1) * ld + matrix.cols);
    // Besides single large values a channel that is large throughout, as models have.
    for (std::size_t at = 3; at < x.size(); at += static_cast<std::size_t>(ld)) x[at] *= 40.0f;
  }

  /// y [most_tokens, rows].
  const std::vector<float>& expected(bool int8) {
    std::vector<float>& y = expected_[int8 ? 1 : 0];
    if (y.empty()) {
      ThreadPool pool(1);
      MatmulInput input;
      input.set(x.data(), most_tokens, matrix.cols, ld, Compute::kInt8, pool);
      const auto order = packed.column_order();
      const MatmulInput& used = order.empty() ? input : input.permuted(order, pool);
      y = int8 ? oracle_int8(matrix, packed.view(), used.view(), order) : oracle_f32(matrix, x, most_tokens, ld, order);
    }
    return y;
  }

  bool suits(const MatmulKernel& kernel) const {
    return packed.view().layout == kernel.layout && (!kernel.int8 || packed.view().has_int8);
  }

  std::string name;
  QuantizedMatrix matrix;
  PackedMatrix packed;
  std::int64_t most_tokens;
  std::int64_t ld;
  std::vector<float> x;

 private:
  std::vector<float> expected_[2];
};

constexpr std::int64_t kManyTokens = 83;  ///< past the number from which tiles of 16 are used, and half of one
constexpr std::int64_t kSomeTokens = 7;   ///< past one

std::vector<Fixture>& fixtures() {
  static std::vector<Fixture> all = [] {
    std::vector<Fixture> list;
    MatrixMaker maker(17);
    for (const NamedScheme& scheme : all_schemes())
      for (const Shape shape : kShapes)
        list.emplace_back(scheme.name, maker.make(scheme, shape.rows, shape.cols),
                          shape.rows == 17 ? kManyTokens : kSomeTokens, maker);
    return list;
  }();
  return all;
}

bool same_bits(float a, float b) { return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b); }

/// Index of the first difference, or -1. NaNs of any payload are equal.
std::int64_t first_difference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!same_bits(a[i], b[i]) && !(std::isnan(a[i]) && std::isnan(b[i]))) return static_cast<std::int64_t>(i);
  return -1;
}

TEST(PackedMatrix, RowsEqualTheHubsDequantize) {
  for (Fixture& fixture : fixtures()) {
    const QuantizedMatrix& m = fixture.matrix;
    std::vector<float> expected(static_cast<std::size_t>(m.rows * m.cols));
    dequantize(m, expected.data());
    EXPECT_EQ(fixture.packed.rows(), m.rows);
    EXPECT_EQ(fixture.packed.cols(), m.cols);
    std::vector<float> rows(expected.size());
    for (std::int64_t r = 0; r < m.rows; ++r) fixture.packed.decode_row(r, rows.data() + r * m.cols);
    EXPECT_EQ(first_difference(expected, rows), -1)
        << fixture.name << " as " << fixture.packed.layout_name() << " " << m.rows << " x " << m.cols;
  }
}

TEST(PackedMatrix, UsesPanelsWhereGroupsAreRegular) {
  ThreadPool pool(1);
  const auto layout = [&](const char* name) {
    for (const NamedScheme& scheme : all_schemes())
      if (scheme.name == name) return std::string(pack(MatrixMaker(1).make(scheme, 32, 512), pool).layout_name());
    return std::string("no such scheme");
  };
  EXPECT_EQ(layout("int4-g32-sym"), "q4 scale f16/32");
  EXPECT_EQ(layout("int4-g128-asym"), "q4 scale f16/128 zero u8/128");
  EXPECT_EQ(layout("int7-g32-sym"), "q8 scale f16/32");
  EXPECT_EQ(layout("q4_k"), "q4 scale i8*f16/32 offset i8*f16/32");
  EXPECT_EQ(layout("q6_k"), "q6 scale i8*f16/16");
  EXPECT_EQ(layout("iq4_nl"), "q4 int8 table scale f16/32");
  EXPECT_EQ(layout("iq2"), "q3 int8 table scale i8*f32/16");
  EXPECT_EQ(layout("mxfp4"), "q4 int8 table scale e8m0/32");
  EXPECT_EQ(layout("nvfp4"), "q4 int8 table scale lut*f32/16");
  EXPECT_EQ(layout("nf4-g64"), "q4 int16 table scale f16/64");
  EXPECT_EQ(layout("nf4-flat64-dq"), "q4 int16 table scale lut*f32/64");
  EXPECT_EQ(layout("fp8-e4m3-block32x64-scale:f32"), "e4m3 scale f32/64");
  EXPECT_EQ(layout("g_idx"), "q4 scale f16/32 zero u8/32 sorted columns");
  EXPECT_EQ(layout("wide_zero"), "q8 scale f16/32 zero f32/32");
  EXPECT_EQ(layout("hqq_axis0"), "generic");
  EXPECT_EQ(layout("int4-g7-sym"), "generic");
  EXPECT_EQ(layout("bf16"), "bf16");
}

/// A source that counts and can fail.
class WatchedSource final : public MatrixSource {
 public:
  WatchedSource(QuantizedMatrix m, std::int64_t fail_from) : inner_(make_source(std::move(m))), fail_from_(fail_from) {}
  const QuantScheme& scheme() const override { return inner_->scheme(); }
  std::int64_t rows() const override { return inner_->rows(); }
  std::int64_t cols() const override { return inner_->cols(); }
  Status decode(std::int64_t begin, std::int64_t count, QuantizedMatrix& out) const override {
    if (begin + count > fail_from_) return fail(ErrorCode::kCorrupt, "row {} is corrupt", fail_from_);
    return inner_->decode(begin, count, out);
  }
  void release(std::int64_t begin, std::int64_t count) const override {
    for (std::int64_t r = begin; r < begin + count; ++r) released[static_cast<std::size_t>(r)] = true;
  }
  mutable std::vector<char> released = std::vector<char>(10000, 0);

 private:
  MatrixPtr inner_;
  std::int64_t fail_from_;
};

TEST(PackedMatrix, ReleasesEveryRowAndPassesErrorsOn) {
  ThreadPool pool(2);
  const QuantizedMatrix m = MatrixMaker(1).make(named("int4-g32-sym"), 1000, 1024);
  const WatchedSource good(m, 1000);
  ASSERT_TRUE(PackedMatrix::pack(good, pool).ok());
  EXPECT_EQ(std::count(good.released.begin(), good.released.end(), 1), 1000);
  const WatchedSource bad(m, 700);
  const auto packed = PackedMatrix::pack(bad, pool);
  ASSERT_FALSE(packed.ok());
  EXPECT_EQ(packed.error().message, "row 700 is corrupt");
}

TEST(PackedMatrix, EmptyShapes) {
  ThreadPool pool(2);
  for (const Shape shape : {Shape{0, 64}, Shape{5, 0}, Shape{0, 0}}) {
    const PackedMatrix packed = pack(MatrixMaker(1).make(named("int4-g32-sym"), shape.rows, shape.cols), pool);
    const std::vector<float> x(128, 1.0f);
    std::vector<float> y(16, 7.0f);
    MatmulInput input;
    input.set(x.data(), 2, shape.cols, 64, Compute::kInt8, pool);
    matmul(packed, input, y.data(), 5, pool);
    EXPECT_EQ(y[0], shape.rows == 0 ? 7.0f : 0.0f);
    EXPECT_EQ(y[9], shape.rows == 0 ? 7.0f : 0.0f);
    EXPECT_EQ(y[10], 7.0f);
  }
}

class EveryKernel : public testing::TestWithParam<const MatmulKernel*> {
 protected:
  /// Runs the kernel on guarded copies of everything, unaligned x, padded rows of x and y, and compares bits.
  void check(Fixture& fixture, std::int64_t tokens) {
    const MatmulKernel& kernel = *GetParam();
    const QuantizedMatrix& m = fixture.matrix;
    const PackedMatrix& packed = fixture.packed;
    const auto order = packed.column_order();
    MatmulInput input;
    input.set(fixture.x.data(), tokens, m.cols, fixture.ld, Compute::kInt8, pool_);
    const MatmulInput& used = order.empty() ? input : input.permuted(order, pool_);
    used.prepare_tiles(pool_);
    InputView view = used.view();
    std::vector<float> expected = fixture.expected(kernel.int8);
    expected.resize(static_cast<std::size_t>(tokens * m.rows));

    const std::size_t x_floats = static_cast<std::size_t>((tokens - 1) * view.ld + m.cols);
    const GuardedBytes guarded_x(x_floats * sizeof(float));
    std::memcpy(guarded_x.data(), view.x, x_floats * sizeof(float));
    view.x = reinterpret_cast<const float*>(guarded_x.data());
    const auto q_bytes = static_cast<std::size_t>(tokens * view.blocks * kBlockCols);
    const GuardedBytes guarded_q[2] = {GuardedBytes(q_bytes), GuardedBytes(q_bytes)};
    for (int p = 0; p < 2; ++p) {
      std::memcpy(guarded_q[p].data(), view.part[p].q, q_bytes);
      view.part[p].q = reinterpret_cast<std::int8_t*>(guarded_q[p].data());
    }
    const auto groups = static_cast<std::size_t>(tokens * view.blocks);
    const GuardedBytes guarded_rests(groups);
    std::memcpy(guarded_rests.data(), view.has_rest, groups);
    view.has_rest = reinterpret_cast<std::uint8_t*>(guarded_rests.data());

    PackedView weights = packed.view();
    const std::int64_t panels = (m.rows + kPanelRows - 1) / kPanelRows;
    const GuardedBytes guarded_w(static_cast<std::size_t>(panels * weights.panel_bytes));
    auto* const aligned = guarded_w.data();
    if (weights.data != nullptr) {
      std::memcpy(aligned, weights.data, static_cast<std::size_t>(panels * weights.panel_bytes));
      weights.data = aligned;
    }

    const std::int64_t ld_y = m.rows + 1;
    const float canary = -12345.0f;
    std::vector<float> padded(static_cast<std::size_t>(tokens * ld_y), canary);
    kernel.run(weights, view, 0, (panels + kPanelsPerItem - 1) / kPanelsPerItem, padded.data(), ld_y);
    std::vector<float> y;
    for (std::int64_t t = 0; t < tokens; ++t) {
      y.insert(y.end(), padded.begin() + t * ld_y, padded.begin() + t * ld_y + m.rows);
      EXPECT_EQ(padded[static_cast<std::size_t>(t * ld_y + m.rows)], canary) << "wrote past the row's end";
    }
    const std::int64_t at = first_difference(expected, y);
    EXPECT_EQ(at, -1) << fixture.name << " as " << packed.layout_name() << " " << m.rows << " x " << m.cols
                      << " tokens " << tokens << ": output " << at << " is "
                      << y[static_cast<std::size_t>(std::max<std::int64_t>(at, 0))] << ", expected "
                      << expected[static_cast<std::size_t>(std::max<std::int64_t>(at, 0))];
  }

  ThreadPool pool_{1};
};

TEST_P(EveryKernel, EqualsTheOracleBitForBit) {
  const MatmulKernel& kernel = *GetParam();
  if (const std::string missing = why_not(kernel, detected_cpu_features()); !missing.empty())
    GTEST_SKIP() << kernel.name << " " << missing;
  int checked = 0;
  for (Fixture& fixture : fixtures()) {
    if (!fixture.suits(kernel)) continue;
    for (const std::int64_t tokens : {std::int64_t{1}, std::int64_t{2}, fixture.most_tokens}) check(fixture, tokens);
    ++checked;
  }
  EXPECT_GT(checked, 0) << "no fixture reaches " << kernel.name;
}

/// Every number of tokens from one to past two register tiles twice, and where tiles of 16 begin.
TEST_P(EveryKernel, EveryNumberOfTokens) {
  const MatmulKernel& kernel = *GetParam();
  if (!why_not(kernel, detected_cpu_features()).empty()) GTEST_SKIP() << kernel.name;
  for (Fixture& fixture : fixtures()) {
    if (!fixture.suits(kernel) || fixture.most_tokens < kManyTokens) continue;
    for (std::int64_t tokens = 1; tokens <= kManyTokens; tokens += tokens == 27 ? 36 : 1) check(fixture, tokens);
    break;
  }
}

/// More columns than a kernel for few tokens prepares at once, for one token and for eight.
TEST_P(EveryKernel, RowsOfManyColumns) {
  const MatmulKernel& kernel = *GetParam();
  if (!why_not(kernel, detected_cpu_features()).empty()) GTEST_SKIP() << kernel.name;
  for (const char* scheme : {"int4-g32-sym", "nf4-g64", "int8-g128-asym"}) {
    MatrixMaker maker(6);
    Fixture fixture(scheme, maker.make(named(scheme), 17, 49'300), kSomeTokens, maker);
    if (!fixture.suits(kernel)) continue;
    check(fixture, 1);
    check(fixture, kSomeTokens);
  }
}

/// More tokens than wait for the next chunk of the columns together, and several chunks.
TEST_P(EveryKernel, ManyTokensAndChunks) {
  const MatmulKernel& kernel = *GetParam();
  if (!why_not(kernel, detected_cpu_features()).empty()) GTEST_SKIP() << kernel.name;
  constexpr std::int64_t kTokens = 256 + 21;
  const std::set<std::string> names{"int4-g32-sym", "int4-g128-asym", "int8-g32-sym", "q4_k",
                                    "q6_k",         "nf4-g64",        "bf16"};
  for (const NamedScheme& scheme : all_schemes()) {
    if (!names.contains(scheme.name)) continue;
    MatrixMaker maker(8);
    Fixture fixture(scheme.name, maker.make(scheme, 81, 768), kTokens, maker);
    if (fixture.suits(kernel)) check(fixture, kTokens);
  }
}

/// Sums of many products of one sign, where narrow partial sums would overflow: all codes the smallest or the largest,
/// all activations the largest of either sign.
TEST_P(EveryKernel, ExtremeCodesAgainstExtremeActivations) {
  const MatmulKernel& kernel = *GetParam();
  if (!why_not(kernel, detected_cpu_features()).empty()) GTEST_SKIP() << kernel.name;
  if (!kernel.int8) return;
  for (const NamedScheme& scheme : all_schemes()) {
    if (scheme.scheme.is_float()) continue;
    for (const bool largest : {false, true})
      for (const float value : {-3.0f, 3.0f}) {
        MatrixMaker maker(5);
        QuantizedMatrix m = maker.make(scheme, 33, 320);
        const auto [low, high] = std::minmax_element(m.codes.begin(), m.codes.end());
        const std::uint8_t code = largest ? *high : *low;
        std::fill(m.codes.begin(), m.codes.end(), code);
        for (const bool two_bytes : {false, true}) {
          Fixture fixture(scheme.name, m, kSomeTokens, maker);
          std::fill(fixture.x.begin(), fixture.x.end(), value);
          if (!fixture.suits(kernel)) continue;
          // A group whose bytes are both extreme: 126 and almost a half steps.
          for (int t = 0; two_bytes && t < kSomeTokens; ++t) {
            float* x = fixture.x.data() + t * fixture.ld + 32;
            x[0] = 100.0f * value;
            for (int k = 1; k < 32; ++k) x[k] = 100.0f * value * (126.499f / 127.0f);
          }
          check(fixture, kSomeTokens);
        }
      }
  }
}

std::string kernel_name(const testing::TestParamInfo<const MatmulKernel*>& kernel) { return kernel.param->name; }
INSTANTIATE_TEST_SUITE_P(Matmul, EveryKernel,
                         testing::ValuesIn(all_matmul_kernels().begin(), all_matmul_kernels().end()), kernel_name);

/// FP8's NaNs and infinities, subnormals included: every code, through every kernel.
TEST_P(EveryKernel, EveryByteOfFp8) {
  const MatmulKernel& kernel = *GetParam();
  if (kernel.layout != Layout::kE4m3 && kernel.layout != Layout::kE5m2) return;
  if (!why_not(kernel, detected_cpu_features()).empty()) GTEST_SKIP() << kernel.name;
  const NamedScheme scheme = named(kernel.layout == Layout::kE4m3 ? "fp8-e4m3-channel" : "fp8-e5m2-tensor");
  MatrixMaker maker(1);
  QuantizedMatrix m = maker.make(scheme, 256, 1);
  std::iota(m.codes.begin(), m.codes.end(), std::uint8_t{0});
  Fixture fixture(scheme.name, std::move(m), 1, maker);
  check(fixture, 1);
}

class EveryQuantizer : public testing::TestWithParam<const QuantizeKernel*> {};

TEST_P(EveryQuantizer, EqualsTheReference) {
  const QuantizeKernel& kernel = *GetParam();
  if ((kernel.needs & ~detected_cpu_features()) != 0) GTEST_SKIP() << kernel.name;
  const QuantizeKernel& reference = *all_quantize_kernels().back();
  for (const std::int64_t cols : {1, 15, 16, 33, 64, 95, 416}) {
    MatrixMaker maker(static_cast<unsigned>(cols));
    std::vector<float> x = maker.activations(5 * cols);
    for (float& value : x) {
      const unsigned special = maker.pick(40);
      if (special == 0) value = std::numeric_limits<float>::infinity();
      if (special == 1) value = std::numeric_limits<float>::quiet_NaN();
      if (special == 2) value = 1e-42f;
      if (special == 3) value = std::numeric_limits<float>::max();
    }
    for (std::int64_t c = 0; c < cols; ++c) x[static_cast<std::size_t>(c)] *= 0x1p-110f;
    const std::int64_t blocks = (cols + 31) / 32;
    struct Output {
      std::vector<std::int8_t> q[2];
      std::vector<float> scale[2];
      std::vector<std::int32_t> sum32[2], sum16[2];
      std::vector<std::uint8_t> has_rest;
    } outputs[2];
    const QuantizeKernel* const kernels[] = {&kernel, &reference};
    for (int i = 0; i < 2; ++i) {
      Output& o = outputs[i];
      const auto groups = static_cast<std::size_t>(5 * blocks);
      InputView view;
      view.x = x.data();
      view.ld = view.cols = cols;
      view.tokens = 5;
      view.blocks = blocks;
      for (int p = 0; p < 2; ++p) {
        o.q[p].assign(32 * groups, 99);
        o.scale[p].assign(groups, 99.0f);
        o.sum32[p].assign(groups, 99);
        o.sum16[p].assign(2 * groups, 99);
        view.part[p] = {o.q[p].data(), o.scale[p].data(), o.sum32[p].data(), o.sum16[p].data()};
      }
      o.has_rest.assign(groups, 99);
      view.has_rest = o.has_rest.data();
      kernels[i]->run(view, 0, 5);
    }
    for (int p = 0; p < 2; ++p) {
      EXPECT_EQ(outputs[0].q[p], outputs[1].q[p]);
      EXPECT_EQ(first_difference(outputs[0].scale[p], outputs[1].scale[p]), -1);
      EXPECT_EQ(outputs[0].sum32[p], outputs[1].sum32[p]);
      EXPECT_EQ(outputs[0].sum16[p], outputs[1].sum16[p]);
    }
    EXPECT_EQ(outputs[0].has_rest, outputs[1].has_rest);
  }
}
INSTANTIATE_TEST_SUITE_P(Matmul, EveryQuantizer,
                         testing::ValuesIn(all_quantize_kernels().begin(), all_quantize_kernels().end()),
                         [](const auto& kernel) { return std::string(kernel.param->name); });

TEST(Quantize, RoundsToEvenAtTheStatedScale) {
  ThreadPool pool(1);
  std::vector<float> x(32, 0.0f);
  x[0] = 127.0f;
  x[1] = 2.5f;
  x[2] = 3.5f;
  x[3] = -2.5f;
  x[20] = -127.0f;
  MatmulInput input;
  input.set(x.data(), 1, 32, 32, Compute::kInt8, pool);
  const InputView& view = input.view();
  const Int8Part& part = view.part[0];
  EXPECT_EQ(part.scale[0], 1.0f);
  EXPECT_EQ(part.q[0], 127);
  EXPECT_EQ(part.q[1], 2);
  EXPECT_EQ(part.q[2], 4);
  EXPECT_EQ(part.q[3], -2);
  EXPECT_EQ(part.q[20], -127);
  EXPECT_EQ(part.sum32[0], 4);
  EXPECT_EQ(part.sum16[0], 131);
  EXPECT_EQ(view.has_rest[0], 0);
}

TEST(Quantize, TakesTwoBytesWhereAGroupIsLargeBesideTheOthers) {
  ThreadPool pool(1);
  std::vector<float> x(4 * 32, 0.0f);
  x[0] = 127.0f;
  x[1] = 2.5f;
  x[2] = -3.25f;
  for (std::size_t group = 1; group < 4; ++group) x[32 * group] = 20.0f;  // 127 is 2.7 times the mean
  MatmulInput input;
  input.set(x.data(), 1, 128, 128, Compute::kInt8, pool);
  const InputView& view = input.view();
  EXPECT_EQ(std::vector<int>(view.has_rest, view.has_rest + 4), (std::vector<int>{1, 0, 0, 0}));
  const Int8Part& rest = view.part[1];
  EXPECT_EQ(rest.scale[0], 1.0f / 254.0f);
  EXPECT_EQ(rest.q[0], 0);
  EXPECT_EQ(rest.q[1], 127);
  EXPECT_EQ(rest.q[2], -64);  // -63.5
  EXPECT_EQ(rest.sum32[0], 63);
  EXPECT_EQ(rest.sum16[1], 0);
  EXPECT_EQ(rest.scale[1], 0.0f);
  for (std::size_t group = 1; group < 4; ++group) x[32 * group] = 30.0f;  // 2.34 times
  input.set(x.data(), 1, 128, 128, Compute::kInt8, pool);
  EXPECT_EQ(std::vector<int>(view.has_rest, view.has_rest + 4), (std::vector<int>{0, 0, 0, 0}));
}

/// The same bits from one thread and several, from all tokens at once and one by one, alone and in a group.
TEST(Matmul, BitsDependOnNeitherThreadsNorBatchNorGroup) {
  ThreadPool one(1);
  ThreadPool three(3);
  constexpr std::int64_t kTokens = 13;
  constexpr std::int64_t kCols = 576;
  for (const char* name : {"int4-g32-sym", "int4-g128-asym", "nf4-g64", "bf16", "int4-g7-sym", "fp8-e4m3-channel"})
    for (const Compute compute : {Compute::kInt8, Compute::kF32}) {
      MatrixMaker maker(9);
      const PackedMatrix a = pack(maker.make(named(name), 200, kCols), three);
      const PackedMatrix b = pack(maker.make(named("int8-g32-sym"), 77, kCols), one);
      const std::vector<float> x = maker.activations(kTokens * kCols);
      MatmulInput input;
      input.set(x.data(), kTokens, kCols, kCols, compute, three);
      std::vector<float> ya(kTokens * 200);
      std::vector<float> yb(kTokens * 77);
      const PackedMatrix* const both[] = {&a, &b};
      float* const outputs[] = {ya.data(), yb.data()};
      const std::int64_t lds[] = {200, 77};
      matmul_group(both, input, outputs, lds, three);
      std::vector<float> alone(kTokens * 200);
      for (std::int64_t t = 0; t < kTokens; ++t) {
        MatmulInput token;
        token.set(x.data() + t * kCols, 1, kCols, 0, compute, one);
        matmul(a, token, alone.data() + t * 200, 0, one);
      }
      EXPECT_EQ(first_difference(ya, alone), -1) << name;
    }
}

/// A thread keeps a few tokens as it has laid them out: for the same input and the same kind of codes only.
TEST(Matmul, FewTokensKeptAreTheInputs) {
  ThreadPool pool(2);
  MatrixMaker maker(12);
  constexpr std::int64_t kCols = 576;
  constexpr std::int64_t kRows = 100;
  std::vector<PackedMatrix> matrices;
  for (const char* name :
       {"int4-g32-sym", "int3-g32-sym", "int4-g32-sym", "int4-g16-asym", "int4-g128-asym", "nf4-g64"})
    matrices.push_back(pack(maker.make(named(name), kRows, kCols), pool));
  MatmulInput inputs[2];
  for (std::int64_t tokens : {8, 3, 7, 4, 8, 8, 2}) {
    const std::vector<float> x[2] = {maker.activations(tokens * kCols), maker.activations(tokens * kCols)};
    for (int i = 0; i < 2; ++i) inputs[i].set(x[i].data(), tokens, kCols, kCols, Compute::kInt8, pool);
    for (const PackedMatrix& matrix : matrices)
      for (int i = 0; i < 2; ++i) {
        std::vector<float> y(static_cast<std::size_t>(tokens * kRows));
        matmul(matrix, inputs[i], y.data(), kRows, pool);
        std::vector<float> alone(y.size());
        for (std::int64_t t = 0; t < tokens; ++t) {
          MatmulInput token;
          token.set(x[i].data() + t * kCols, 1, kCols, 0, Compute::kInt8, pool);
          matmul(matrix, token, alone.data() + t * kRows, 0, pool);
        }
        EXPECT_EQ(first_difference(y, alone), -1) << tokens << " tokens of input " << i;
      }
  }
}

TEST(Matmul, AnArenaHoldsMatricesThatOutliveIt) {
  ThreadPool pool(2);
  MatrixMaker maker(11);
  constexpr std::int64_t kCols = 320;
  const std::vector<float> x = maker.activations(kCols);
  MatmulInput input;
  input.set(x.data(), 1, kCols, kCols, Compute::kInt8, pool);
  auto arena = std::make_unique<PanelArena>();
  std::vector<PackedMatrix> packed;
  std::vector<std::vector<float>> expected;
  for (const char* name : {"int4-g32-sym", "int4-g7-sym", "bf16", "int8-g32-sym"}) {
    constexpr std::int64_t kRows = 1000;
    const QuantizedMatrix m = maker.make(named(name), kRows, kCols);
    const MatrixPtr source = make_source(QuantizedMatrix(m));
    packed.push_back(PackedMatrix::pack(*source, pool, arena.get()).value());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(packed.back().view().data) % 64, 0u);
    expected.emplace_back(kRows);
    matmul(pack(m, pool), input, expected.back().data(), kRows, pool);
    // The next one lies elsewhere, in memory that was asked for anew.
    const std::shared_ptr<std::uint8_t> large = arena->take(std::size_t{70} << 20);
    ASSERT_NE(large, nullptr);
    large.get()[(std::size_t{70} << 20) - 1] = 1;
  }
  arena.reset();
  for (std::size_t i = 0; i < packed.size(); ++i) {
    std::vector<float> y(expected[i].size());
    matmul(packed[i], input, y.data(), packed[i].rows(), pool);
    EXPECT_EQ(first_difference(y, expected[i]), -1) << i;
  }
}

TEST(Matmul, SortedColumnsSeePermutedActivations) {
  ThreadPool pool(2);
  MatrixMaker maker(4);
  for (const NamedScheme& scheme : special_schemes()) {
    if (scheme.name != "g_idx") continue;
    const QuantizedMatrix m = maker.make(scheme, 40, 256);
    const PackedMatrix packed = pack(m, pool);
    ASSERT_FALSE(packed.column_order().empty());
    const std::vector<float> x = maker.activations(3 * 256);
    const auto expected = oracle_f32(m, x, 3, 256, packed.column_order());
    MatmulInput input;
    input.set(x.data(), 3, 256, 256, Compute::kF32, pool);
    std::vector<float> y(3 * 40);
    matmul(packed, input, y.data(), 40, pool);
    EXPECT_EQ(first_difference(y, expected), -1);
  }
}

/// How far int8 activations may move a result: each activation by half a step of its group of 32, or of the group's
/// rest.
TEST(Matmul, Int8StaysWithinItsStepOfFloat) {
  ThreadPool pool(1);
  MatrixMaker maker(8);
  const QuantizedMatrix m = maker.make(named("int4-g32-sym"), 64, 512);
  const PackedMatrix packed = pack(m, pool);
  std::vector<float> weights(64 * 512);
  dequantize(m, weights.data());
  const std::vector<float> x = maker.activations(512);
  std::vector<float> exact(64);
  std::vector<float> rounded(64);
  MatmulInput input;
  input.set(x.data(), 1, 512, 512, Compute::kF32, pool);
  matmul(packed, input, exact.data(), 64, pool);
  input.set(x.data(), 1, 512, 512, Compute::kInt8, pool);
  matmul(packed, input, rounded.data(), 64, pool);
  for (std::size_t r = 0; r < 64; ++r) {
    double bound = 0;
    double magnitude = 0;
    for (std::size_t c = 0; c < 512; ++c) {
      const InputView& view = input.view();
      const double step{view.part[view.has_rest[c / 32]].scale[c / 32]};
      bound += std::abs(double{weights[r * 512 + c]}) * 0.5001 * step;
      magnitude += std::abs(double{weights[r * 512 + c]} * double{x[c]});
    }
    EXPECT_LE(std::abs(double{exact[r]} - double{rounded[r]}), bound + magnitude * 512 * 0x1p-23);
  }
}

/// What tables as 16-bit numbers lose, on the same int8 activations: at most 1e-5 of the products' magnitudes.
TEST(Matmul, Int16TablesStayCloseToTheirFloats) {
  ThreadPool pool(1);
  for (const char* name : {"nf4-g64", "codebook4-tensor-g64", "codebook3-tensor-g32"}) {
    SCOPED_TRACE(name);
    MatrixMaker maker(9);
    const QuantizedMatrix m = maker.make(named(name), 64, 512);
    const PackedMatrix packed = pack(m, pool);
    ASSERT_NE(packed.view().int_table_high, nullptr);
    std::vector<float> weights(64 * 512);
    dequantize(m, weights.data());
    const std::vector<float> x = maker.activations(512);
    std::vector<float> y(64);
    MatmulInput input;
    input.set(x.data(), 1, 512, 512, Compute::kInt8, pool);
    matmul(packed, input, y.data(), 64, pool);
    for (std::size_t r = 0; r < 64; ++r) {
      double exact = 0;
      double magnitude = 0;
      for (std::size_t c = 0; c < 512; ++c) {
        double activation = 0;
        for (const Int8Part& part : input.view().part) activation += part.q[c] * double{part.scale[c / 32]};
        const double product = double{weights[r * 512 + c]} * activation;
        exact += product;
        magnitude += std::abs(product);
      }
      EXPECT_NEAR(double{y[r]}, exact, 1e-5 * magnitude) << r;
    }
  }
}

TEST(Selection, IsAPureFunctionOfLayoutAndFeatures) {
  EXPECT_STREQ(choose_kernel(Layout::kQ4, Compute::kInt8, 0).name, "matmul_q4_q8g32_portable");
  EXPECT_STREQ(choose_kernel(Layout::kGeneric, Compute::kF32, 0).name, "matmul_generic_f32_portable");
#if defined(__x86_64__)
  const CpuFeatures avx2 = kAvx2 | kFma | kF16c;
  EXPECT_STREQ(choose_kernel(Layout::kQ8, Compute::kInt8, avx2).name, "matmul_q8_q8g32_avx2");
  EXPECT_STREQ(choose_kernel(Layout::kQ8, Compute::kInt8, avx2 | kAvxVnni).name, "matmul_q8_q8g32_avxvnni");
  EXPECT_STREQ(choose_kernel(Layout::kQ8, Compute::kF32, avx2 | kAvxVnni).name, "matmul_q8_f32_avx2");
  EXPECT_STREQ(choose_quantize(avx2 | kAvxVnni).name, "quantize_q8g32_avx2");
#elif defined(__aarch64__)
  EXPECT_STREQ(choose_kernel(Layout::kQ8, Compute::kInt8, kNeon).name, "matmul_q8_q8g32_neon");
  EXPECT_STREQ(choose_kernel(Layout::kQ8, Compute::kInt8, kNeon | kDotProd).name, "matmul_q8_q8g32_dotprod");
  EXPECT_STREQ(choose_kernel(Layout::kQ8, Compute::kInt8, kNeon | kDotProd | kI8mm).name, "matmul_q8_q8g32_i8mm");
  EXPECT_STREQ(choose_kernel(Layout::kQ8, Compute::kF32, kNeon | kDotProd | kI8mm).name, "matmul_q8_f32_neon");
  EXPECT_STREQ(choose_quantize(kNeon | kDotProd | kI8mm).name, "quantize_q8g32_neon");
#endif
  for (int layout = 0; layout < kLayoutCount; ++layout)
    EXPECT_EQ(choose_kernel(static_cast<Layout>(layout), Compute::kF32, 0).layout, static_cast<Layout>(layout));
}

}  // namespace
}  // namespace nibble::kernel::test
