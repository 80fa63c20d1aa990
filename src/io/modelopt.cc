// weight U8 + weight_scale E4M3 + weight_scale_2 F32 (all multiply), or weight E4M3 + weight_scale.
#include "io/modelopt.h"

#include "io/fp8.h"
#include "io/module_tensors.h"
#include "io/refused_fields.h"
#include "io/stored_matrix.h"

namespace nibble {
namespace {

constexpr auto kU8 = ElementType::kU8;
constexpr auto kE4m3 = ElementType::kE4m3;
constexpr auto kF32 = ElementType::kF32;
constexpr std::int64_t kGroup = 16;

Result<FamilyModule> open_nvfp4(ModuleTensors& tensors) {
  NIBBLE_TRY(const StoredTensor* weight, tensors.need(".weight", {kU8}, {kAnyExtent, kAnyExtent}));
  StoredParts parts;
  parts.rows = weight->shape[0];
  parts.cols = weight->shape[1] * 2;
  if (parts.cols > kMaxExtent) return tensors.error(ErrorCode::kCorrupt, "{} columns are not possible", parts.cols);
  const std::int64_t groups = (parts.cols + kGroup - 1) / kGroup;
  NIBBLE_TRY(const StoredTensor* scale, tensors.need_count(".weight_scale", {kE4m3}, parts.rows * groups));
  NIBBLE_TRY(const StoredTensor* global, tensors.need_count(".weight_scale_2", {kF32}, 1));
  parts.scheme.code = CodeFormat::floating(ElementType::kF4);
  parts.scheme.scale = PlaneFormat{Grouping::columns(kGroup), ElementType::kF16, false,
                                   NestedFormat{CodeFormat::floating(kE4m3), kF32, 0, false, false}};
  if (tensors.find(".input_scale") != nullptr) {
    parts.scheme.activations.kind = ActivationScheme::Kind::kDynamic;
    parts.scheme.activations.element = ElementType::kF4;
    parts.scheme.activations.group = kGroup;
  }
  parts.scale.codes = entries_in_order(HeldBytes(*scale), 1);
  parts.scale.outer = entries_in_order(HeldBytes(*global), 4);
  parts.codes = packed_rows(HeldBytes(*weight), 4, parts.cols, static_cast<std::uint64_t>(weight->shape[1]));
  parts.by_rows = {HeldBytes(*weight)};
  return tensors.finish(make_stored_matrix(std::move(parts)));
}

bool detect(const FamilyInput& input) {
  const Json& config = input.quantization_config;
  if (input.is_gguf || !config.is_object()) return false;
  if (const auto method = config.find("quant_method"); method != config.end())
    return method->is_string() && method->get_ref<const std::string&>().starts_with("modelopt");  // also "modelopt_fp4"
  const auto producer = config.find("producer");  // hf_quant_config.json
  if (producer == config.end() || !producer->is_object()) return false;
  const auto name = producer->find("name");
  return name != producer->end() && *name == "modelopt";
}

/// Of AWQ and SmoothQuant the inputs are multiplied first; integer algorithms have other tensors.
constexpr RefusedField kRefused[] = {
    {"quant_algo", "FP8 FP8_PER_CHANNEL_PER_TOKEN NVFP4 MIXED_PRECISION"}, {"pre_quant_scale"}, {"has_zero_point"}};

/// `what` with the layers that MIXED_PRECISION lists.
Status check_fields(const Json& config, const std::string& what) {
  NIBBLE_TRY_STATUS(refuse_fields(config, kRefused, what));
  const auto layers = config.find("quantized_layers");
  if (layers == config.end() || !layers->is_object()) return {};
  for (const auto& [key, value] : layers->items())
    NIBBLE_TRY_STATUS(refuse_fields(value, kRefused, what + ".quantized_layers." + printable(key)));
  return {};
}

/// config.json has the fields themselves, hf_quant_config.json has them under "quantization".
Status check_config(const FamilyInput& input) {
  const std::string what = input.what + ": quantization_config";
  const Json& config = input.quantization_config;
  NIBBLE_TRY_STATUS(check_fields(config, what));
  const auto inner = config.find("quantization");
  return inner == config.end() ? Status() : check_fields(*inner, what + ".quantization");
}

Result<std::vector<FamilyModule>> open(const FamilyInput& input) {
  NIBBLE_TRY_STATUS(check_config(input));
  std::vector<FamilyModule> modules;
  for (const std::string& name : modules_with(input.tensors, ".weight_scale")) {
    ModuleTensors tensors(input, name);
    const StoredTensor* weight = tensors.find(".weight");
    if (weight == nullptr) continue;
    if (tensors.find(".pre_quant_scale") != nullptr)
      return tensors.error(ErrorCode::kUnsupported,
                           "\"pre_quant_scale\" multiplies the inputs first, which Nibble does not do");
    ActivationScheme activations;
    if (tensors.find(".input_scale") != nullptr) {
      activations.kind = ActivationScheme::Kind::kStatic;
      activations.element = kE4m3;
    }
    auto module =
        weight->element == kU8 ? open_nvfp4(tensors) : open_fp8_module(tensors, ".weight_scale", 0, 0, activations);
    if (!module.ok()) return module.error();
    modules.push_back(std::move(module).value());
  }
  return modules;
}

}  // namespace

constinit const Family kModelOptFamily{.name = "modelopt", .detect = detect, .open = open};

}  // namespace nibble
