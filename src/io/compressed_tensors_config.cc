// Reading and writing of compressed-tensors' quantization_config.
#include "io/compressed_tensors_config.h"

#include <algorithm>
#include <charconv>

#include "io/module_tensors.h"
#include "io/refused_fields.h"

namespace nibble {
namespace {

constexpr std::int64_t kMaxGroup = std::int64_t{1} << 31;

/// What a preset name stands for where a group is given as `"W4A16": ["Linear"]`.
struct Preset {
  std::string_view name;
  int bits;
  bool is_float;
  bool symmetric;
  std::string_view strategy;
  std::int64_t group;
  ActivationScheme::Kind activations;
  ElementType element;
};
using ActKind = ActivationScheme::Kind;
constexpr Preset kPresets[] = {
    {"W8A16", 8, false, true, "channel", 0, ActKind::kNone, ElementType::kI8},
    {"W4A16", 4, false, true, "group", 128, ActKind::kNone, ElementType::kI8},
    {"W4A16_ASYM", 4, false, false, "group", 128, ActKind::kNone, ElementType::kI8},
    {"W8A8", 8, false, true, "channel", 0, ActKind::kDynamic, ElementType::kI8},
    {"INT8", 8, false, true, "channel", 0, ActKind::kDynamic, ElementType::kI8},
    {"W4A8", 4, false, true, "group", 128, ActKind::kDynamic, ElementType::kI8},
    {"W4AFP8", 4, false, true, "group", 128, ActKind::kDynamic, ElementType::kE4m3},
    {"FP8", 8, true, true, "tensor", 0, ActKind::kStatic, ElementType::kE4m3},
    {"FP8_DYNAMIC", 8, true, true, "channel", 0, ActKind::kDynamic, ElementType::kE4m3},
    {"FP8_BLOCK", 8, true, true, "block", 128, ActKind::kDynamic, ElementType::kE4m3},
    {"NVFP4A16", 4, true, true, "tensor_group", 16, ActKind::kNone, ElementType::kF4},
    {"NVFP4", 4, true, true, "tensor_group", 16, ActKind::kDynamic, ElementType::kF4},
    {"MXFP4A16", 4, true, true, "group", 32, ActKind::kNone, ElementType::kF4},
    {"MXFP4", 4, true, true, "group", 32, ActKind::kDynamic, ElementType::kF4},
    {"MXFP8A16", 8, true, true, "group", 32, ActKind::kNone, ElementType::kE4m3},
    {"MXFP8", 8, true, true, "group", 32, ActKind::kDynamic, ElementType::kE4m3},
};

Result<CtGroup> preset_group(const std::string& name, const std::string& what) {
  for (const Preset& preset : kPresets) {
    if (preset.name != name) continue;
    CtGroup group;
    group.weights = {preset.bits, preset.is_float, preset.symmetric, std::string(preset.strategy), preset.group, 128,
                     128};
    group.activations.kind = preset.activations;
    group.activations.element = preset.element;
    return group;
  }
  std::string known;
  for (const Preset& preset : kPresets) known += (known.empty() ? "" : ", ") + std::string(preset.name);
  return fail(ErrorCode::kUnsupported, "{}: \"{}\" is no preset that Nibble knows; known: {}", what, name, known);
}

/// block_structure: [rows, cols] or "128x128".
Status parse_block(const JsonFields& fields, CtArgs& args) {
  const Json* block = fields.child("block_structure");
  if (block == nullptr) return {};
  const Error wrong = fail(ErrorCode::kCorrupt, "{}: \"block_structure\" must be [rows, columns]", fields.what());
  if (const auto extents = extent_pair(*block)) {
    args.block_rows = extents->first;
    args.block_cols = extents->second;
  } else if (block->is_string()) {
    const std::string& text = block->get_ref<const std::string&>();
    const char* end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), end, args.block_rows);
    if (first.ec != std::errc{} || first.ptr == end || *first.ptr != 'x') return wrong;
    const auto second = std::from_chars(first.ptr + 1, end, args.block_cols);
    if (second.ec != std::errc{} || second.ptr != end) return wrong;
  } else {
    return wrong;
  }
  if (args.block_rows < 1 || args.block_cols < 1 || args.block_rows > kMaxGroup || args.block_cols > kMaxGroup)
    return wrong;
  return {};
}

Result<CtArgs> parse_args(const Json& json, const std::string& what) {
  if (!json.is_object()) return fail(ErrorCode::kCorrupt, "{}: expected an object", what);
  const JsonFields fields(json, what);
  CtArgs args;
  NIBBLE_TRY(const auto bits, fields.integer("num_bits"));
  if (bits && (*bits < 1 || *bits > 8))
    return fail(ErrorCode::kUnsupported, "{}: \"num_bits\" is {}; 1 to 8 are supported", what, *bits);
  args.bits = static_cast<int>(bits.value_or(8));
  NIBBLE_TRY(const auto type, fields.string("type"));
  if (type && *type != "int" && *type != "float")
    return fail(ErrorCode::kUnsupported, "{}: \"type\" is \"{}\"; known: int, float", what, *type);
  args.is_float = type.value_or("int") == "float";
  NIBBLE_TRY(const auto symmetric, fields.boolean("symmetric"));
  args.symmetric = symmetric.value_or(true);
  NIBBLE_TRY(const auto group_size, fields.integer("group_size"));
  if (group_size && (*group_size < -1 || *group_size == 0 || *group_size > kMaxGroup))
    return fail(ErrorCode::kCorrupt, "{}: \"group_size\" is {}", what, *group_size);
  args.group_size = std::max<std::int64_t>(group_size.value_or(0), 0);
  NIBBLE_TRY(const auto strategy, fields.string("strategy"));
  args.strategy = strategy.value_or(!group_size ? "tensor" : *group_size == -1 ? "channel" : "group");
  NIBBLE_TRY_STATUS(parse_block(fields, args));
  return args;
}

/// Arguments of weights, where, unlike with activations, a field that is not understood may not be passed over.
Result<CtArgs> parse_weights(const Json& json, const std::string& what) {
  constexpr std::string_view kKnown[] = {"num_bits",        "type",           "symmetric", "group_size",  "strategy",
                                         "block_structure", "dynamic",        "actorder",  "scale_dtype", "zp_dtype",
                                         "observer",        "observer_kwargs"};
  NIBBLE_TRY_STATUS(refuse_unknown_fields(json, kKnown, what));
  NIBBLE_TRY(const CtArgs args, parse_args(json, what));
  if (args.is_float && args.bits != 4 && args.bits != 8)
    return fail(ErrorCode::kUnsupported, "{}: \"num_bits\" is {} of \"type\" float; 4 and 8 are read, not mxfp6", what,
                args.bits);
  return args;
}

Result<ActivationScheme> parse_activations(const Json& json, const std::string& what) {
  NIBBLE_TRY(const CtArgs args, parse_args(json, what));
  ActivationScheme act;
  const auto dynamic = json.find("dynamic");
  const bool is_dynamic =
      dynamic != json.end() && (dynamic->is_string() || (dynamic->is_boolean() && dynamic->get<bool>()));
  act.kind = is_dynamic ? ActKind::kDynamic : ActKind::kStatic;
  act.bits = args.bits;
  act.symmetric = args.symmetric;
  act.element = !args.is_float ? ElementType::kI8 : args.bits == 4 ? ElementType::kF4 : ElementType::kE4m3;
  if (is_dynamic && args.strategy.find("group") != std::string::npos) act.group = args.group_size;
  return act;
}

Result<CtGroup> parse_group(const std::string& key, const Json& json, const std::string& what) {
  CtGroup group;
  if (json.is_array()) {
    NIBBLE_TRY(group, preset_group(key, what));
    for (const Json& target : json) {
      if (!target.is_string()) return fail(ErrorCode::kCorrupt, "{}: expected a list of targets", what);
      group.targets.push_back(target.get<std::string>());
    }
  } else if (json.is_object()) {
    const JsonFields fields(json, what);
    NIBBLE_TRY(auto targets, fields.strings("targets"));
    if (targets) group.targets = std::move(*targets);
    if (const Json* weights = fields.child("weights")) {
      NIBBLE_TRY(group.weights, parse_weights(*weights, what + ".weights"));
    }
    if (const Json* input = fields.child("input_activations")) {
      NIBBLE_TRY(group.activations, parse_activations(*input, what + ".input_activations"));
    }
  } else {
    return fail(ErrorCode::kCorrupt, "{}: expected an object or a list of targets", what);
  }
  group.key = key;
  return group;
}

/// "0.16.2" is older than 0.17; anything that is not a version is not.
bool older_than_0_17(const std::string& version) {
  int major = 0;
  int minor = 0;
  const char* end = version.data() + version.size();
  const auto first = std::from_chars(version.data(), end, major);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != '.') return false;
  if (std::from_chars(first.ptr + 1, end, minor).ec != std::errc{}) return false;
  return major == 0 && minor < 17;
}

/// What the namespaces of different library versions agree on: "model.language_model.layers.0.x" and
/// "language_model.model.layers.0.x" both give "layers.0.x".
std::string_view layer_tail(std::string_view module) {
  const std::size_t at = module.find("layers.");
  return at == std::string_view::npos ? module : module.substr(at);
}

bool is_embedding_name(std::string_view module) {
  return module.find("embed") != std::string_view::npos || module.ends_with("wte");
}

}  // namespace

Result<CtConfig> CtConfig::parse(const Json& json, const std::string& what) {
  CtConfig config;
  config.what_ = what + ": quantization_config";
  config.patterns_ = NamePatterns(config.what_ + ": \"targets\"");
  if (!json.is_object()) return config;
  const JsonFields fields(json, config.what_);
  constexpr RefusedField kRefused[] = {{"moe_sparsity_config"}};
  NIBBLE_TRY_STATUS(refuse_fields(json, kRefused, config.what_));
  NIBBLE_TRY(const auto format, fields.string("format"));
  if (format && (*format == "marlin-24" || format->find("sparse") != std::string::npos))
    return fail(ErrorCode::kUnsupported, "{}: the format \"{}\" is not supported", config.what_, *format);
  NIBBLE_TRY(const auto version, fields.string("version"));
  config.padded_words_ = version && older_than_0_17(*version);
  if (const Json* groups = fields.child("config_groups")) {
    if (!groups->is_object()) return fail(ErrorCode::kCorrupt, "{}: \"config_groups\" must be an object", config.what_);
    for (const auto& [key, value] : groups->items()) {
      NIBBLE_TRY(CtGroup group, parse_group(key, value, config.what_ + ".config_groups." + key));
      config.groups_.push_back(std::move(group));
    }
  }
  config.index_targets();
  return config;
}

void CtConfig::index_targets() {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    for (const std::string& target : groups_[g].targets) {
      if (target.starts_with("re:")) {
        by_pattern_.emplace_back(target.substr(3), g);
      } else if (target == "Linear" || target == "LinearBase") {
        linear_ = linear_.value_or(g);
      } else if (target == "Embedding") {
        embedding_ = embedding_.value_or(g);
      } else {
        by_name_.emplace(target, g);
        by_tail_.emplace(layer_tail(target), g);
      }
    }
  }
}

Result<const CtGroup*> CtConfig::group_of(const std::string& module) {
  if (const auto it = by_name_.find(module); it != by_name_.end()) return &groups_[it->second];
  for (const auto& [pattern, group] : by_pattern_) {
    NIBBLE_TRY(const bool matched, patterns_.matches_start(pattern, module));
    if (matched) return &groups_[group];
  }
  if (const auto it = by_tail_.find(std::string(layer_tail(module))); it != by_tail_.end()) return &groups_[it->second];
  const auto& of_class = is_embedding_name(module) ? embedding_ : linear_;
  if (of_class) return &groups_[*of_class];
  if (groups_.size() == 1) return &groups_.front();
  return fail(ErrorCode::kCorrupt,
              "{}: no target of the {} config groups names the quantized module \"{}\"; add it to a group's targets",
              what_, groups_.size(), module);
}

std::optional<CtLayout> ct_layout_of(const QuantScheme& scheme) {
  if (!scheme.scale || scheme.offset || scheme.post_scale != 1.0f || scheme.zero_kind == ZeroKind::kReal ||
      scheme.code.kind == CodeFormat::Kind::kTable || scheme.activations.outlier_threshold > 0)
    return std::nullopt;
  const PlaneFormat& scale = *scheme.scale;
  const auto plain_scale = [&] {
    const bool element =
        scale.element == ElementType::kF16 || scale.element == ElementType::kBf16 || scale.element == ElementType::kF32;
    return element && !scale.nested && !scale.divides;
  };
  using Kind = Grouping::Kind;
  const Kind grouping = scale.grouping.kind;
  if (scheme.code.kind == CodeFormat::Kind::kInteger) {
    const bool centred = scheme.code.bias == 1 << (scheme.code.bits - 1);
    const bool zero_fits =
        scheme.zero_kind == ZeroKind::kNone ? centred : scheme.zero.grouping == scale.grouping && !scheme.zero.nested;
    if (!plain_scale() || !zero_fits) return std::nullopt;
    if (grouping == Kind::kIndexed)
      return scheme.activations.kind == ActKind::kNone ? std::optional(CtLayout::kPack) : std::nullopt;
    if (grouping != Kind::kTensor && grouping != Kind::kRow && grouping != Kind::kColumns) return std::nullopt;
    return scheme.activations.kind == ActKind::kNone ? CtLayout::kPack : CtLayout::kInteger;
  }
  if (scheme.zero_kind != ZeroKind::kNone) return std::nullopt;
  const bool mx =
      !scale.nested && !scale.divides && scale.element == ElementType::kE8m0 && scale.grouping == Grouping::columns(32);
  if (scheme.code.float_type == ElementType::kE4m3) {
    if (mx) return CtLayout::kMxfp8;
    const bool grouped =
        grouping == Kind::kTensor || grouping == Kind::kRow || grouping == Kind::kColumns || grouping == Kind::kBlock;
    return plain_scale() && grouped ? std::optional(CtLayout::kFloat) : std::nullopt;
  }
  if (scheme.code.float_type != ElementType::kF4) return std::nullopt;
  if (mx) return CtLayout::kMxfp4;
  const NestedFormat nv{CodeFormat::floating(ElementType::kE4m3), ElementType::kF32, 0, true, false};
  if (scale.nested == nv && !scale.divides && scale.grouping == Grouping::columns(16)) return CtLayout::kNvfp4;
  return std::nullopt;
}

namespace {

std::string_view format_name(CtLayout layout, const ActivationScheme& activations) {
  switch (layout) {
    case CtLayout::kPack:
      return "pack-quantized";
    case CtLayout::kInteger:
      return "int-quantized";
    case CtLayout::kFloat:
      return activations.kind == ActKind::kNone ? "naive-quantized" : "float-quantized";
    case CtLayout::kNvfp4:
      return "nvfp4-pack-quantized";
    case CtLayout::kMxfp4:
      return "mxfp4-pack-quantized";
    case CtLayout::kMxfp8:
      return "mxfp8-quantized";
  }
  return "";
}

/// All keys of a QuantizationArgs with their defaults; the library refuses keys that it does not know.
Json args_json(int bits, bool is_float, bool symmetric) {
  return {{"actorder", nullptr},
          {"block_structure", nullptr},
          {"dynamic", false},
          {"group_size", nullptr},
          {"num_bits", bits},
          {"observer", "minmax"},
          {"observer_kwargs", Json::object()},
          {"strategy", nullptr},
          {"symmetric", symmetric},
          {"type", is_float ? "float" : "int"}};
}

Json weights_json(const WrittenModule& module, CtLayout layout) {
  const QuantScheme& scheme = module.scheme;
  const bool is_float = scheme.code.kind == CodeFormat::Kind::kFloat;
  Json args = args_json(scheme.code.bits, is_float, scheme.zero_kind == ZeroKind::kNone);
  const Grouping& grouping = scheme.scale->grouping;
  switch (grouping.kind) {
    case Grouping::Kind::kRow:
      args["strategy"] = "channel";
      break;
    case Grouping::Kind::kColumns:
      args["strategy"] = layout == CtLayout::kNvfp4 ? "tensor_group" : "group";
      args["group_size"] = grouping.size;
      break;
    case Grouping::Kind::kBlock:
      args["strategy"] = "block";
      args["block_structure"] = {grouping.rows, grouping.size};
      break;
    case Grouping::Kind::kIndexed:
      args["strategy"] = "group";
      args["actorder"] = "group";
      args["group_size"] = module.cols / grouping.size;
      break;
    default:
      args["strategy"] = "tensor";
  }
  return args;
}

Json activations_json(const ActivationScheme& act) {
  if (act.kind == ActKind::kNone) return nullptr;
  const bool is_float = act.element != ElementType::kI8;
  Json args = args_json(act.element == ElementType::kF4 ? 4 : act.bits, is_float, act.symmetric);
  if (act.kind == ActKind::kStatic) {
    args["strategy"] = "tensor";
    return args;
  }
  args["observer"] = nullptr;
  args["dynamic"] = true;
  args["strategy"] = act.group > 0 ? "group" : "token";
  if (act.group > 0) args["group_size"] = act.group;
  if (act.element == ElementType::kF4 && act.group == 16) {  // NVFP4: a calibrated global scale, local ones per token
    args["dynamic"] = "local";
    args["strategy"] = "tensor_group";
  }
  return args;
}

}  // namespace

Json ct_write_config(std::span<const WrittenModule> modules, std::span<const std::string> unquantized) {
  struct Written {
    Json config;  ///< format, weights, activations: modules that agree in them share a group
    std::vector<std::string> modules;
    bool only_linear = true;
  };
  std::vector<Written> groups;
  for (const WrittenModule& module : modules) {
    const QuantScheme& scheme = module.scheme;
    const CtLayout layout = ct_layout_of(scheme).value_or(CtLayout::kPack);
    Json config = {{"format", format_name(layout, scheme.activations)},
                   {"input_activations", activations_json(scheme.activations)},
                   {"output_activations", nullptr},
                   {"targets", nullptr},
                   {"weights", weights_json(module, layout)}};
    auto it = std::find_if(groups.begin(), groups.end(), [&](const Written& g) { return g.config == config; });
    if (it == groups.end()) it = groups.insert(groups.end(), Written{std::move(config), {}, true});
    it->modules.push_back(module.module);
    it->only_linear = it->only_linear && module.is_linear;
  }
  Json config_groups = Json::object();
  std::string format;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const std::string name = groups[i].config["format"].get<std::string>();
    format = format.empty() || format == name ? name : "mixed-precision";
    // A class name would win over the names of fused projections in some loaders, so several groups list their modules.
    groups[i].config["targets"] =
        groups.size() == 1 && groups[i].only_linear ? Json::array({"Linear"}) : Json(groups[i].modules);
    config_groups[fmt::format("group_{}", i)] = groups[i].config;
  }
  return {{"config_groups", config_groups},
          {"format", format.empty() ? "dense" : format},
          {"global_compression_ratio", nullptr},
          {"ignore", std::vector<std::string>(unquantized.begin(), unquantized.end())},
          {"kv_cache_scheme", nullptr},
          {"quant_method", "compressed-tensors"},
          {"quantization_status", "compressed"},
          {"sparsity_config", Json::object()},
          {"transform_config", Json::object()},
          {"version", "0.17.0"}};
}

}  // namespace nibble
