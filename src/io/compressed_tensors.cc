// Opening compressed-tensors checkpoints. Tensors say what a module is; the configuration adds widths, block heights
// and activations, and is checked against them. Writing is in compressed_tensors_write.cc.
#include "io/compressed_tensors.h"

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "io/bit_packing.h"
#include "io/compressed_tensors_config.h"
#include "io/compressed_tensors_write.h"
#include "io/module_tensors.h"
#include "io/stored_matrix.h"
#include "io/word_columns.h"

namespace nibble {
namespace {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr auto kF16 = ElementType::kF16;
constexpr auto kBf16 = ElementType::kBf16;
constexpr auto kF32 = ElementType::kF32;
constexpr auto kU8 = ElementType::kU8;
constexpr auto kI8 = ElementType::kI8;
constexpr auto kI32 = ElementType::kI32;
constexpr auto kI64 = ElementType::kI64;
constexpr auto kE4m3 = ElementType::kE4m3;
constexpr auto kE8m0 = ElementType::kE8m0;

std::size_t element_size(ElementType type) { return static_cast<std::size_t>(element_info(type).bits) / 8; }

/// A module while it is opened.
struct CtModule {
  ModuleTensors& tensors;
  const CtGroup& group;
  bool padded_words;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t slice_rows = 0;  ///< of one matrix of a 3-D tensor
  StoredParts parts = {};
};

/// Sets the rows of the module: all extents but the last, the matrices of a 3-D tensor one after another.
Status set_rows(CtModule& m, const StoredTensor& tensor) {
  const auto& shape = tensor.shape;
  if (shape.size() < 2 || shape.size() > 3)
    return m.tensors.error(ErrorCode::kCorrupt, "\"{}\" has the shape {}, expected 2 or 3 dimensions", tensor.name,
                           shape_text(shape));
  m.slice_rows = shape[shape.size() - 2];
  m.rows = m.slice_rows * (shape.size() == 3 ? shape[0] : 1);  // both below 2^31
  if (m.rows < 1 || m.rows > kMaxExtent || shape.back() < 1)
    return m.tensors.error(ErrorCode::kCorrupt, "\"{}\" has the impossible shape {}", tensor.name, shape_text(shape));
  return {};
}

/// The grouping that the strategy asks for, checked against the number of scales; where they disagree, the number of
/// scales decides as long as it leaves no choice.
Result<Grouping> scale_grouping(const CtModule& m, const StoredTensor& scale) {
  std::int64_t count = 1;
  for (const std::int64_t extent : scale.shape) count *= extent;
  const CtArgs& args = m.group.weights;
  if (args.strategy == "tensor" && count == 1) return Grouping::tensor();
  if (args.strategy == "channel" && count == m.rows) return Grouping::row();
  const bool whole_blocks = m.rows == m.slice_rows || (args.block_rows > 0 && m.slice_rows % args.block_rows == 0);
  if (args.strategy == "block" && args.block_rows > 0 && whole_blocks &&
      count == divide_up(m.rows, args.block_rows) * divide_up(m.cols, args.block_cols))
    return Grouping::block(args.block_rows, args.block_cols);
  if (args.strategy.ends_with("group") && args.group_size > 0 && count == m.rows * divide_up(m.cols, args.group_size))
    return Grouping::columns(args.group_size);
  const std::int64_t groups = scale.shape.empty() ? 0 : scale.shape.back();
  const bool per_row = groups > 0 && count == m.rows * groups;
  if (per_row && groups == 1) return Grouping::row();
  if (count == 1) return Grouping::tensor();
  if (per_row && m.cols % groups == 0) return Grouping::columns(m.cols / groups);
  return m.tensors.error(
      ErrorCode::kCorrupt,
      "\"weight_scale\" has the shape {}, which fits neither the strategy \"{}\" of group \"{}\" nor "
      "a weight of {} x {}",
      shape_text(scale.shape), args.strategy, m.group.key, m.rows, m.cols);
}

Status read_scale(CtModule& m) {
  NIBBLE_TRY(const StoredTensor* scale, m.tensors.need(".weight_scale", {kF16, kBf16, kF32}));
  NIBBLE_TRY(const Grouping grouping, scale_grouping(m, *scale));
  m.parts.scheme.scale = PlaneFormat{grouping, scale->element, false, std::nullopt};
  m.parts.scale.entries = entries_in_order(HeldBytes(*scale), element_size(scale->element));
  if (grouping.kind == Grouping::Kind::kBlock) m.parts.row_step = grouping.rows;
  return {};
}

/// weight_g_idx: which group each column belongs to. Uninitialised (-1) and ascending ones say nothing new.
Status read_group_index(CtModule& m) {
  if (m.tensors.find(".weight_g_idx") == nullptr) return {};
  NIBBLE_TRY(const StoredTensor* index, m.tensors.need_count(".weight_g_idx", {kI32, kI64}, m.cols));
  Grouping& grouping = m.parts.scheme.scale->grouping;
  if (grouping.kind != Grouping::Kind::kColumns) return {};
  const std::int64_t groups = divide_up(m.cols, grouping.size);
  std::vector<std::int32_t> group_index(static_cast<std::size_t>(m.cols));
  bool ascending = true;
  for (std::int64_t c = 0; c < m.cols; ++c) {
    const std::int64_t group = integer_element(*index, c);
    if (group == -1) return {};
    if (group < 0 || group >= groups)
      return m.tensors.error(ErrorCode::kCorrupt, "\"weight_g_idx\" holds {} for column {}, there are {} groups", group,
                             c, groups);
    ascending = ascending && group == c / grouping.size;
    group_index[static_cast<std::size_t>(c)] = static_cast<std::int32_t>(group);
  }
  if (ascending) return {};
  grouping = Grouping::indexed(groups);
  m.parts.group_index = std::move(group_index);
  return {};
}

/// Zero points of asymmetric integers. The hub holds stored codes and zero points unsigned: both are 2^(bits-1) above
/// the library's signed ones.
Status read_zero(CtModule& m, bool packed_layout) {
  if (m.tensors.find(".weight_zero_point") == nullptr) {
    if (m.group.weights.symmetric) return {};
    return m.tensors.error(ErrorCode::kCorrupt, "group \"{}\" is asymmetric, but \"weight_zero_point\" is missing",
                           m.group.key);
  }
  NIBBLE_TRY(const StoredTensor* zero, m.tensors.need(".weight_zero_point", {kI8, kI32, kI64, kF16, kBf16, kF32}));
  if (m.group.weights.symmetric) return {};  // stored by some writers, and without meaning
  const Grouping grouping = m.parts.scheme.scale->grouping;
  const std::int64_t entries = grouping.entries(m.rows, m.cols);
  const int bits = m.parts.scheme.code.bits;
  m.parts.scheme.code.bias = 0;
  m.parts.scheme.zero_kind = ZeroKind::kInteger;
  m.parts.scheme.zero = PlaneFormat{grouping, ElementType::kI16, false, std::nullopt};
  const HeldBytes held(*zero);
  if (zero->element == kI8) {
    NIBBLE_TRY_STATUS(m.tensors.need_count(".weight_zero_point", {kI8}, entries));
    m.parts.zero.entries = zero_entries([held, bits](std::int64_t entry) {
      return static_cast<std::int8_t>(held.bytes[static_cast<std::size_t>(entry)]) + (1 << (bits - 1));
    });
    return {};
  }
  if (zero->element != kI32 || !packed_layout)
    return m.tensors.error(ErrorCode::kCorrupt, "\"weight_zero_point\" is {}, expected {}",
                           element_info(zero->element).safetensors, packed_layout ? "I32 or I8" : "I8");
  const std::int64_t columns = grouping.row_aligned() ? grouping.entries_per_row(m.rows, m.cols) : 1;
  const std::int64_t fields = entries / columns;
  const std::int64_t dense = static_cast<std::int64_t>(packed_word_bytes(static_cast<std::uint64_t>(fields), bits) / 4);
  const std::int64_t padded = divide_up(fields, 32 / bits);
  const bool is_padded = m.padded_words;
  NIBBLE_TRY_STATUS(m.tensors.need(".weight_zero_point", {kI32}, {is_padded ? padded : dense, columns}));
  m.parts.zero.entries = zero_entries([held, bits, columns, is_padded](std::int64_t entry) {
    const WordColumns words{held.data(), columns};
    const std::int64_t row = entry / columns;
    const std::int64_t bit = is_padded ? row / (32 / bits) * 32 + row % (32 / bits) * bits : row * bits;
    return static_cast<std::int32_t>(words.code_at(entry % columns, bit, bits));
  });
  return {};
}

/// Columns of a packed weight: `weight_shape` says; without it they follow from the scales or the words.
Result<std::int64_t> packed_cols(CtModule& m, std::int64_t words) {
  const int bits = m.group.weights.bits;
  if (m.tensors.find(".weight_shape") == nullptr) {
    const StoredTensor* scale = m.tensors.find(".weight_scale");
    const bool grouped = m.group.weights.strategy == "group" && scale != nullptr && scale->shape.size() >= 2;
    const std::int64_t cols =
        grouped ? std::min(scale->shape.back(), kMaxExtent) * m.group.weights.group_size : words * 32 / bits;
    if (cols < 1 || cols > kMaxExtent) return m.tensors.error(ErrorCode::kCorrupt, "{} columns are not possible", cols);
    return cols;
  }
  NIBBLE_TRY(const StoredTensor* shape, m.tensors.need(".weight_shape", {kI64, kI32}));
  if (shape->shape.size() != 1 || shape->shape[0] < 2 || shape->shape[0] > 3)
    return m.tensors.error(ErrorCode::kCorrupt, "\"weight_shape\" has the shape {}", shape_text(shape->shape));
  const std::int64_t cols = integer_element(*shape, shape->shape[0] - 1);
  const std::int64_t rows = integer_element(*shape, shape->shape[0] - 2);
  if (cols < 1 || cols > kMaxExtent || rows < 1 || m.rows % rows != 0)
    return m.tensors.error(ErrorCode::kCorrupt, "\"weight_shape\" is [{}, {}], \"weight_packed\" has {} rows", rows,
                           cols, m.rows);
  return cols;
}

Result<FamilyModule> open_packed(CtModule& m) {
  const int bits = m.group.weights.bits;
  NIBBLE_TRY(const StoredTensor* packed, m.tensors.need(".weight_packed", {kI32}));
  NIBBLE_TRY_STATUS(set_rows(m, *packed));
  const std::int64_t words = packed->shape.back();
  NIBBLE_TRY(m.cols, packed_cols(m, words));
  if (m.group.weights.is_float)
    return m.tensors.error(ErrorCode::kCorrupt, "group \"{}\" has float weights, but \"weight_packed\" is I32",
                           m.group.key);
  const auto cols = static_cast<std::uint64_t>(m.cols);
  const auto dense = static_cast<std::int64_t>(packed_word_bytes(cols, bits) / 4);
  const std::int64_t padded = divide_up(m.cols, 32 / bits);
  if (words != dense && words != padded)
    return m.tensors.error(ErrorCode::kCorrupt,
                           "\"weight_packed\" has {} words per row; {} columns of {} bits take {} (or {} before 0.17)",
                           words, m.cols, bits, dense, padded);
  // Where both layouts have the same width, the version of the writer decides.
  m.padded_words = 32 % bits != 0 && words == padded && (words != dense || m.padded_words);
  m.parts.scheme.code = CodeFormat::integer(bits, 1 << (bits - 1));
  const HeldBytes held(*packed);
  const auto row_bytes = static_cast<std::uint64_t>(words) * 4;
  m.parts.codes = packed_rows(held, bits, m.cols, row_bytes);
  if (m.padded_words)
    m.parts.codes = [held, bits, row_bytes, cols](std::int64_t begin, std::int64_t count,
                                                  std::uint8_t* codes) -> Status {
      for (std::int64_t r = 0; r < count; ++r)
        unpack_word_fields(held.data() + static_cast<std::uint64_t>(begin + r) * row_bytes, bits, cols,
                           codes + static_cast<std::uint64_t>(r) * cols);
      return {};
    };
  NIBBLE_TRY_STATUS(read_scale(m));
  NIBBLE_TRY_STATUS(read_group_index(m));
  NIBBLE_TRY_STATUS(read_zero(m, true));
  m.parts.by_rows = {held};
  m.parts.rows = m.rows, m.parts.cols = m.cols;
  return m.tensors.finish(make_stored_matrix(std::move(m.parts)));
}

/// FP4: U8 with two codes per byte; the type of the scales tells NVFP4 from MXFP4.
Result<FamilyModule> open_fp4(CtModule& m) {
  NIBBLE_TRY(const StoredTensor* packed, m.tensors.need(".weight_packed", {kU8}));
  NIBBLE_TRY_STATUS(set_rows(m, *packed));
  m.cols = packed->shape.back() * 2;
  if (m.cols > kMaxExtent) return m.tensors.error(ErrorCode::kCorrupt, "{} columns are not possible", m.cols);
  NIBBLE_TRY(const StoredTensor* scale, m.tensors.need(".weight_scale", {kE4m3, kU8, kE8m0}));
  const bool nv = scale->element == kE4m3;
  const std::int64_t group = nv ? 16 : 32;
  NIBBLE_TRY_STATUS(m.tensors.need_count(".weight_scale", {scale->element}, m.rows * divide_up(m.cols, group)));
  QuantScheme& scheme = m.parts.scheme;
  scheme.code = CodeFormat::floating(ElementType::kF4);
  scheme.scale = PlaneFormat{Grouping::columns(group), kE8m0, false, std::nullopt};
  m.parts.scale.entries = entries_in_order(HeldBytes(*scale), 1);
  if (nv) {
    NIBBLE_TRY(const StoredTensor* global, m.tensors.need_count(".weight_global_scale", {kF32}, 1));
    scheme.scale->element = kF16;
    scheme.scale->nested = NestedFormat{CodeFormat::floating(kE4m3), kF32, 0, true, false};
    m.parts.scale.codes = m.parts.scale.entries;
    m.parts.scale.outer = entries_in_order(HeldBytes(*global), 4);
  }
  m.parts.codes = packed_rows(HeldBytes(*packed), 4, m.cols, static_cast<std::uint64_t>(packed->shape.back()));
  m.parts.by_rows = {HeldBytes(*packed)};
  m.parts.rows = m.rows, m.parts.cols = m.cols;
  return m.tensors.finish(make_stored_matrix(std::move(m.parts)));
}

/// Codes narrower than the byte that holds them, sign-extended.
CodeReader narrow_bytes(HeldBytes held, std::int64_t cols, int bits, std::string module) {
  return [held = std::move(held), cols, bits, module = std::move(module)](std::int64_t begin, std::int64_t count,
                                                                          std::uint8_t* codes) -> Status {
    const std::byte* from = held.data() + begin * cols;
    const int half = 1 << (bits - 1);
    unsigned all = 0;
    for (std::int64_t i = 0; i < count * cols; ++i) {
      codes[i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(from[i]) + half);
      all |= codes[i];
    }
    if ((all >> bits) != 0)
      return fail(ErrorCode::kCorrupt, "module \"{}\": \"weight\" holds a value that is no {}-bit integer", module,
                  bits);
    return {};
  };
}

/// `weight` with one code per byte: I8 or FP8.
Result<FamilyModule> open_bytes(CtModule& m) {
  NIBBLE_TRY(const StoredTensor* weight, m.tensors.need(".weight", {kI8, kE4m3}));
  NIBBLE_TRY_STATUS(set_rows(m, *weight));
  m.cols = weight->shape.back();
  const HeldBytes held(*weight);
  const int bits = m.group.weights.is_float ? 8 : m.group.weights.bits;
  const StoredTensor* scale = m.tensors.find(".weight_scale");
  if (weight->element == kI8) {
    m.parts.scheme.code = CodeFormat::integer(bits, 1 << (bits - 1));
    m.parts.codes = bits == 8 ? byte_rows(held, m.cols, 0x80) : narrow_bytes(held, m.cols, bits, m.tensors.module());
    NIBBLE_TRY_STATUS(read_scale(m));
    NIBBLE_TRY_STATUS(read_zero(m, false));
  } else {
    m.parts.scheme.code = CodeFormat::floating(kE4m3);
    m.parts.codes = byte_rows(held, m.cols);
    if (scale != nullptr && (scale->element == kU8 || scale->element == kE8m0)) {
      NIBBLE_TRY_STATUS(m.tensors.need_count(".weight_scale", {kU8, kE8m0}, m.rows * divide_up(m.cols, 32)));
      m.parts.scheme.scale = PlaneFormat{Grouping::columns(32), kE8m0, false, std::nullopt};
      m.parts.scale.entries = entries_in_order(HeldBytes(*scale), 1);
    } else {
      NIBBLE_TRY_STATUS(read_scale(m));
    }
    if (m.tensors.find(".weight_zero_point") != nullptr)
      NIBBLE_TRY_STATUS(m.tensors.need(".weight_zero_point", {kI8, kE4m3, kF16, kBf16, kF32}));
  }
  m.parts.by_rows = {held};
  m.parts.rows = m.rows, m.parts.cols = m.cols;
  return m.tensors.finish(make_stored_matrix(std::move(m.parts)));
}

/// The modules that have compressed weights, in file order.
std::vector<std::string> compressed_modules(const TensorSet& tensors) {
  std::vector<std::string> modules = modules_with(tensors, ".weight_packed");
  for (std::string& module : modules_with(tensors, ".weight_scale")) {
    const StoredTensor* weight = tensors.find(module + ".weight");
    if (tensors.find(module + ".weight_packed") != nullptr) continue;
    if (weight != nullptr && (weight->element == kI8 || weight->element == kE4m3)) modules.push_back(std::move(module));
  }
  return modules;
}

bool detect(const FamilyInput& input) {
  if (input.is_gguf) return false;
  const Json& config = input.quantization_config;
  if (config.is_object() && config.contains("quant_method")) return config["quant_method"] == "compressed-tensors";
  for (const StoredTensor& tensor : input.tensors.all())
    if (tensor.name.ends_with(".weight_packed")) return true;
  return false;
}

Result<FamilyModule> open_module(const FamilyInput& input, const std::string& name, const CtGroup& group,
                                 bool padded_words) {
  ModuleTensors tensors(input, name);
  CtModule m{tensors, group, padded_words};
  m.parts.scheme.activations = group.activations;
  const StoredTensor* packed = tensors.find(".weight_packed");
  return packed == nullptr ? open_bytes(m) : packed->element == kU8 ? open_fp4(m) : open_packed(m);
}

Result<std::vector<FamilyModule>> open(const FamilyInput& input) {
  NIBBLE_TRY(CtConfig config, CtConfig::parse(input.quantization_config, input.what));
  std::vector<FamilyModule> modules;
  for (const std::string& name : compressed_modules(input.tensors)) {
    NIBBLE_TRY(const CtGroup* group, config.group_of(name));
    NIBBLE_TRY(FamilyModule module, open_module(input, name, *group, config.padded_words()));
    modules.push_back(std::move(module));
  }
  return modules;
}

}  // namespace

Result<std::vector<FamilyModule>> open_compressed_modules(const FamilyInput& input) {
  const CtGroup group{"(none)", {}, CtArgs{}, {}};
  std::vector<FamilyModule> modules;
  for (const std::string& name : compressed_modules(input.tensors)) {
    NIBBLE_TRY(FamilyModule module, open_module(input, name, group, false));
    modules.push_back(std::move(module));
  }
  return modules;
}

constinit const Family kCompressedTensorsFamily{
    .name = "compressed-tensors",
    .detect = detect,
    .open = open,
    .can_express = ct_can_express,
    .plan = ct_plan,
    .encode = ct_encode,
    .quantization_config = ct_write_config,
    .mixes_schemes = true,
    .encode_row_step = ct_encode_row_step,
};

}  // namespace nibble
