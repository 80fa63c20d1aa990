// packing_format says whose tensors they are, extra_config what single modules have differently.
#include "io/auto_round.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "io/awq.h"
#include "io/compressed_tensors.h"
#include "io/gptq.h"
#include "io/module_tensors.h"
#include "io/name_pattern.h"
#include "io/refused_fields.h"

namespace nibble {
namespace {

struct Settings {
  std::int64_t bits = 4;
  std::int64_t group_size = 128;
  bool symmetric = true;
};

Status read_settings(const JsonFields& fields, Settings& settings) {
  NIBBLE_TRY(const auto bits, fields.integer("bits"));
  NIBBLE_TRY(const auto group_size, fields.integer("group_size"));
  NIBBLE_TRY(const auto symmetric, fields.boolean("sym"));
  settings.bits = bits.value_or(settings.bits);
  settings.group_size = group_size.value_or(settings.group_size);
  settings.symmetric = symmetric.value_or(settings.symmetric);
  if (settings.group_size < -1)
    return fail(ErrorCode::kCorrupt, "{}: \"group_size\" is {}", fields.what(), settings.group_size);
  return {};
}

/// Scales quantized themselves, and low-rank additions.
constexpr RefusedField kRefused[] = {{"super_group_size"}, {"super_bits"}, {"low_rank_dim"}};

class AutoRoundConfig {
 public:
  static Result<AutoRoundConfig> parse(const FamilyInput& input) {
    AutoRoundConfig config;
    config.what_ = input.what + ": quantization_config";
    config.patterns_ = NamePatterns(config.what_ + ": \"extra_config\"");
    const JsonFields fields(input.quantization_config, config.what_);
    NIBBLE_TRY_STATUS(refuse_fields(input.quantization_config, kRefused, config.what_));
    NIBBLE_TRY_STATUS(read_settings(fields, config.common_));
    NIBBLE_TRY(const auto format, fields.string("packing_format"));
    config.format = format.value_or("auto_round:auto_gptq");
    if (const Json* extra = fields.child("extra_config"); extra != nullptr && extra->is_object()) {
      for (const auto& [key, value] : extra->items()) {
        Settings own = config.common_;
        NIBBLE_TRY_STATUS(refuse_fields(value, kRefused, config.what_ + ".extra_config." + key));
        NIBBLE_TRY_STATUS(read_settings(JsonFields(value, config.what_ + ".extra_config." + key), own));
        config.exact_.emplace(key, own);
        const bool is_module = input.tensors.find(key + ".qweight") != nullptr ||
                               input.tensors.find(key + ".weight") != nullptr;  // named because it is in float
        if (!is_module) config.by_pattern_.emplace_back(key, own);
      }
    }
    return config;
  }

  /// Exact names first; keys that are no module's name are patterns, found anywhere in a name.
  Result<Settings> of_module(const std::string& module) {
    if (const auto it = exact_.find(module); it != exact_.end()) return it->second;
    for (const auto& [pattern, settings] : by_pattern_) {
      NIBBLE_TRY(const bool found, patterns_.found_in(pattern, module));
      if (found) return settings;
    }
    return common_;
  }

  std::string format;

 private:
  std::string what_;
  Settings common_;
  std::map<std::string, Settings> exact_;
  std::vector<std::pair<std::string, Settings>> by_pattern_;
  NamePatterns patterns_;
};

Result<FamilyModule> open_gptq(ModuleTensors& tensors, const Settings& settings, const std::string& format) {
  GptqLayout layout;
  if (settings.bits < 2 || settings.bits > 8 || (32 % settings.bits != 0 && settings.bits != 3))
    return tensors.error(ErrorCode::kUnsupported, "\"bits\" is {}; 2, 3, 4 and 8 can be read", settings.bits);
  layout.bits = static_cast<int>(settings.bits);
  layout.group_size = settings.group_size == 0 ? -1 : settings.group_size;
  const bool v2 = format == "auto_round" || format.find("gptqmodel") != std::string::npos;
  layout.zeros = settings.symmetric ? GptqZeros::kSymmetric : v2 ? GptqZeros::kV2 : GptqZeros::kV1Words;
  return open_gptq_module(tensors, layout);
}

bool detect(const FamilyInput& input) {
  const Json& config = input.quantization_config;
  if (input.is_gguf || !config.is_object() || !config.contains("quant_method")) return false;
  return config["quant_method"] == "auto-round" || config["quant_method"] == "intel/auto-round";
}

Result<std::vector<FamilyModule>> open(const FamilyInput& input) {
  NIBBLE_TRY(AutoRoundConfig config, AutoRoundConfig::parse(input));
  // GPTQ's and AWQ's tensors have the same names; only the format tells them apart.
  const bool awq = config.format.find("awq") != std::string::npos;
  std::vector<FamilyModule> modules;
  for (const std::string& name : modules_with(input.tensors, ".qweight")) {
    NIBBLE_TRY(const Settings settings, config.of_module(name));
    ModuleTensors tensors(input, name);
    const AwqLayout awq_layout{settings.group_size == 0 ? -1 : settings.group_size, !settings.symmetric, false};
    auto module = awq ? open_awq_module(tensors, awq_layout) : open_gptq(tensors, settings, config.format);
    if (!module.ok()) return module.error();
    modules.push_back(std::move(module).value());
  }
  NIBBLE_TRY(std::vector<FamilyModule> others, open_compressed_modules(input));
  std::move(others.begin(), others.end(), std::back_inserter(modules));
  return modules;
}

/// GPTQ's tensors without g_idx.
Status can_express(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols) {
  NIBBLE_TRY_STATUS(kGptqFamily.can_express(scheme, rows, cols));
  if (scheme.scale->grouping.kind == Grouping::Kind::kIndexed)
    return fail(ErrorCode::kUnsupported, "AutoRound has groups of neighbouring columns, not {}; gptq has others",
                to_string(scheme));
  return {};
}

Result<std::vector<EncodedPlan>> plan(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols,
                                      const std::string& module) {
  NIBBLE_TRY_STATUS(can_express(scheme, rows, cols));
  NIBBLE_TRY(std::vector<EncodedPlan> tensors, kGptqFamily.plan(scheme, rows, cols, module));
  tensors.pop_back();  // g_idx, the last
  return tensors;
}

Status encode(const QuantizedMatrix& rows, const std::string& module, const EncodedSink& sink) {
  constexpr std::size_t kWritten = 3;  // qweight, qzeros, scales
  return kGptqFamily.encode(rows, module,
                            [&sink](std::size_t index, std::uint64_t offset, std::span<const std::byte> bytes) {
                              return index < kWritten ? sink(index, offset, bytes) : Status();
                            });
}

/// Symmetric codes are labelled auto_round:auto_gptq, which every reader knows. Zero points are stored as they are, as
/// the plain label says: under auto_round:gptqmodel, which says it too, vLLM would take them for v1.
Json quantization_config(std::span<const WrittenModule> modules, std::span<const std::string> unquantized) {
  Json config = {{"quant_method", "auto-round"},
                 {"packing_format", "auto_round:auto_gptq"},
                 {"data_type", "int"},
                 {"bits", 4},
                 {"group_size", 128},
                 {"sym", true}};
  if (modules.empty()) return config;
  const auto settings = [](const WrittenModule& module) {
    const Grouping& grouping = module.scheme.scale->grouping;
    return Json{{"bits", module.scheme.code.bits},
                {"group_size", grouping.kind == Grouping::Kind::kRow ? -1 : grouping.size},
                {"sym", module.scheme.zero_kind == ZeroKind::kNone}};
  };
  const Json common = settings(modules.front());
  config.update(common);
  Json extra = Json::object();
  for (const WrittenModule& module : modules) {
    if (module.scheme.zero_kind != ZeroKind::kNone) config["packing_format"] = "auto_round";
    if (module.module == "lm_head" || settings(module) != common) extra[module.module] = settings(module);
  }
  for (const std::string& module : unquantized) extra[module] = {{"bits", 16}};
  if (!extra.empty()) config["extra_config"] = extra;
  return config;
}

Result<QuantScheme> scheme_among(const QuantScheme& scheme, std::span<const QuantScheme> all) {
  return kGptqFamily.scheme_among(scheme, all);
}

std::int64_t encode_row_step(const QuantScheme& scheme) { return kGptqFamily.encode_row_step(scheme); }

}  // namespace

constinit const Family kAutoRoundFamily{
    .name = "auto-round",
    .detect = detect,
    .open = open,
    .can_express = can_express,
    .plan = plan,
    .encode = encode,
    .quantization_config = quantization_config,
    .scheme_among = scheme_among,
    .mixes_schemes = true,
    .encode_row_step = encode_row_step,
};

}  // namespace nibble
