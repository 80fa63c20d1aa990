// The rules of llama.cpp, August 2026 (commit 3f545bec, src/llama-quant.cpp; gguf.md 5.3), for the architectures that
// Nibble has: no experts, no Falcon.
#include "quant/ggml/recipe.h"

#include <algorithm>
#include <array>

#include "format/ggml_blocks.h"
#include "format/ggml_types.h"

namespace nibble {
namespace {

constexpr int kF32 = GgmlF32::kId, kF16 = GgmlF16::kId, kBf16 = GgmlBf16::kId, kQ4_0 = GgmlQ4_0::kId,
              kQ4_1 = GgmlQ4_1::kId, kQ5_0 = GgmlQ5_0::kId, kQ5_1 = GgmlQ5_1::kId, kQ8_0 = GgmlQ8_0::kId,
              kQ2_K = GgmlQ2_K::kId, kQ3_K = GgmlQ3_K::kId, kQ4_K = GgmlQ4_K::kId, kQ5_K = GgmlQ5_K::kId,
              kQ6_K = GgmlQ6_K::kId, kIq4Nl = GgmlIq4Nl::kId, kIq4Xs = GgmlIq4Xs::kId, kTq1_0 = GgmlTq1_0::kId,
              kTq2_0 = GgmlTq2_0::kId, kMxfp4 = GgmlMxfp4::kId, kQ1_0 = GgmlQ1_0::kId, kQ2_0 = GgmlQ2_0::kId;

enum FileType {
  kMostlyQ4_0 = 2,
  kMostlyQ5_0 = 8,
  kMostlyQ2_K = 10,
  kMostlyQ3_K_M = 12,
  kMostlyQ3_K_L = 13,
  kMostlyQ4_K_S = 14,
  kMostlyQ4_K_M = 15,
  kMostlyQ5_K_M = 17,
  kMostlyQ2_K_S = 21,
  kMostlyIq4Nl = 25,
  kMostlyIq4Xs = 30,
  kMostlyTq1_0 = 36,
  kMostlyTq2_0 = 37,
  kMostlyMxfp4 = 38,
  kMostlyQ2_0 = 41,
  kGuessed = 1024,
};

constexpr std::array kRecipes = {
    GgufRecipe{"f32", 0, kF32},       GgufRecipe{"f16", 1, kF16},          GgufRecipe{"q4_0", 2, kQ4_0},
    GgufRecipe{"q4_1", 3, kQ4_1},     GgufRecipe{"q8_0", 7, kQ8_0},        GgufRecipe{"q5_0", 8, kQ5_0},
    GgufRecipe{"q5_1", 9, kQ5_1},     GgufRecipe{"q2_k", 10, kQ2_K},       GgufRecipe{"q3_k_s", 11, kQ3_K},
    GgufRecipe{"q3_k_m", 12, kQ3_K},  GgufRecipe{"q3_k_l", 13, kQ3_K},     GgufRecipe{"q4_k_s", 14, kQ4_K},
    GgufRecipe{"q4_k_m", 15, kQ4_K},  GgufRecipe{"q5_k_s", 16, kQ5_K},     GgufRecipe{"q5_k_m", 17, kQ5_K},
    GgufRecipe{"q6_k", 18, kQ6_K},    GgufRecipe{"q2_k_s", 21, kQ2_K},     GgufRecipe{"iq4_nl", 25, kIq4Nl},
    GgufRecipe{"iq4_xs", 30, kIq4Xs}, GgufRecipe{"bf16", 32, kBf16},       GgufRecipe{"tq1_0", 36, kTq1_0},
    GgufRecipe{"tq2_0", 37, kTq2_0},  GgufRecipe{"mxfp4_moe", 38, kMxfp4}, GgufRecipe{"q1_0", 40, kQ1_0},
    GgufRecipe{"q2_0", 41, kQ2_0},
};

/// llama.cpp's recipes whose types Nibble reads but does not write.
constexpr std::array<std::string_view, 11> kReadOnly = {"iq1_s",   "iq1_m",  "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m",
                                                        "iq3_xxs", "iq3_xs", "iq3_s",   "iq3_m",  "nvfp4"};

std::string canonical(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (lower == "q3_k" || lower == "q4_k" || lower == "q5_k") lower += "_m";
  return lower;
}

std::string known_recipes() {
  std::string names;
  for (const GgufRecipe& recipe : kRecipes) names += (names.empty() ? "" : ", ") + std::string(recipe.name);
  return names;
}

enum class Part { kEmbedding, kOutput, kValue, kAttentionOutput, kDown, kOther };

Part part_of(std::string_view name) {
  const auto has = [name](std::string_view word) { return name.find(word) != std::string_view::npos; };
  if (name == "output.weight") return Part::kOutput;
  if (name == "token_embd.weight") return Part::kEmbedding;
  if (has("attn_v.weight") || has("attn_qkv.weight")) return Part::kValue;
  if (has("attn_output.weight")) return Part::kAttentionOutput;
  if (has("ffn_down")) return Part::kDown;
  return Part::kOther;
}

/// Layers that the _m recipes give more bits: the first and last eighth and every third between.
bool more_bits(std::int64_t layer, std::int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

bool is_70b(const RecipeModel& model) {
  if (model.layers != 80) return false;
  return model.architecture == "qwen2" || (model.architecture == "llama" && model.heads != model.kv_heads);
}

int value_type(const GgufRecipe& recipe, const RecipeModel& model, std::int64_t layer) {
  const bool grouped = model.kv_heads > 0 && model.heads / model.kv_heads >= 4;
  switch (recipe.file_type) {
    case kMostlyQ2_K:
      return grouped ? kQ4_K : kQ3_K;
    case kMostlyQ2_K_S:
      return grouped ? kQ4_K : recipe.default_type;
    case kMostlyQ3_K_M:
      return layer < 2 ? kQ5_K : kQ4_K;
    case kMostlyQ3_K_L:
      return kQ5_K;
    case kMostlyIq4Nl:
    case kMostlyIq4Xs:
      return grouped ? kQ5_K : recipe.default_type;
    case kMostlyQ4_K_M:
    case kMostlyQ5_K_M:
      return more_bits(layer, model.layers) ? kQ6_K : recipe.default_type;
    case kMostlyQ4_K_S:
      return layer < 4 ? kQ5_K : recipe.default_type;
    default:
      return recipe.default_type;
  }
}

int down_type(const GgufRecipe& recipe, const RecipeModel& model, std::int64_t layer) {
  const bool early = layer < model.layers / 8;
  switch (recipe.file_type) {
    case kMostlyQ2_K:
      return kQ3_K;
    case kMostlyQ2_K_S:
      return early ? kQ4_K : recipe.default_type;
    case kMostlyQ3_K_M:
      return layer < model.layers / 16 ? kQ5_K : kQ4_K;
    case kMostlyQ3_K_L:
      return kQ5_K;
    case kMostlyIq4Nl:
    case kMostlyIq4Xs:
      return early && !model.has_imatrix ? kQ5_K : recipe.default_type;
    case kMostlyQ4_K_M:
    case kMostlyQ5_K_M:
      return more_bits(layer, model.layers) ? kQ6_K : recipe.default_type;
    case kMostlyQ4_K_S:
      return early ? kQ5_K : recipe.default_type;
    case kMostlyQ4_0:
      return early && model.has_imatrix ? kQ4_1 : recipe.default_type;
    case kMostlyQ5_0:
      return early && model.has_imatrix ? kQ5_1 : recipe.default_type;
    default:
      return recipe.default_type;
  }
}

int attention_output_type(const GgufRecipe& recipe) {
  switch (recipe.file_type) {
    case kMostlyQ2_K:
      return kQ3_K;
    case kMostlyQ3_K_M:
      return kQ4_K;
    case kMostlyQ3_K_L:
      return kQ5_K;
    default:
      return recipe.default_type;
  }
}

bool divides(int type, std::int64_t cols) { return cols % find_ggml_type(type)->block_values == 0; }

/// A type of smaller blocks for rows that those of `type` do not divide.
std::optional<int> smaller_blocks(int type) {
  switch (type) {
    case kIq4Xs:
      return kIq4Nl;
    case kQ2_0:
    case kQ2_K:
    case kQ3_K:
    case kTq1_0:
    case kTq2_0:
      return kQ4_0;
    case kQ4_K:
      return kQ5_0;
    case kQ5_K:
      return kQ5_1;
    case kQ6_K:
      return kQ8_0;
    default:
      return std::nullopt;
  }
}

/// The type before rows are looked at, but for the output's.
int wanted_type(const GgufRecipe& recipe, const RecipeModel& model, const RecipeTensor& tensor) {
  const Part part = part_of(tensor.name);
  if (part == Part::kOutput || (part == Part::kEmbedding && model.tied)) {
    if (recipe.file_type == kMostlyMxfp4 || !divides(recipe.default_type, tensor.cols)) return kQ8_0;
    return recipe.default_type == kQ8_0 ? kQ8_0 : kQ6_K;
  }
  if (recipe.file_type == kMostlyMxfp4) return kQ8_0;  // MXFP4 is for experts
  switch (part) {
    case Part::kEmbedding: {
      const bool few =
          recipe.file_type == kMostlyTq1_0 || recipe.file_type == kMostlyTq2_0 || recipe.file_type == kMostlyQ2_0;
      return few ? kQ4_K : recipe.default_type;
    }
    case Part::kValue: {
      const int type = value_type(recipe, model, tensor.layer);
      return is_70b(model) && (type == kQ3_K || type == kQ4_K) ? kQ5_K : type;
    }
    case Part::kDown:
      return down_type(recipe, model, tensor.layer);
    case Part::kAttentionOutput:
      return attention_output_type(recipe);
    default:
      return recipe.default_type;
  }
}

}  // namespace

std::span<const GgufRecipe> gguf_recipes() { return kRecipes; }

bool names_gguf_recipe(std::string_view name) {
  const std::string wanted = canonical(name);
  return std::any_of(kRecipes.begin(), kRecipes.end(), [&](const GgufRecipe& r) { return r.name == wanted; }) ||
         std::find(kReadOnly.begin(), kReadOnly.end(), wanted) != kReadOnly.end();
}

Result<const GgufRecipe*> find_gguf_recipe(std::string_view name) {
  const std::string wanted = canonical(name);
  for (const GgufRecipe& recipe : kRecipes)
    if (recipe.name == wanted) return &recipe;
  if (std::find(kReadOnly.begin(), kReadOnly.end(), wanted) != kReadOnly.end())
    return fail(ErrorCode::kUnsupported, "\"{}\" can be read but not written; known: {}", name, known_recipes());
  return fail(ErrorCode::kInvalidArgument, "\"{}\": unknown GGUF scheme; known: {}", name, known_recipes());
}

int gguf_file_type_of(int ggml_type) {
  for (const GgufRecipe& recipe : kRecipes)
    if (recipe.default_type == ggml_type) return recipe.file_type;
  return kGuessed;
}

std::optional<int> ggml_type_of_rows(int type, std::int64_t cols) {
  if (divides(type, cols)) return type;
  const std::optional<int> other = smaller_blocks(type);
  if (!other || divides(*other, cols)) return other;
  return kF16;
}

Result<int> recipe_type(const GgufRecipe& recipe, const RecipeModel& model, const RecipeTensor& tensor) {
  if (find_ggml_type(recipe.default_type)->block_values == 1) return recipe.default_type;
  int type = wanted_type(recipe, model, tensor);
  if (type == kQ2_K && recipe.file_type == kMostlyQ2_K_S && !model.has_imatrix && tensor.layer >= 0)
    return fail(ErrorCode::kInvalidArgument, "{}: q2_k_s is for importance matrices; add --imatrix or use q2_k",
                tensor.name);
  const std::optional<int> stored = ggml_type_of_rows(type, tensor.cols);
  if (!stored)
    return fail(ErrorCode::kUnsupported, "{}: rows of {} values cannot be {}; use another --scheme, such as f16",
                tensor.name, tensor.cols, find_ggml_type(type)->name);
  return *stored;
}

}  // namespace nibble
