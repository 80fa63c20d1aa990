// Reading and writing of FP8 weights with multipliers.
#include "io/fp8.h"

#include <algorithm>

#include "io/refused_fields.h"
#include "io/stored_matrix.h"

namespace nibble {
namespace {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr auto kF16 = ElementType::kF16;
constexpr auto kBf16 = ElementType::kBf16;
constexpr auto kF32 = ElementType::kF32;
constexpr auto kU8 = ElementType::kU8;
constexpr auto kE4m3 = ElementType::kE4m3;
constexpr auto kE8m0 = ElementType::kE8m0;
std::size_t element_size(ElementType type) { return static_cast<std::size_t>(element_info(type).bits) / 8; }

}  // namespace

Result<FamilyModule> open_fp8_module(ModuleTensors& tensors, std::string_view scale_suffix, std::int64_t block_rows,
                                     std::int64_t block_cols, const ActivationScheme& activations) {
  NIBBLE_TRY(const StoredTensor* weight, tensors.need(".weight", {kE4m3}, {kAnyExtent, kAnyExtent}));
  NIBBLE_TRY(const StoredTensor* scale, tensors.need(scale_suffix, {kF32, kBf16, kF16, kE8m0, kU8}));
  StoredParts parts;
  parts.rows = weight->shape[0];
  parts.cols = weight->shape[1];
  std::int64_t count = 1;
  for (const std::int64_t extent : scale->shape) count *= extent;
  // The block size comes from the configuration: a grid of 5 rows over 576 does not say that they are 128 high.
  Grouping grouping = Grouping::tensor();
  if (block_rows > 0 && count == divide_up(parts.rows, block_rows) * divide_up(parts.cols, block_cols)) {
    grouping = Grouping::block(block_rows, block_cols);
    parts.row_step = block_rows;
  } else if (count == parts.rows && (block_rows == 0 || count == 1)) {
    grouping = count == 1 ? Grouping::tensor() : Grouping::row();
  } else if (count != 1 || block_rows > 0) {
    return tensors.error(ErrorCode::kCorrupt, "\"{}\" has the shape {}, the weight is {} x {} in blocks of {} x {}",
                         scale->name, shape_text(scale->shape), parts.rows, parts.cols, block_rows, block_cols);
  }
  const ElementType element = scale->element == kU8 ? kE8m0 : scale->element;
  parts.scheme.code = CodeFormat::floating(kE4m3);
  parts.scheme.scale = PlaneFormat{grouping, element, false, std::nullopt};
  parts.scheme.activations = activations;
  parts.scale.entries = entries_in_order(HeldBytes(*scale), element_size(element));
  parts.codes = byte_rows(HeldBytes(*weight), parts.cols);
  parts.by_rows = {HeldBytes(*weight)};
  return tensors.finish(make_stored_matrix(std::move(parts)));
}

namespace {

/// DeepSeek's FP4 experts: two E2M1 codes per byte (stored as I8), an E8M0 scale per 32.
Result<FamilyModule> open_fp4_expert(ModuleTensors& tensors) {
  NIBBLE_TRY(const StoredTensor* weight, tensors.need(".weight", {ElementType::kI8, kU8}, {kAnyExtent, kAnyExtent}));
  StoredParts parts;
  parts.rows = weight->shape[0];
  parts.cols = weight->shape[1] * 2;
  if (parts.cols > kMaxExtent) return tensors.error(ErrorCode::kCorrupt, "{} columns are not possible", parts.cols);
  NIBBLE_TRY(const StoredTensor* scale,
             tensors.need_count(".scale", {kE8m0, kU8}, parts.rows * divide_up(parts.cols, 32)));
  parts.scheme.code = CodeFormat::floating(ElementType::kF4);
  parts.scheme.scale = PlaneFormat{Grouping::columns(32), kE8m0, false, std::nullopt};
  parts.scale.entries = entries_in_order(HeldBytes(*scale), 1);
  parts.codes = packed_rows(HeldBytes(*weight), 4, parts.cols, static_cast<std::uint64_t>(weight->shape[1]));
  parts.by_rows = {HeldBytes(*weight)};
  return tensors.finish(make_stored_matrix(std::move(parts)));
}

/// A scale in E8M0 or of a power of two is a scale like others; experts in FP4 are told by their tensors.
constexpr RefusedField kRefused[] = {
    {"fmt", "e4m3 e4m3fn float8_e4m3fn"}, {"scale_fmt", "float ue8m0"}, {"expert_dtype", "fp8 fp4"}};

struct Fp8Config {
  std::int64_t block_rows = 0;
  std::int64_t block_cols = 0;
  ActivationScheme activations;
};

Result<Fp8Config> parse_config(const FamilyInput& input) {
  const std::string what = input.what + ": quantization_config";
  const JsonFields fields(input.quantization_config, what);
  NIBBLE_TRY_STATUS(refuse_fields(input.quantization_config, kRefused, what));
  Fp8Config config;
  if (const Json* block = fields.child("weight_block_size")) {
    const auto extents = extent_pair(*block);
    if (!extents) return fail(ErrorCode::kCorrupt, "{}: \"weight_block_size\" must be two positive numbers", what);
    config.block_rows = extents->first;
    config.block_cols = extents->second;
  }
  NIBBLE_TRY(const auto scheme, fields.string("activation_scheme"));
  NIBBLE_TRY(const auto method, fields.string("quant_method"));
  if (!method) return config;
  config.activations.element = kE4m3;
  config.activations.kind = scheme == "static" ? ActivationScheme::Kind::kStatic : ActivationScheme::Kind::kDynamic;
  if (config.block_cols > 0) config.activations.group = config.block_cols;
  return config;
}

bool detect(const FamilyInput& input) {
  if (input.is_gguf) return false;
  const Json& config = input.quantization_config;
  if (config.is_object() && config.contains("quant_method"))
    return config["quant_method"] == "fp8" || config["quant_method"] == "fbgemm_fp8";
  return std::any_of(input.tensors.all().begin(), input.tensors.all().end(),
                     [](const StoredTensor& tensor) { return tensor.name.ends_with(".weight_scale_inv"); });
}

Result<std::vector<FamilyModule>> open(const FamilyInput& input) {
  NIBBLE_TRY(Fp8Config config, parse_config(input));
  if (!input.quantization_config.is_object()) config.block_rows = config.block_cols = 128;
  std::vector<FamilyModule> modules;
  for (const std::string& name : modules_with(input.tensors, ".weight")) {
    ModuleTensors tensors(input, name);
    const ElementType element = tensors.find(".weight")->element;
    std::string_view scale;
    for (const std::string_view suffix : {".weight_scale_inv", ".weight_scale", ".scale"})
      if (scale.empty() && tensors.find(suffix) != nullptr) scale = suffix;
    if (scale.empty()) continue;
    if (element == kE4m3) {
      const bool block = scale != ".weight_scale";
      NIBBLE_TRY(FamilyModule module, open_fp8_module(tensors, scale, block ? config.block_rows : 0,
                                                      block ? config.block_cols : 0, config.activations));
      modules.push_back(std::move(module));
    } else if (element == ElementType::kI8 && scale == ".scale") {
      NIBBLE_TRY(FamilyModule module, open_fp4_expert(tensors));
      modules.push_back(std::move(module));
    }
  }
  return modules;
}

// ---- writing: block and tensor scales ----

Status can_express(const QuantScheme& scheme, std::int64_t, std::int64_t) {
  const bool code = scheme.code == CodeFormat::floating(kE4m3) && scheme.scale && !scheme.offset &&
                    scheme.zero_kind == ZeroKind::kNone && scheme.post_scale == 1.0f;
  if (code) {
    const PlaneFormat& scale = *scheme.scale;
    const bool block = scale.grouping.kind == Grouping::Kind::kBlock;
    const bool element = scale.element == kF32 || (block && scale.element == kBf16);
    if ((block || scale.grouping.kind == Grouping::Kind::kTensor) && element && !scale.nested && !scale.divides)
      return {};
  }
  return fail(ErrorCode::kUnsupported, "the family fp8 holds fp8-e4m3 with f32 scales per tensor or block, not {}",
              to_string(scheme));
}

bool is_block(const QuantScheme& scheme) { return scheme.scale->grouping.kind == Grouping::Kind::kBlock; }

Result<std::vector<EncodedPlan>> plan(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols,
                                      const std::string& module) {
  NIBBLE_TRY_STATUS(can_express(scheme, rows, cols));
  const Grouping& grouping = scheme.scale->grouping;
  std::vector<EncodedPlan> planned = {{module + ".weight", {rows, cols}, kE4m3, -1}};
  if (is_block(scheme))
    planned.push_back({module + ".weight_scale_inv",
                       {divide_up(rows, grouping.rows), divide_up(cols, grouping.size)},
                       scheme.scale->element,
                       -1});
  else
    planned.push_back({module + ".weight_scale", {}, kF32, -1});
  return planned;
}

Status encode(const QuantizedMatrix& m, const std::string&, const EncodedSink& sink) {
  NIBBLE_TRY_STATUS(sink(0, static_cast<std::uint64_t>(m.row_begin * m.cols), std::as_bytes(std::span(m.codes))));
  const EntryRange owned = owned_entries(m.scheme.scale->grouping, m.rows, m.cols, m.row_begin, m.row_count);
  if (owned.count == 0) return {};
  return sink(1, static_cast<std::uint64_t>(owned.first) * element_size(m.scheme.scale->element), m.scale.entries);
}

std::int64_t encode_row_step(const QuantScheme& scheme) { return is_block(scheme) ? scheme.scale->grouping.rows : 1; }

Json quantization_config(std::span<const WrittenModule> modules, std::span<const std::string> unquantized) {
  const std::vector<std::string> skipped(unquantized.begin(), unquantized.end());
  Json config = {{"quant_method", "fp8"},
                 {"fmt", "e4m3"},
                 {"activation_scheme", "dynamic"},
                 {"modules_to_not_convert", skipped},
                 {"ignored_layers", skipped}};
  if (modules.empty()) return config;
  const QuantScheme& scheme = modules.front().scheme;
  if (is_block(scheme)) config["weight_block_size"] = {scheme.scale->grouping.rows, scheme.scale->grouping.size};
  if (scheme.activations.kind == ActivationScheme::Kind::kStatic) config["activation_scheme"] = "static";
  return config;
}

}  // namespace

constinit const Family kFp8Family{
    .name = "fp8",
    .detect = detect,
    .open = open,
    .can_express = can_express,
    .plan = plan,
    .encode = encode,
    .quantization_config = quantization_config,
    .encode_row_step = encode_row_step,
};

}  // namespace nibble
