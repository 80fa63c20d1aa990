// For tests of checkpoint families: a checkpoint in memory, golden tensors, and encoding with every byte accounted for.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "io/family.h"

namespace nibble::testing {

inline std::vector<std::byte> bytes_of_hex(const std::string& hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; };
  std::vector<std::byte> bytes(hex.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(digit(hex[2 * i]) * 16 + digit(hex[2 * i + 1]));
  return bytes;
}

/// A tensor of a golden file: {dtype, shape, hex}.
struct GoldenTensor {
  ElementType element;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;

  explicit GoldenTensor(const Json& json)
      : element(element_from_safetensors(json["dtype"].get<std::string>()).value()),
        shape(json["shape"].get<std::vector<std::int64_t>>()),
        bytes(bytes_of_hex(json["hex"].get<std::string>())) {}
};

inline Json golden_file(const std::string& name) {
  std::ifstream file(std::string(NIBBLE_SOURCE_DIR) + "/tests/golden/families/" + name);
  std::stringstream text;
  text << file.rdbuf();
  auto json = parse_untrusted(text.str(), name);
  EXPECT_TRUE(json.ok()) << (json.ok() ? "" : json.error().message);
  return json.ok() ? std::move(json).value() : Json::object();
}

class MemoryCheckpoint {
 public:
  Json config = Json::object();
  Json quantization_config;

  MemoryCheckpoint() = default;
  MemoryCheckpoint(MemoryCheckpoint&&) = default;  // tensors are views: no copies

  void add(const std::string& name, ElementType element, std::vector<std::int64_t> shape,
           std::vector<std::byte> bytes) {
    storage_.push_back(std::move(bytes));
    StoredTensor tensor;
    tensor.name = name;
    tensor.shape = std::move(shape);
    tensor.element = element;
    tensor.bytes = storage_.back();
    ASSERT_TRUE(tensors_.add(std::move(tensor)).ok()) << name;
  }
  void add(const std::string& name, const Json& golden) {
    GoldenTensor tensor(golden);
    add(name, tensor.element, std::move(tensor.shape), std::move(tensor.bytes));
  }

  Result<std::vector<FamilyModule>> open(const Family& family) const {
    return family.open({"model", config, quantization_config, tensors_, false});
  }
  bool detected_by(const Family& family) const {
    return family.detect({"model", config, quantization_config, tensors_, false});
  }
  const TensorSet& tensors() const { return tensors_; }

 private:
  std::deque<std::vector<std::byte>> storage_;
  TensorSet tensors_;
};

/// The only module of a checkpoint, or nullptr with a failed expectation.
inline MatrixPtr open_one(const MemoryCheckpoint& checkpoint, const Family& family) {
  auto modules = checkpoint.open(family);
  EXPECT_TRUE(modules.ok()) << (modules.ok() ? "" : modules.error().message);
  if (!modules.ok()) return nullptr;
  EXPECT_EQ(modules->size(), 1u);
  return modules->empty() ? nullptr : modules->front().weight;
}

inline QuantizedMatrix decode_rows(const MatrixSource& source, std::int64_t begin, std::int64_t count) {
  QuantizedMatrix out;
  const Status status = source.decode(begin, count, out);
  EXPECT_TRUE(status.ok()) << status.error().message;
  const Status valid = out.validate();
  EXPECT_TRUE(valid.ok()) << valid.error().message;
  return out;
}

inline std::vector<float> values_of(const QuantizedMatrix& matrix) {
  std::vector<float> values(static_cast<std::size_t>(matrix.row_count * matrix.cols));
  dequantize(matrix, values.data());
  return values;
}

/// All values of a source; checks that every range of rows gives the same bits as the whole.
inline std::vector<float> check_ranges(const MatrixSource& source) {
  const std::vector<float> whole = values_of(decode_rows(source, 0, source.rows()));
  const std::int64_t step = source.row_step();
  for (const std::int64_t steps : {1, 3, 5}) {
    for (std::int64_t begin = 0; begin < source.rows(); begin += step * steps) {
      const std::int64_t count = std::min(step * steps, source.rows() - begin);
      const std::vector<float> part = values_of(decode_rows(source, begin, count));
      EXPECT_EQ(std::memcmp(part.data(), whole.data() + begin * source.cols(), part.size() * sizeof(float)), 0)
          << "rows " << begin << " + " << count;
    }
  }
  return whole;
}

/// A matrix of the scheme with every part filled at random (within what the scheme allows).
inline QuantizedMatrix random_matrix(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols, unsigned seed) {
  std::mt19937 random(seed);
  QuantizedMatrix m;
  m.allocate(scheme, rows, cols, 0, rows);
  const auto codes = [&](const CodeFormat& code, std::vector<std::uint8_t>& out) {
    const std::size_t table = table_values(code.table).size();
    const unsigned limit = table != 0 ? static_cast<unsigned>(table) : code.code_bytes() > 1 ? 256u : 1u << code.bits;
    for (auto& c : out) c = static_cast<std::uint8_t>(random() % limit);
  };
  const auto floats = [&](ElementType type, std::vector<std::byte>& bytes) {
    const std::size_t size = static_cast<std::size_t>(element_info(type).bits) / 8;
    for (std::size_t i = 0; i < bytes.size(); i += size) {
      const float value = static_cast<float>(random() % 1000) / 64.0f + 0.25f;
      encode_elements(type, &value, 1, bytes.data() + i);
    }
  };
  const auto plane = [&](const PlaneFormat& format, PlaneData& data) {
    if (!format.nested) return floats(format.element, data.entries);
    codes(format.nested->code, data.codes);
    floats(format.nested->outer, data.outer);
    for (float& value : data.table) value = static_cast<float>(random() % 100);
    if (format.nested->has_constant) data.constant = 0.25f;
  };
  codes(scheme.code, m.codes);
  if (scheme.scale) plane(*scheme.scale, m.scale);
  if (scheme.zero_kind == ZeroKind::kReal) plane(scheme.zero, m.zero);
  for (std::size_t i = 0; scheme.zero_kind == ZeroKind::kInteger && i < m.zero.entries.size(); i += 2) {
    const auto zero =
        static_cast<std::int16_t>(static_cast<int>(random() % (1u << scheme.code.bits)) - scheme.code.bias);
    std::memcpy(m.zero.entries.data() + i, &zero, 2);
  }
  if (scheme.offset) plane(*scheme.offset, m.offset);
  for (float& value : m.tables) value = static_cast<float>(random() % 100) - 50.0f;
  for (auto& pick : m.selector)
    pick = static_cast<std::uint8_t>(random() % static_cast<unsigned>(scheme.table.bank_size));
  // Every group as often as the others, in random order.
  for (std::size_t c = 0; c < m.group_index.size(); ++c)
    m.group_index[c] = static_cast<std::int32_t>(static_cast<std::int64_t>(c) % scheme.scale->grouping.size);
  std::shuffle(m.group_index.begin(), m.group_index.end(), random);
  for (std::size_t i = 0; i < m.supplement.columns.size(); ++i)  // not the first ones
    m.supplement.columns[i] = static_cast<std::int32_t>(cols) - 1 - 2 * static_cast<std::int32_t>(i);
  std::reverse(m.supplement.columns.begin(), m.supplement.columns.end());
  floats(scheme.supplement.kept_element == ElementType::kI8 ? ElementType::kF16 : scheme.supplement.kept_element,
         scheme.supplement.kept_element == ElementType::kI8 ? m.supplement.kept_scale : m.supplement.kept);
  if (scheme.supplement.kept_element == ElementType::kI8)
    for (std::byte& code : m.supplement.kept) code = static_cast<std::byte>(random() % 256);
  floats(ElementType::kF16, m.supplement.left);
  floats(ElementType::kF16, m.supplement.right);
  return m;
}

inline void expect_same_matrix(const QuantizedMatrix& a, const QuantizedMatrix& b) {
  EXPECT_TRUE(a.scheme == b.scheme) << to_string(a.scheme) << " and " << to_string(b.scheme);
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.cols, b.cols);
  EXPECT_TRUE(a.codes == b.codes);
  EXPECT_TRUE(a.scale == b.scale);
  EXPECT_TRUE(a.zero == b.zero);
  EXPECT_TRUE(a.offset == b.offset);
  EXPECT_TRUE(a.tables == b.tables);
  EXPECT_TRUE(a.selector == b.selector);
  EXPECT_TRUE(a.group_index == b.group_index);
  EXPECT_TRUE(a.supplement == b.supplement);
}

struct EncodedTensor {
  EncodedPlan plan;
  std::vector<std::byte> bytes;
};

/// Encodes a source in ranges of `rows_at_once` (0: all; rounded up to the family's step), checking that each planned
/// byte is written exactly once.
inline std::map<std::string, EncodedTensor> encode_all(const Family& family, const MatrixSource& source,
                                                       const std::string& module, std::int64_t rows_at_once = 0) {
  std::map<std::string, EncodedTensor> encoded;
  const auto plan = family.plan(source.scheme(), source.rows(), source.cols(), module);
  EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.error().message);
  if (!plan.ok()) return encoded;
  std::vector<EncodedTensor> tensors;
  std::vector<std::vector<int>> written;
  for (const EncodedPlan& planned : *plan) {
    std::uint64_t count = 1;
    for (const std::int64_t extent : planned.shape) count *= static_cast<std::uint64_t>(extent);
    const std::uint64_t bytes = element_bytes(planned.element, count).value();
    tensors.push_back({planned, std::vector<std::byte>(bytes, std::byte{0xEE})});
    written.emplace_back(bytes, 0);
  }
  const EncodedSink sink = [&](std::size_t index, std::uint64_t offset, std::span<const std::byte> bytes) -> Status {
    EXPECT_LT(index, tensors.size());
    EXPECT_LE(offset + bytes.size(), tensors[index].bytes.size()) << tensors[index].plan.name;
    if (index >= tensors.size() || offset + bytes.size() > tensors[index].bytes.size())
      return fail(ErrorCode::kInvalidArgument, "outside of the plan");
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      tensors[index].bytes[offset + i] = bytes[i];
      ++written[index][offset + i];
    }
    return {};
  };
  std::int64_t step = family.encode_row_step == nullptr ? 1 : family.encode_row_step(source.scheme());
  if (step == 0 || rows_at_once == 0) step = source.rows();
  step = std::max<std::int64_t>(step, rows_at_once / step * step);
  for (std::int64_t begin = 0; begin < source.rows(); begin += step) {
    const QuantizedMatrix part = decode_rows(source, begin, std::min(step, source.rows() - begin));
    const Status status = family.encode(part, module, sink);
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    for (std::size_t b = 0; b < written[i].size(); ++b)
      if (written[i][b] != 1) {
        ADD_FAILURE() << tensors[i].plan.name << ": byte " << b << " written " << written[i][b] << " times";
        break;
      }
    encoded.emplace(tensors[i].plan.name, std::move(tensors[i]));
  }
  return encoded;
}

/// A checkpoint of encoded tensors with the family's own configuration, ready to be opened again.
inline void add_encoded(MemoryCheckpoint& checkpoint, const std::map<std::string, EncodedTensor>& encoded) {
  for (const auto& [name, tensor] : encoded) checkpoint.add(name, tensor.plan.element, tensor.plan.shape, tensor.bytes);
}

/// Values equal the golden tensor's after rounding to its type. `zero_sign` false: -0 equals +0.
inline void expect_values(const MatrixSource& source, const Json& golden, bool zero_sign = true) {
  const GoldenTensor expected(golden);
  const std::vector<float> values = check_ranges(source);
  const std::size_t size = static_cast<std::size_t>(element_info(expected.element).bits) / 8;
  ASSERT_EQ(values.size() * size, expected.bytes.size());
  std::vector<std::byte> rounded(expected.bytes.size());
  encode_elements(expected.element, values.data(), values.size(), rounded.data());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < values.size() && wrong < 5; ++i) {
    if (std::memcmp(rounded.data() + i * size, expected.bytes.data() + i * size, size) == 0) continue;
    float want = 0;
    decode_elements(expected.element, expected.bytes.data() + i * size, 1, &want);
    if (!zero_sign && want == 0.0f && values[i] == 0.0f) continue;
    ++wrong;
    ADD_FAILURE() << "weight " << i << " is " << values[i] << ", expected " << want;
  }
}

/// Encoding the source gives the golden bytes of each named tensor, whole and in small ranges.
inline void expect_bytes(const Family& family, const MatrixSource& source, const Json& test_case,
                         const std::map<std::string, std::string>& suffix_to_field) {
  for (const std::int64_t rows : {0, 1}) {
    const auto encoded = encode_all(family, source, "m", rows);
    for (const auto& [name, tensor] : encoded) {
      const auto field = suffix_to_field.find(name.substr(1));
      ASSERT_NE(field, suffix_to_field.end()) << name << " is not in the golden file";
      const GoldenTensor expected(test_case[field->second]);
      EXPECT_EQ(tensor.plan.shape, expected.shape) << name;
      EXPECT_EQ(tensor.plan.element, expected.element) << name;
      EXPECT_TRUE(tensor.bytes == expected.bytes) << name;
    }
  }
}

}  // namespace nibble::testing
