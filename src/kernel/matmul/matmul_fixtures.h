// Fixtures of the matmul tests: schemes of every layout with adversarial contents, and an oracle that computes the
// product from the hub's matrix, knowing nothing of packed layouts.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernel/matmul/matmul_kernel.h"
#include "tensor/quantized_matrix.h"

namespace nibble::kernel::test {

struct NamedScheme {
  std::string name;
  QuantScheme scheme;
};

inline NamedScheme named(const char* name) { return {name, *parse_scheme(name)}; }

/// k-quant like: nested scales (and offsets) of `scale_bits` under f16, groups of `group`.
inline NamedScheme nested_scheme(const char* name, int bits, int bias, std::int64_t group, int scale_bits,
                                 int scale_bias, bool offsets) {
  NamedScheme s{name, *parse_scheme("int4-g32-sym")};
  s.scheme.code = CodeFormat::integer(bits, bias);
  s.scheme.scale = PlaneFormat{
      Grouping::columns(group), ElementType::kF16, false,
      NestedFormat{CodeFormat::integer(scale_bits, scale_bias), ElementType::kF16, 256 / group, false, false}};
  if (offsets) s.scheme.offset = s.scheme.scale;
  return s;
}

inline std::vector<NamedScheme> special_schemes() {
  std::vector<NamedScheme> all;
  all.push_back(nested_scheme("q2_k", 2, 0, 16, 4, 0, true));
  all.push_back(nested_scheme("q3_k", 3, 4, 16, 6, 32, false));
  all.push_back(nested_scheme("q4_k", 4, 0, 32, 6, 0, true));
  all.push_back(nested_scheme("q5_k", 5, 0, 32, 6, 0, true));
  all.push_back(nested_scheme("q6_k", 6, 32, 16, 8, 128, false));
  const auto table = [&](const char* name, TableKind kind, int bits, std::int64_t group, TableKind scales) {
    NamedScheme s = named("int4-g32-sym");
    s.name = name;
    s.scheme.code = CodeFormat::indexed(kind, bits);
    s.scheme.scale->grouping = Grouping::columns(group);
    if (scales != TableKind::kNone)
      s.scheme.scale->nested =
          NestedFormat{CodeFormat::indexed(scales, 4), ElementType::kF16, 256 / group, false, false};
    all.push_back(s);
  };
  table("iq4_nl", TableKind::kIq4, 4, 32, TableKind::kNone);
  table("iq1", TableKind::kIq1, 3, 32, TableKind::kOdd);
  table("iq2", TableKind::kIq2, 3, 16, TableKind::kHalfStep);
  table("iq3", TableKind::kIq3Xxs, 4, 32, TableKind::kHalfStep);
  NamedScheme mxfp4 = named("int4-g32-sym");
  mxfp4.name = "mxfp4";
  mxfp4.scheme.code = CodeFormat::floating(ElementType::kF4);
  mxfp4.scheme.scale->element = ElementType::kE8m0;
  all.push_back(mxfp4);
  NamedScheme nvfp4 = mxfp4;
  nvfp4.name = "nvfp4";
  nvfp4.scheme.scale =
      PlaneFormat{Grouping::columns(16), ElementType::kF16, false,
                  NestedFormat{CodeFormat::floating(ElementType::kE4m3), ElementType::kF32, 0, true, false}};
  all.push_back(nvfp4);
  NamedScheme hqq = named("int4-g64-sym");
  hqq.name = "hqq";
  hqq.scheme.code.bias = 0;
  hqq.scheme.zero_kind = ZeroKind::kReal;
  hqq.scheme.zero = PlaneFormat{Grouping::columns(64), ElementType::kF16, false, std::nullopt};
  all.push_back(hqq);
  NamedScheme strided = hqq;
  strided.name = "hqq_axis0";
  strided.scheme.scale->grouping = strided.scheme.zero.grouping = {Grouping::Kind::kStrided, 5, 1};
  all.push_back(strided);
  NamedScheme indexed = named("int4-g32-asym");
  indexed.name = "g_idx";
  indexed.scheme.scale->grouping = indexed.scheme.zero.grouping = Grouping::indexed(4);
  all.push_back(indexed);
  NamedScheme divides = named("int4-g32-sym");
  divides.name = "divides";
  divides.scheme.scale->divides = true;
  all.push_back(divides);
  NamedScheme odd_bias = named("int5-g48-sym");
  odd_bias.name = "odd_bias";
  odd_bias.scheme.code.bias = 11;
  all.push_back(odd_bias);
  NamedScheme wide = named("int8-g32-asym");
  wide.name = "wide_zero";
  all.push_back(wide);
  NamedScheme both = nested_scheme("zero_and_offset", 4, 0, 32, 6, 0, true);
  both.scheme.zero_kind = ZeroKind::kReal;
  both.scheme.zero = PlaneFormat{Grouping::columns(32), ElementType::kF32, false, std::nullopt};
  all.push_back(both);
  NamedScheme post = named("int8-channel-sym");
  post.name = "llm_int8";
  post.scheme.post_scale = 1.0f / 127.0f;
  all.push_back(post);
  NamedScheme bank = named("codebook4-g32");
  bank.name = "bank";
  bank.scheme.table.bank_size = 5;
  all.push_back(bank);
  NamedScheme tensor_table = named("codebook4-tensor-scale:f32");
  tensor_table.scheme.scale = PlaneFormat{Grouping::columns(64), ElementType::kBf16, false, std::nullopt};
  tensor_table.name = "integer_table";
  all.push_back(tensor_table);
  NamedScheme scaled_floats = named("bf16");
  scaled_floats.name = "scaled_bf16";
  scaled_floats.scheme.scale = PlaneFormat{Grouping::row(), ElementType::kF32, false, std::nullopt};
  all.push_back(scaled_floats);
  return all;
}

inline std::vector<NamedScheme> all_schemes() {
  std::vector<NamedScheme> all = special_schemes();
  for (const char* name : {"f32",
                           "f16",
                           "bf16",
                           "int1-g32-sym",
                           "int2-g32-sym",
                           "int3-g32-sym",
                           "int4-g32-sym",
                           "int4-g32-asym",
                           "int4-g128-asym",
                           "int4-channel-sym",
                           "int5-g32-sym",
                           "int6-g64-asym",
                           "int7-g32-sym",
                           "int8-g32-sym",
                           "int8-tensor-asym",
                           "int8-g16-sym",
                           "int8-channel-sym",
                           "ternary-g64",
                           "binary-channel",
                           "nf4-g64",
                           "nf4-flat64",
                           "nf4-flat64-dq",
                           "fp4-g64",
                           "fp8-e4m3-channel",
                           "fp8-e5m2-tensor",
                           "fp8-e4m3-block32x64-scale:f32",
                           "int4-g7-sym",
                           "int3-flat20-sym",
                           "nf4-flat9-dq",
                           "codebook4-row",
                           "codebook3-row-g32",
                           "codebook5-tensor",
                           "codebook8-tensor-g32",
                           "codebook4-g10",
                           "codebook7-row",
                           "int4-block16x32-sym",
                           "int4-block5x64-sym"})
    all.push_back(named(name));
  return all;
}

/// Fills planes so that each group has another value, codes with all extremes among random ones.
class MatrixMaker {
 public:
  explicit MatrixMaker(unsigned seed) : random_(seed) {}

  QuantizedMatrix make(const NamedScheme& named_scheme, std::int64_t rows, std::int64_t cols) {
    QuantScheme scheme = named_scheme.scheme;
    if (scheme.scale && scheme.scale->grouping.kind == Grouping::Kind::kIndexed) {
      const std::int64_t groups = (cols + 31) / 32;
      scheme.scale->grouping = scheme.zero.grouping = Grouping::indexed(groups);
    }
    if (scheme.scale && scheme.scale->grouping.kind == Grouping::Kind::kStrided && rows * cols % 5 != 0)
      scheme.scale->grouping.size = scheme.zero.grouping.size = 1;
    QuantizedMatrix m;
    m.allocate(scheme, rows, cols, 0, rows);
    fill_codes(m);
    if (scheme.scale) fill_plane(*scheme.scale, m.scale, 0.05f);
    if (scheme.zero_kind == ZeroKind::kInteger) fill_zeros(named_scheme.name, m);
    if (scheme.zero_kind == ZeroKind::kReal) fill_plane(scheme.zero, m.zero, 8.0f);
    if (scheme.offset) fill_plane(*scheme.offset, m.offset, -0.7f);
    const bool integers = named_scheme.name == "integer_table";
    for (float& value : m.tables) value = integers ? static_cast<float>(pick(255)) - 127.0f : uniform();
    for (std::uint8_t& number : m.selector) number = static_cast<std::uint8_t>(pick(5));
    if (!m.group_index.empty()) {
      for (std::size_t c = 0; c < m.group_index.size(); ++c) m.group_index[c] = static_cast<std::int32_t>(c / 32);
      std::shuffle(m.group_index.begin(), m.group_index.end(), random_);
    }
    return m;
  }

  /// Some much larger than the rest, so that groups of some tokens take two bytes (InputView).
  std::vector<float> activations(std::int64_t count) {
    std::vector<float> x(static_cast<std::size_t>(count));
    for (float& value : x) value = pick(4) == 0 ? (pick(2) == 0 ? 3.0f : -3.0f) : 3.0f * uniform();
    for (float& value : x)
      if (pick(199) == 0) value *= 50.0f;
    return x;
  }

  unsigned pick(unsigned limit) { return static_cast<unsigned>(random_()) % limit; }
  float uniform() { return std::uniform_real_distribution<float>(-1.0f, 1.0f)(random_); }

 private:
  void fill_codes(QuantizedMatrix& m) {
    const CodeFormat& code = m.scheme.code;
    if (m.scheme.is_float()) {
      std::vector<float> values(static_cast<std::size_t>(m.rows * m.cols));
      for (float& value : values) value = uniform() * (pick(9) == 0 ? 1e-6f : 1.0f);
      encode_elements(code.float_type, values.data(), values.size(), reinterpret_cast<std::byte*>(m.codes.data()));
      return;
    }
    unsigned limit = 1u << code.bits;
    if (code.kind == CodeFormat::Kind::kTable && code.table != TableKind::kStored)
      limit = static_cast<unsigned>(table_values(code.table).size());
    for (std::uint8_t& c : m.codes) {
      const unsigned how = pick(4);
      c = static_cast<std::uint8_t>(how == 0 ? limit - 1 : how == 1 ? 0 : pick(limit));
      // NaN and infinity codes are tested on their own.
      if (code.float_type == ElementType::kE4m3 && (c & 0x7F) == 0x7F) c = 0x7E;
      if (code.float_type == ElementType::kE5m2 && (c & 0x7F) >= 0x7C) c = 0x7B;
    }
  }

  void fill_plane(const PlaneFormat& format, PlaneData& data, float size) {
    const auto floats = [&](ElementType type, std::vector<std::byte>& bytes) {
      const std::size_t width = static_cast<std::size_t>(element_info(type).bits) / 8;
      for (std::size_t i = 0; i < bytes.size(); i += width) {
        const float value =
            size * (0.25f + std::abs(uniform())) * (pick(5) == 0 && type != ElementType::kE8m0 ? -1.0f : 1.0f);
        encode_elements(type, &value, 1, bytes.data() + i);
      }
    };
    floats(format.element, data.entries);
    if (!format.nested) return;
    floats(format.nested->outer, data.outer);
    const unsigned limit = 1u << format.nested->code.bits;
    for (std::uint8_t& c : data.codes) {
      c = static_cast<std::uint8_t>(pick(3) == 0 ? limit - 1 : pick(limit));
      if (format.nested->code.kind == CodeFormat::Kind::kFloat) c = static_cast<std::uint8_t>(1 + pick(0x7D));
    }
    for (float& value : data.table) value = uniform();
    data.constant = 0.01f;
  }

  void fill_zeros(const std::string& name, QuantizedMatrix& m) {
    const int lowest = -m.scheme.code.bias;
    const unsigned values = 1u << m.scheme.code.bits;
    for (std::size_t i = 0; i + 1 < m.zero.entries.size(); i += 2) {
      auto zero = static_cast<std::int16_t>(lowest + static_cast<int>(pick(values)));
      if (name == "wide_zero") zero = static_cast<std::int16_t>(static_cast<int>(pick(5000)) - 2500);
      std::memcpy(m.zero.entries.data() + i, &zero, 2);
    }
  }

  std::mt19937 random_;
};

/// A plane decoded and looked up by weight.
class OraclePlane {
 public:
  OraclePlane(bool present, const PlaneFormat& format, const PlaneData& data, const QuantizedMatrix& m)
      : present_(present), format_(format), m_(m) {
    if (!present) return;
    values_.resize(static_cast<std::size_t>(plane_entries_held(format, data)));
    decode_plane(format, data, values_);
  }
  float at(std::int64_t r, std::int64_t c, float absent) const {
    if (!present_) return absent;
    return values_[static_cast<std::size_t>(format_.grouping.entry(r, c, m_.rows, m_.cols, m_.group_index.data()))];
  }
  bool present() const { return present_; }

 private:
  bool present_;
  PlaneFormat format_;
  const QuantizedMatrix& m_;
  std::vector<float> values_;
};

/// y [tokens, rows] by the order of operations that packed_view.h states, from the hub's matrix. `order`: columns as
/// packed, empty for their own order.
std::vector<float> inline oracle_f32(const QuantizedMatrix& m, const std::vector<float>& x, std::int64_t tokens,
                                     std::int64_t ld, std::span<const std::int32_t> order) {
  std::vector<float> weights(static_cast<std::size_t>(m.rows * m.cols));
  dequantize(m, weights.data());
  std::vector<float> y(static_cast<std::size_t>(tokens * m.rows), 0.0f);
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t r = 0; r < m.rows; ++r) {
      float acc = 0.0f;
      for (std::int64_t k = 0; k < m.cols; ++k) {
        const std::int64_t c = order.empty() ? k : order[static_cast<std::size_t>(k)];
        acc = std::fma(weights[static_cast<std::size_t>(r * m.cols + c)], x[static_cast<std::size_t>(t * ld + c)], acc);
      }
      y[static_cast<std::size_t>(t * m.rows + r)] = acc;
    }
  return y;
}

/// One output of the integer path.
inline float oracle_int8_output(const QuantizedMatrix& m, const OraclePlane planes[3], const PackedView& w,
                                const InputView& in, std::int64_t t, std::int64_t r,
                                std::span<const std::int32_t> order, std::span<const float> table) {
  float acc = 0.0f;
  for (std::int64_t block = 0; block < in.blocks; ++block)
    for (int p = 0; p <= in.has_rest[t * in.blocks + block]; ++p)
      for (std::int64_t begin = 32 * block; begin < 32 * block + 32 && begin < m.cols; begin += w.fold) {
        const Int8Part& part = in.part[p];
        std::int64_t dot = 0;
        std::int64_t sum = 0;
        for (std::int64_t k = begin; k < begin + w.fold && k < m.cols; ++k) {
          const std::int64_t c = order.empty() ? k : order[static_cast<std::size_t>(k)];
          const std::int64_t q = part.q[t * in.blocks * 32 + k];
          const std::uint8_t code = m.codes[static_cast<std::size_t>(r * m.cols + c)];
          const float integer = table.empty() ? static_cast<float>(code - m.scheme.code.bias)
                                              : std::nearbyint(table[code] * (m.scheme.post_scale / w.int_scale));
          dot += static_cast<std::int64_t>(integer) * q;
          sum += q;
        }
        const std::int64_t c = order.empty() ? begin : order[static_cast<std::size_t>(begin)];
        const float q_scale = part.scale[t * in.blocks + block];
        auto d = static_cast<float>(dot);
        if (planes[1].present()) d = std::fma(-planes[1].at(r, c, 0.0f), static_cast<float>(sum), d);
        acc = std::fma(d, (planes[0].at(r, c, 1.0f) * w.int_scale) * q_scale, acc);
        if (planes[2].present()) acc = std::fma(planes[2].at(r, c, 0.0f), q_scale * static_cast<float>(sum), acc);
      }
  return acc;
}

inline std::vector<float> oracle_int8(const QuantizedMatrix& m, const PackedView& w, const InputView& in,
                                      std::span<const std::int32_t> order) {
  const QuantScheme& s = m.scheme;
  const OraclePlane planes[3] = {
      {s.scale.has_value(), s.scale.value_or(PlaneFormat{}), m.scale, m},
      {s.zero_kind != ZeroKind::kNone, s.zero, m.zero, m},
      {s.offset.has_value(), s.offset.value_or(PlaneFormat{}), m.offset, m},
  };
  std::vector<float> table;
  if (s.code.kind == CodeFormat::Kind::kTable) {
    const auto values =
        s.code.table == TableKind::kStored ? std::span<const float>(m.tables) : table_values(s.code.table);
    table.assign(values.begin(), values.end());
  } else if (s.code.kind == CodeFormat::Kind::kFloat) {
    for (int i = 0; i < 16; ++i) table.push_back(e2m1_to_f32(static_cast<std::uint8_t>(i)));
  }
  std::vector<float> y;
  for (std::int64_t t = 0; t < in.tokens; ++t)
    for (std::int64_t r = 0; r < m.rows; ++r) y.push_back(oracle_int8_output(m, planes, w, in, t, r, order, table));
  return y;
}

}  // namespace nibble::kernel::test
