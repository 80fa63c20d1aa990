// Blocks [experts, rows, columns / 32, 16] and scales [experts, rows, columns / 32]; the hub sees the experts' rows one
// after another.
#include "io/mxfp4.h"

#include <algorithm>

#include "io/module_tensors.h"
#include "io/refused_fields.h"
#include "io/stored_matrix.h"

namespace nibble {
namespace {

constexpr auto kU8 = ElementType::kU8;

/// "_blocks" and "_scales" are Hugging Face's names, the others OpenAI's own.
constexpr std::string_view kBlocks[] = {"_blocks", ".blocks"};
constexpr std::string_view kScales[] = {"_scales", ".scales"};

Result<FamilyModule> open_module(const FamilyInput& input, const std::string& name, std::size_t naming) {
  ModuleTensors tensors(input, name);
  NIBBLE_TRY(const StoredTensor* blocks, tensors.need(kBlocks[naming], {kU8}));
  const auto& shape = blocks->shape;
  if (shape.size() < 3 || shape.size() > 4 || shape.back() != 16)
    return tensors.error(ErrorCode::kCorrupt, "the blocks have the shape {}, expected [experts, rows, blocks, 16]",
                         shape_text(shape));
  StoredParts parts;
  parts.rows = 1;
  for (std::size_t i = 0; i + 2 < shape.size(); ++i) parts.rows *= shape[i];  // extents below 2^31, at most two
  const std::int64_t row_blocks = shape[shape.size() - 2];
  parts.cols = row_blocks * 32;
  if (parts.rows < 1 || parts.rows > kMaxExtent || parts.cols < 1 || parts.cols > kMaxExtent)
    return tensors.error(ErrorCode::kCorrupt, "{} x {} weights are not possible", parts.rows, parts.cols);
  NIBBLE_TRY(const StoredTensor* scales,
             tensors.need_count(kScales[naming], {kU8, ElementType::kE8m0}, parts.rows * row_blocks));
  parts.scheme.code = CodeFormat::floating(ElementType::kF4);
  parts.scheme.scale = PlaneFormat{Grouping::columns(32), ElementType::kE8m0, false, std::nullopt};
  parts.scale.entries = entries_in_order(HeldBytes(*scales), 1);
  parts.codes = packed_rows(HeldBytes(*blocks), 4, parts.cols, static_cast<std::uint64_t>(row_blocks) * 16);
  parts.by_rows = {HeldBytes(*blocks)};
  return tensors.finish(make_stored_matrix(std::move(parts)));
}

bool detect(const FamilyInput& input) {
  if (input.is_gguf) return false;
  const Json& config = input.quantization_config;
  if (config.is_object() && config.contains("quant_method")) return config["quant_method"] == "mxfp4";
  return std::any_of(input.tensors.all().begin(), input.tensors.all().end(), [](const StoredTensor& tensor) {
    return tensor.element == kU8 && (tensor.name.ends_with("_proj_blocks") || tensor.name.ends_with("_weight.blocks"));
  });
}

Result<std::vector<FamilyModule>> open(const FamilyInput& input) {
  NIBBLE_TRY_STATUS(refuse_fields(input.quantization_config, {}, input.what + ": quantization_config"));
  std::vector<FamilyModule> modules;
  for (const std::size_t naming : {0u, 1u}) {
    for (const std::string& name : modules_with(input.tensors, kBlocks[naming])) {
      NIBBLE_TRY(FamilyModule module, open_module(input, name, naming));
      modules.push_back(std::move(module));
    }
  }
  return modules;
}

}  // namespace

constinit const Family kMxfp4Family{.name = "mxfp4", .detect = detect, .open = open};

}  // namespace nibble
