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

/// Experts of llama4 by fbgemm: codes [experts, inputs, outputs], a scale per expert and output. The hub sees the
/// experts' outputs as rows, one expert after another.
Result<FamilyModule> open_fused_experts(ModuleTensors& tensors, const ActivationScheme& activations) {
  NIBBLE_TRY(const StoredTensor* weight, tensors.need("", {kE4m3}, {kAnyExtent, kAnyExtent, kAnyExtent}));
  const std::int64_t outputs = weight->shape[2];
  StoredParts parts;
  parts.rows = weight->shape[0] * outputs;
  parts.cols = weight->shape[1];
  if (parts.rows > kMaxExtent) return tensors.error(ErrorCode::kCorrupt, "{} rows are not possible", parts.rows);
  NIBBLE_TRY(const StoredTensor* scale, tensors.need_count("_scale", {kF32, kBf16, kF16}, parts.rows));
  parts.scheme.code = CodeFormat::floating(kE4m3);
  parts.scheme.scale = PlaneFormat{Grouping::row(), scale->element, false, std::nullopt};
  parts.scheme.activations = activations;
  parts.scale.entries = entries_in_order(HeldBytes(*scale), element_size(scale->element));
  parts.codes = [held = HeldBytes(*weight), outputs, cols = parts.cols](std::int64_t begin, std::int64_t count,
                                                                        std::uint8_t* codes) -> Status {
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t first = (begin + done) % outputs;
      const std::int64_t run = std::min(count - done, outputs - first);  // rows of one expert
      const std::byte* from = held.data() + (begin + done) / outputs * cols * outputs + first;
      for (std::int64_t c = 0; c < cols; ++c)
        for (std::int64_t r = 0; r < run; ++r)
          codes[(done + r) * cols + c] = std::to_integer<std::uint8_t>(from[c * outputs + r]);
      done += run;
    }
    return {};
  };
  parts.by_matrix = {HeldBytes(*weight)};
  return tensors.finish(make_stored_matrix(std::move(parts)));
}

/// A scale in E8M0 or of a power of two is a scale like others; experts in FP4 are told by their tensors.
constexpr RefusedField kRefused[] = {
    {"fmt", "e4m3 e4m3fn float8_e4m3fn"}, {"scale_fmt", "float ue8m0"}, {"expert_dtype", "fp8 fp4"}};

struct Fp8Config {
  std::int64_t block_rows = 0;
  std::int64_t block_cols = 0;
  bool guessed_blocks = false;  ///< nothing says the size: DeepSeek's, where there is more than one scale
  ActivationScheme activations;
};

Result<Fp8Config> parse_config(const FamilyInput& input) {
  const std::string what = input.what + ": quantization_config";
  const JsonFields fields(input.quantization_config, what);
  NIBBLE_TRY_STATUS(refuse_fields(input.quantization_config, kRefused, what));
  Fp8Config config;
  config.guessed_blocks = !input.quantization_config.is_object();
  if (config.guessed_blocks) config.block_rows = config.block_cols = 128;
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

/// The module of `name`.weight, when its weight and scale are of a kind that this family holds.
Result<std::optional<FamilyModule>> open_module(const FamilyInput& input, const std::string& name,
                                                const Fp8Config& config) {
  ModuleTensors tensors(input, name);
  const ElementType element = tensors.find(".weight")->element;
  std::string_view suffix;
  for (const std::string_view each : {".weight_scale_inv", ".weight_scale", ".scale"})
    if (suffix.empty() && tensors.find(each) != nullptr) suffix = each;
  if (suffix.empty()) return std::optional<FamilyModule>();
  if (element == kE4m3) {
    const std::vector<std::int64_t>& scales = tensors.find(suffix)->shape;
    const bool one = std::all_of(scales.begin(), scales.end(), [](std::int64_t extent) { return extent == 1; });
    const bool block = suffix != ".weight_scale" && !(one && config.guessed_blocks);
    NIBBLE_TRY(FamilyModule module, open_fp8_module(tensors, suffix, block ? config.block_rows : 0,
                                                    block ? config.block_cols : 0, config.activations));
    return std::optional(std::move(module));
  }
  if (element == ElementType::kI8 && suffix == ".scale") {
    NIBBLE_TRY(FamilyModule module, open_fp4_expert(tensors));
    return std::optional(std::move(module));
  }
  if (element_info(element).bits == 8)
    return tensors.error(ErrorCode::kUnsupported, "the weight is {} with \"{}\" beside it; FP8 is read as F8_E4M3",
                         element_info(element).safetensors, suffix);
  return std::optional<FamilyModule>();
}

/// Weights of all experts in one tensor, which have no ".weight" in their names.
Result<std::vector<FamilyModule>> open_experts(const FamilyInput& input, const Fp8Config& config) {
  std::vector<FamilyModule> modules;
  for (const StoredTensor& tensor : input.tensors.all()) {
    const bool fp8 = tensor.element == kE4m3 || tensor.element == ElementType::kE5m2;
    if (!fp8 || tensor.name.ends_with(".weight")) continue;
    ModuleTensors tensors(input, tensor.name);
    if (tensor.element == kE4m3 && tensors.find("_scale") != nullptr) {
      NIBBLE_TRY(FamilyModule module, open_fused_experts(tensors, config.activations));
      modules.push_back(std::move(module));
    } else if (tensors.find("_scale_inv") != nullptr || tensors.find("_scale") != nullptr) {
      return tensors.error(ErrorCode::kUnsupported, "{} {} is no layout of FP8 weights that Nibble reads",
                           element_info(tensor.element).safetensors, shape_text(tensor.shape));
    }
  }
  return modules;
}

Result<std::vector<FamilyModule>> open(const FamilyInput& input) {
  NIBBLE_TRY(const Fp8Config config, parse_config(input));
  NIBBLE_TRY(std::vector<FamilyModule> modules, open_experts(input, config));
  for (const std::string& name : modules_with(input.tensors, ".weight")) {
    NIBBLE_TRY(std::optional<FamilyModule> module, open_module(input, name, config));
    if (module) modules.push_back(std::move(*module));
  }
  return modules;
}

// ---- writing: block and tensor scales ----

Status can_express(const QuantScheme& scheme, std::int64_t, std::int64_t) {
  const bool activations =
      scheme.activations.kind == ActivationScheme::Kind::kNone || scheme.activations.element == kE4m3;
  const bool code = scheme.code == CodeFormat::floating(kE4m3) && scheme.scale && !scheme.offset &&
                    scheme.zero_kind == ZeroKind::kNone && scheme.post_scale == 1.0f && activations;
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
  std::vector<std::int64_t> scales;  // a scalar, unless there are blocks
  if (is_block(scheme)) scales = {divide_up(rows, grouping.rows), divide_up(cols, grouping.size)};
  return std::vector<EncodedPlan>{{module + ".weight", {rows, cols}, kE4m3, -1},
                                  {module + ".weight_scale_inv", scales, scheme.scale->element, -1}};
}

Status encode(const QuantizedMatrix& m, const std::string&, const EncodedSink& sink) {
  NIBBLE_TRY_STATUS(sink(0, static_cast<std::uint64_t>(m.row_begin * m.cols), std::as_bytes(std::span(m.codes))));
  const EntryRange owned = owned_entries(m.scheme.scale->grouping, m.rows, m.cols, m.row_begin, m.row_count);
  if (owned.count == 0) return {};
  return sink(1, static_cast<std::uint64_t>(owned.first) * element_size(m.scheme.scale->element), m.scale.entries);
}

/// The configuration has one size of blocks and one kind of activations.
Result<QuantScheme> scheme_among(const QuantScheme& scheme, std::span<const QuantScheme> all) {
  const auto is_static = [](const QuantScheme& each) {
    return each.activations.kind == ActivationScheme::Kind::kStatic;
  };
  for (const QuantScheme& other : all)
    if (other.scale->grouping != scheme.scale->grouping || is_static(other) != is_static(scheme))
      return fail(ErrorCode::kUnsupported, "fp8 has one kind of scales for all modules, here are {} and {}",
                  to_string(scheme), to_string(other));
  return scheme;
}

std::int64_t encode_row_step(const QuantScheme& scheme) { return is_block(scheme) ? scheme.scale->grouping.rows : 1; }

Json quantization_config(std::span<const WrittenModule> modules, std::span<const std::string> unquantized) {
  const std::vector<std::string> skipped(unquantized.begin(), unquantized.end());
  Json config = {{"quant_method", "fp8"},
                 {"fmt", "e4m3"},
                 {"activation_scheme", "dynamic"},
                 {"weight_block_size", nullptr},  // absent, transformers takes it for 128 x 128
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
    .scheme_among = scheme_among,
    .encode_row_step = encode_row_step,
};

}  // namespace nibble
