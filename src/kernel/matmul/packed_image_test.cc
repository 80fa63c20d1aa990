// Packed matrices as bytes: the same numbers back, and nothing unsafe accepted.
#include "kernel/matmul/packed_image.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "kernel/matmul/matmul_fixtures.h"
#include "tensor/supplement.h"

namespace nibble::kernel {
namespace {

using test::all_schemes;
using test::MatrixMaker;

/// Panels copied to memory of exactly their size, so that sanitizers see every byte read past them.
struct Image {
  std::vector<std::byte> description;
  std::shared_ptr<std::byte> panels;
  std::size_t panel_bytes = 0;

  explicit Image(const PackedMatrix& matrix) : description(describe_packed(matrix)) {
    const auto bytes = packed_panels(matrix);
    panel_bytes = bytes.size();
    const std::size_t rounded = (panel_bytes + kPanelAlignment) / kPanelAlignment * kPanelAlignment;
    panels.reset(static_cast<std::byte*>(std::aligned_alloc(kPanelAlignment, rounded)), std::free);
    std::copy(bytes.begin(), bytes.end(), panels.get());
  }
  std::span<const std::byte> bytes() const { return {panels.get(), panel_bytes}; }
  Result<PackedMatrix> read(std::int64_t rows, std::int64_t cols) const {
    return packed_from_image(description, bytes(), panels, rows, cols);
  }
};

PackedMatrix packed(const QuantizedMatrix& m) {
  ThreadPool pool(1);
  return PackedMatrix::pack(*make_source(m), pool).value();
}

std::vector<float> product(const PackedMatrix& w, const std::vector<float>& x, std::int64_t tokens, Compute compute) {
  ThreadPool pool(1);
  MatmulInput input;
  input.set(x.data(), tokens, w.cols(), w.cols(), compute, pool);
  std::vector<float> y(static_cast<std::size_t>(tokens * w.rows()));
  matmul(w, input, y.data(), w.rows(), pool);
  return y;
}

std::vector<float> rows_of(const PackedMatrix& w) {
  std::vector<float> values(static_cast<std::size_t>(w.rows() * w.cols()));
  for (std::int64_t r = 0; r < w.rows(); ++r) w.decode_row(r, values.data() + r * w.cols());
  return values;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(PackedImage, EveryLayoutComesBack) {
  MatrixMaker maker(5);
  for (const auto& scheme : all_schemes())
    for (const auto& [rows, cols] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {33, 257}, {40, 576}}) {
      const PackedMatrix w = packed(maker.make(scheme, rows, cols));
      const Image image(w);
      const Result<PackedMatrix> read = image.read(rows, cols);
      ASSERT_TRUE(read.ok()) << scheme.name << " " << rows << " x " << cols << ": " << read.error().message;
      EXPECT_EQ(read->layout_name(), w.layout_name());
      EXPECT_EQ(read->packed_bytes(), w.packed_bytes());
      EXPECT_TRUE(same(rows_of(*read), rows_of(w))) << scheme.name;
      const std::vector<float> x = maker.activations(3 * cols);
      for (const Compute compute : {Compute::kInt8, Compute::kF32})
        EXPECT_TRUE(same(product(*read, x, 3, compute), product(w, x, 3, compute))) << scheme.name;
    }
}

TEST(PackedImage, CutDescriptionsAndOtherSizesAreRefused) {
  MatrixMaker maker(6);
  for (const auto& scheme : all_schemes()) {
    Image image(packed(maker.make(scheme, 17, 100)));
    EXPECT_FALSE(image.read(18, 100).ok()) << scheme.name;
    EXPECT_FALSE(image.read(17, 101).ok()) << scheme.name;
    EXPECT_FALSE(packed_from_image(image.description, image.bytes().first(image.panel_bytes - 1), {}, 17, 100).ok());
    const std::vector<std::byte> whole = image.description;
    for (std::size_t size = 0; size < whole.size(); ++size) {
      image.description.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      ASSERT_FALSE(image.read(17, 100).ok()) << scheme.name << " cut to " << size;
    }
    image.description = whole;
    image.description.push_back(std::byte{0});
    EXPECT_FALSE(image.read(17, 100).ok()) << scheme.name;
  }
}

/// Whatever is accepted can be computed with: no read outside (sanitizers), no failed check.
TEST(PackedImage, DamagedFieldsAreRefusedOrHarmless) {
  MatrixMaker maker(7);
  int refused = 0;
  for (const auto& scheme : all_schemes()) {
    Image image(packed(maker.make(scheme, 17, 70)));
    const std::vector<std::byte> whole = image.description;
    const std::vector<float> x = maker.activations(2 * 70);
    const auto try_it = [&] {
      const Result<PackedMatrix> read = image.read(17, 70);
      if (!read.ok()) return ++refused;
      (void)rows_of(*read);
      for (const Compute compute : {Compute::kInt8, Compute::kF32}) (void)product(*read, x, 2, compute);
      return 0;
    };
    const std::size_t step = whole.size() > 4000 ? 61 : 1;  // tables are long and all alike
    for (std::size_t i = 0; i < whole.size(); i += i < 400 ? 1 : step) {
      for (const unsigned flip : {0x01u, 0x10u, 0x80u, 0xFFu}) {
        image.description[i] = whole[i] ^ static_cast<std::byte>(flip);
        try_it();
      }
      image.description[i] = whole[i];
    }
    for (std::size_t i = 0; i < image.panel_bytes; i += 97) image.panels.get()[i] ^= std::byte{0xFF};
    try_it();
  }
  EXPECT_GT(refused, 1000);
}

TEST(PackedImage, SupplementsComeBack) {
  QuantScheme scheme = *parse_scheme("int4-g32-sym-keep16:5%-rank3");
  QuantizedMatrix m;
  m.allocate(scheme, 20, 64, 0, 20);
  MatrixMaker maker(8);
  for (std::uint8_t& code : m.codes) code = static_cast<std::uint8_t>(maker.pick(16));
  for (std::vector<std::byte>* part : {&m.scale.entries, &m.supplement.kept, &m.supplement.left, &m.supplement.right})
    for (std::size_t i = 0; i < part->size(); i += 2) {
      const float value = maker.uniform();
      encode_elements(ElementType::kF16, &value, 1, part->data() + i);
    }
  const PackedMatrix w = packed(m);
  ASSERT_FALSE(w.supplement().empty());
  const Result<PackedMatrix> read = Image(w).read(20, 64);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_TRUE(same(rows_of(*read), rows_of(w)));
  const std::vector<float> x = maker.activations(2 * 64);
  EXPECT_TRUE(same(product(*read, x, 2, Compute::kInt8), product(w, x, 2, Compute::kInt8)));
}

TEST(Matmul, RowsInPartsAreTheWhole) {
  MatrixMaker maker(9);
  ThreadPool pool(2);
  for (const char* name : {"int4-g32-sym", "g_idx", "codebook4-g10", "int4-g32-sym-keep16:5%-rank3"}) {
    const auto all = all_schemes();
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& scheme) { return scheme.name == name; });
    const PackedMatrix w = packed(maker.make(found != all.end() ? *found : test::named(name), 150, 96));
    const std::vector<float> x = maker.activations(5 * 96);
    MatmulInput input;
    input.set(x.data(), 5, 96, 96, Compute::kInt8, pool);
    std::vector<float> y(5 * 150);
    std::size_t bytes = 0;
    for (const auto& [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, 64}, {64, 96}, {96, 150}}) {
      matmul_rows(w, input, begin, end, y.data(), 150, pool);
      EXPECT_EQ(panel_range(w, begin, end).offset, bytes);
      bytes += panel_range(w, begin, end).bytes;
    }
    EXPECT_EQ(bytes, packed_panels(w).size());
    EXPECT_TRUE(same(y, product(w, x, 5, Compute::kInt8))) << name;
  }
}

}  // namespace
}  // namespace nibble::kernel
