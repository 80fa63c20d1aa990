// Reading of the AWQ versions; writing of the GEMM version.
#include "io/awq.h"

#include <algorithm>
#include <cstring>

#include "io/awq_words.h"
#include "io/refused_fields.h"
#include "io/stored_matrix.h"
#include "io/word_columns.h"

namespace nibble {
namespace {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

CodeReader gemm_codes(HeldBytes held, std::int64_t rows, std::int64_t cols) {
  return [held = std::move(held), rows, cols](std::int64_t begin, std::int64_t count, std::uint8_t* codes) -> Status {
    unpack_awq_words(held.data(), rows / 8, begin, count, cols, codes);
    return {};
  };
}

/// I16 words: rows in blocks of 4, columns in blocks of 64 = 4 rows x 16 words; a word holds columns 8 apart.
CodeReader fast_codes(HeldBytes held, std::int64_t cols) {
  return [held = std::move(held), cols](std::int64_t begin, std::int64_t count, std::uint8_t* codes) -> Status {
    for (std::int64_t r = 0; r < count; ++r) {
      const std::int64_t row = begin + r;
      const std::byte* line = held.data() + row / 4 * cols * 2;
      for (std::int64_t k = 0; k < cols; k += 64) {
        for (std::int64_t t = 0; t < 16; ++t) {
          std::uint16_t word;
          std::memcpy(&word, line + (k + 16 * (row % 4) + t) * 2, 2);
          std::uint8_t* out = codes + r * cols + k + t / 8 * 32 + t % 8;
          for (int s = 0; s < 4; ++s) out[8 * s] = static_cast<std::uint8_t>(word >> (4 * s) & 15);
        }
      }
    }
    return {};
  };
}

struct AwqModule {
  ModuleTensors& tensors;
  const AwqLayout& layout;
  std::int64_t groups = 0;
  StoredParts parts = {};
};

/// Sets rows, columns, code and the grouping of scales and zero points.
Status set_scheme(AwqModule& m, std::int64_t rows, std::int64_t cols, ElementType scale) {
  if (cols > kMaxExtent || rows > kMaxExtent)
    return m.tensors.error(ErrorCode::kCorrupt, "{} x {} weights are not possible", rows, cols);
  m.parts.rows = rows;
  m.parts.cols = cols;
  const std::int64_t size = m.layout.group_size > 0 ? std::min(m.layout.group_size, cols) : cols;
  m.groups = divide_up(cols, size);
  const Grouping grouping = m.groups == 1 ? Grouping::row() : Grouping::columns(size);
  const bool centred = !m.layout.zero_point;
  m.parts.scheme.code = CodeFormat::integer(4, centred ? 8 : 0);
  m.parts.scheme.scale = PlaneFormat{grouping, scale, false, std::nullopt};
  if (centred) return {};
  m.parts.scheme.zero_kind = ZeroKind::kInteger;
  m.parts.scheme.zero = PlaneFormat{grouping, ElementType::kI16, false, std::nullopt};
  return {};
}

Result<FamilyModule> open_gemm(AwqModule& m, const StoredTensor& weight) {
  const std::int64_t rows = weight.shape[1] * 8;
  NIBBLE_TRY(const StoredTensor* scales,
             m.tensors.need(".scales", {ElementType::kF16, ElementType::kBf16}, {kAnyExtent, rows}));
  NIBBLE_TRY_STATUS(set_scheme(m, rows, weight.shape[0], scales->element));
  NIBBLE_TRY_STATUS(m.tensors.need(".scales", {scales->element}, {m.groups, rows}));
  m.parts.scale.entries = entries_transposed(HeldBytes(*scales), 2, m.groups, rows);
  NIBBLE_TRY(const StoredTensor* zeros, m.tensors.need(".qzeros", {ElementType::kI32}, {m.groups, rows / 8}));
  m.parts.zero.entries =
      zero_entries([held = HeldBytes(*zeros), columns = rows / 8, groups = m.groups](std::int64_t entry) {
        const std::int64_t row = entry / groups;
        const std::uint32_t word = WordColumns{held.data(), columns}.word(entry % groups, row / 8);
        return static_cast<std::int32_t>(word >> (4 * kAwqNibble[row % 8]) & 15u);
      });
  m.parts.codes = gemm_codes(HeldBytes(weight), rows, m.parts.cols);
  m.parts.by_matrix = {HeldBytes(weight), HeldBytes(*scales), HeldBytes(*zeros)};
  return m.tensors.finish(make_stored_matrix(std::move(m.parts)));
}

Result<FamilyModule> open_gemv(AwqModule& m, const StoredTensor& weight) {
  const std::int64_t rows = weight.shape[0];
  NIBBLE_TRY(const StoredTensor* scales,
             m.tensors.need(".scales", {ElementType::kF16, ElementType::kBf16}, {rows, kAnyExtent}));
  NIBBLE_TRY_STATUS(set_scheme(m, rows, weight.shape[1] * 8, scales->element));
  const std::int64_t pitch = scales->shape[1];
  NIBBLE_TRY(const StoredTensor* zeros, m.tensors.need(".qzeros", {ElementType::kI32}, {rows, pitch / 8}));
  if (pitch % 8 != 0 || pitch < m.groups)
    return m.tensors.error(ErrorCode::kCorrupt, "\"scales\" has {} columns for {} groups", pitch, m.groups);
  m.parts.scale.entries = entries_padded(HeldBytes(*scales), 2, m.groups, pitch);
  m.parts.zero.entries =
      zero_entries([held = HeldBytes(*zeros), columns = pitch / 8, groups = m.groups](std::int64_t entry) {
        const std::int64_t group = entry % groups;
        const std::uint32_t word = WordColumns{held.data(), columns}.word(entry / groups, group / 8);
        return static_cast<std::int32_t>(word >> (4 * (group % 8)) & 15u);
      });
  m.parts.codes = packed_rows(HeldBytes(weight), 4, m.parts.cols, static_cast<std::uint64_t>(weight.shape[1]) * 4);
  m.parts.by_rows = {HeldBytes(weight)};
  return m.tensors.finish(make_stored_matrix(std::move(m.parts)));
}

/// GEMVFast and llm-awq: zero points are stored as -(scale * zero), an offset.
Result<FamilyModule> open_fast(AwqModule& m, const StoredTensor& weight) {
  const std::int64_t rows = weight.shape[0] * 4;
  const std::int64_t cols = weight.shape[1];
  if (cols % 64 != 0)
    return m.tensors.error(ErrorCode::kCorrupt, "\"qweight\" has {} columns, not a multiple of 64", cols);
  const auto types = {ElementType::kF16, ElementType::kBf16};
  NIBBLE_TRY(const StoredTensor* scales, m.tensors.need(".scales", types, {kAnyExtent, rows}));
  NIBBLE_TRY_STATUS(set_scheme(m, rows, cols, scales->element));
  const char* name = m.tensors.find(".scaled_zeros") != nullptr ? ".scaled_zeros" : ".qzeros";
  NIBBLE_TRY(const StoredTensor* zeros, m.tensors.need(name, types, {scales->shape[0], rows}));
  if (scales->shape[0] < m.groups)
    return m.tensors.error(ErrorCode::kCorrupt, "\"scales\" has {} rows for {} groups", scales->shape[0], m.groups);
  QuantScheme& scheme = m.parts.scheme;
  scheme.code.bias = 0;
  scheme.zero_kind = ZeroKind::kNone;
  scheme.zero = {};
  scheme.offset = PlaneFormat{scheme.scale->grouping, zeros->element, false, std::nullopt};
  m.parts.scale.entries = entries_transposed(HeldBytes(*scales), 2, m.groups, rows);
  m.parts.offset.entries = entries_transposed(HeldBytes(*zeros), 2, m.groups, rows);
  m.parts.codes = fast_codes(HeldBytes(weight), cols);
  return m.tensors.finish(make_stored_matrix(std::move(m.parts)));
}

}  // namespace

Result<FamilyModule> open_awq_module(ModuleTensors& tensors, const AwqLayout& layout) {
  AwqModule m{tensors, layout};
  NIBBLE_TRY(const StoredTensor* weight,
             tensors.need(".qweight", {ElementType::kI32, ElementType::kI16}, {kAnyExtent, kAnyExtent}));
  if (weight->element == ElementType::kI16) return open_fast(m, *weight);
  const StoredTensor* scales = tensors.find(".scales");
  const bool two = scales != nullptr && scales->shape.size() == 2;
  const bool gemv_fits = two && scales->shape[0] == weight->shape[0];
  const bool gemm_fits = two && scales->shape[1] == weight->shape[1] * 8;
  return gemv_fits && (layout.gemv || !gemm_fits) ? open_gemv(m, *weight) : open_gemm(m, *weight);
}

namespace {

constexpr RefusedField kRefused[] = {{"pack_dtype", "int32"}, {"method", "awq"}};

bool detect(const FamilyInput& input) {
  if (input.is_gguf) return false;
  const Json& config = input.quantization_config;
  if (config.is_object() && config.contains("quant_method")) return config["quant_method"] == "awq";
  return std::any_of(input.tensors.all().begin(), input.tensors.all().end(), [](const StoredTensor& tensor) {
    return tensor.name.ends_with(".qweight");  // GPTQ, whose shapes differ, is asked first
  });
}

Result<std::vector<FamilyModule>> open(const FamilyInput& input) {
  const std::string what = input.what + ": quantization_config";
  const JsonFields fields(input.quantization_config, what);
  NIBBLE_TRY_STATUS(refuse_fields(input.quantization_config, kRefused, what));
  NIBBLE_TRY(const auto bits, fields.integer("bits"));
  NIBBLE_TRY(const auto old_bits, fields.integer("w_bit"));
  NIBBLE_TRY(const auto group_size, fields.integer("group_size"));
  NIBBLE_TRY(const auto old_group_size, fields.integer("q_group_size"));
  NIBBLE_TRY(const auto zero_point, fields.boolean("zero_point"));
  NIBBLE_TRY(const auto version, fields.string("version"));
  if (bits.value_or(old_bits.value_or(4)) != 4)
    return fail(ErrorCode::kUnsupported, "{}: \"bits\" is {}; AWQ has 4", what, bits.value_or(old_bits.value_or(4)));
  AwqLayout layout;
  layout.group_size = group_size.value_or(old_group_size.value_or(128));
  layout.zero_point = zero_point.value_or(true);
  if (layout.group_size == 0 || layout.group_size < -1)
    return fail(ErrorCode::kCorrupt, "{}: \"group_size\" is {}", what, layout.group_size);
  std::string name = version.value_or("gemm");
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (name == "marlin")
    return fail(ErrorCode::kUnsupported, "{}: the version \"marlin\" is made for one kernel and not readable", what);
  layout.gemv = name.starts_with("gemv");
  std::vector<FamilyModule> modules;
  for (const std::string& module : modules_with(input.tensors, ".qweight")) {
    ModuleTensors tensors(input, module);
    NIBBLE_TRY(FamilyModule opened, open_awq_module(tensors, layout));
    modules.push_back(std::move(opened));
  }
  return modules;
}

// ---- writing: the GEMM version ----

Status can_express(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols) {
  if (scheme.code.kind != CodeFormat::Kind::kInteger || scheme.code.bits != 4 || !scheme.scale || scheme.offset ||
      scheme.post_scale != 1.0f || scheme.zero_kind == ZeroKind::kReal ||
      scheme.activations.kind != ActivationScheme::Kind::kNone)
    return fail(ErrorCode::kUnsupported, "AWQ holds 4-bit integers, not {}", to_string(scheme));
  const PlaneFormat& scale = *scheme.scale;
  const Grouping& grouping = scale.grouping;
  const bool groups =
      grouping.kind == Grouping::Kind::kRow || (grouping.kind == Grouping::Kind::kColumns && cols % grouping.size == 0);
  if (!groups || scale.nested || scale.divides || scale.element != ElementType::kF16)
    return fail(ErrorCode::kUnsupported, "AWQ has F16 scales per row or per group that divides the {} columns, not {}",
                cols, to_string(scheme));
  if (scheme.zero_kind == ZeroKind::kInteger && (scheme.zero.nested || scheme.zero.grouping != grouping))
    return fail(ErrorCode::kUnsupported, "AWQ has zero points grouped like the scales");
  if (rows % 8 != 0) return fail(ErrorCode::kUnsupported, "AWQ needs a multiple of 8 rows, not {}", rows);
  return {};
}

Result<std::vector<EncodedPlan>> plan(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols,
                                      const std::string& module) {
  NIBBLE_TRY_STATUS(can_express(scheme, rows, cols));
  const std::int64_t groups = scheme.scale->grouping.entries_per_row(rows, cols);
  return std::vector<EncodedPlan>{{module + ".qweight", {cols, rows / 8}, ElementType::kI32, -1},
                                  {module + ".qzeros", {groups, rows / 8}, ElementType::kI32, -1},
                                  {module + ".scales", {groups, rows}, ElementType::kF16, -1}};
}

/// The words of the zero points; symmetric codes have their bias in every field.
Result<std::vector<std::uint32_t>> pack_zeros(const QuantizedMatrix& m, std::int64_t groups) {
  const auto bias = static_cast<std::uint32_t>(m.scheme.code.bias);
  const bool symmetric = m.scheme.zero_kind == ZeroKind::kNone;
  std::vector<std::uint32_t> words(static_cast<std::size_t>(groups * m.rows / 8), symmetric ? 0x11111111u * bias : 0);
  for (std::int64_t row = 0; !symmetric && row < m.rows; ++row) {
    for (std::int64_t g = 0; g < groups; ++g) {
      std::int16_t zero;
      std::memcpy(&zero, m.zero.entries.data() + (row * groups + g) * 2, 2);
      const int field = zero + m.scheme.code.bias;
      if (field < 0 || field > 15)
        return fail(ErrorCode::kInvalidArgument, "the zero point {} does not fit in 4 bits", field);
      words[static_cast<std::size_t>(g * (m.rows / 8) + row / 8)] |= static_cast<std::uint32_t>(field)
                                                                     << (4 * kAwqNibble[row % 8]);
    }
  }
  return words;
}

Status encode(const QuantizedMatrix& m, const std::string& module, const EncodedSink& sink) {
  const std::int64_t groups = m.scheme.scale->grouping.entries_per_row(m.rows, m.cols);
  thread_local std::vector<std::uint32_t>
      weight;  // whole matrices: kept, or the system would clear its pages each time
  weight.resize(static_cast<std::size_t>(m.cols * m.rows / 8));
  pack_awq_words(m.codes.data(), m.rows / 8, m.cols, weight.data());
  NIBBLE_TRY_STATUS(sink(0, 0, std::as_bytes(std::span(weight))));
  const auto zeros = pack_zeros(m, groups);
  if (!zeros.ok()) return with_context(zeros.error(), "module \"" + module + "\"");
  NIBBLE_TRY_STATUS(sink(1, 0, std::as_bytes(std::span(*zeros))));
  std::vector<std::byte> scales(m.scale.entries.size());
  for (std::int64_t r = 0; r < m.rows; ++r)
    for (std::int64_t g = 0; g < groups; ++g)
      std::memcpy(scales.data() + (g * m.rows + r) * 2, m.scale.entries.data() + (r * groups + g) * 2, 2);
  return sink(2, 0, scales);
}

std::int64_t group_size_of(const QuantScheme& scheme) {
  const Grouping& grouping = scheme.scale->grouping;
  return grouping.kind == Grouping::Kind::kColumns ? grouping.size : -1;
}

/// The configuration has one group size.
Result<QuantScheme> scheme_among(const QuantScheme& scheme, std::span<const QuantScheme> all) {
  for (const QuantScheme& other : all)
    if (group_size_of(other) != group_size_of(scheme))
      return fail(ErrorCode::kUnsupported, "AWQ has one size of groups for all modules, here are {} and {}",
                  to_string(scheme), to_string(other));
  return scheme;
}

std::int64_t encode_row_step(const QuantScheme&) { return 0; }

Json quantization_config(std::span<const WrittenModule> modules, std::span<const std::string> unquantized) {
  std::int64_t group_size = 128;
  bool zero_point = false;
  for (const WrittenModule& module : modules) {
    group_size = group_size_of(module.scheme);
    zero_point = zero_point || module.scheme.zero_kind == ZeroKind::kInteger;
  }
  Json skipped = nullptr;
  if (!unquantized.empty()) skipped = std::vector<std::string>(unquantized.begin(), unquantized.end());
  return {{"quant_method", "awq"},    {"bits", 4},         {"group_size", group_size},
          {"zero_point", zero_point}, {"version", "gemm"}, {"modules_to_not_convert", skipped}};
}

}  // namespace

constinit const Family kAwqFamily{
    .name = "awq",
    .detect = detect,
    .open = open,
    .can_express = can_express,
    .plan = plan,
    .encode = encode,
    .quantization_config = quantization_config,
    .scheme_among = scheme_among,
    .encode_row_step = encode_row_step,
};

}  // namespace nibble
