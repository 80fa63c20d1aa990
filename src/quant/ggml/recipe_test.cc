// Recipes against the tables that llama.cpp's rules give (tests/golden/ggml/ggml-recipes.json), and by hand where the
// tables are silent.
#include "quant/ggml/recipe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>

#include "base/json.h"
#include "base/mapped_file.h"
#include "format/ggml_types.h"

namespace nibble {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::string type_of(const GgufRecipe& recipe, const RecipeModel& model, const RecipeTensor& tensor) {
  const Result<int> type = recipe_type(recipe, model, tensor);
  return type.ok() ? std::string(find_ggml_type(*type)->name) : type.error().message;
}

/// What the table says of one kind of tensor in one layer.
std::string expected_type(const Json& table, const std::string& kind, std::int64_t layer) {
  if (!table.contains(kind)) return lower(table["default"]);
  const Json& entry = table[kind];
  if (entry.is_string()) return lower(entry);
  for (const auto& [type, layers] : entry.items())
    if (std::find(layers.begin(), layers.end(), layer) != layers.end()) return lower(type);
  return "nothing";
}

TEST(GgufRecipes, GiveTheTypesOfTheTables) {
  const auto text = read_text_file(std::string(NIBBLE_SOURCE_DIR) + "/tests/golden/ggml/ggml-recipes.json");
  ASSERT_TRUE(text.ok());
  const auto file = parse_untrusted(*text, "recipes");
  ASSERT_TRUE(file.ok());
  int compared = 0;
  for (const Json& entry : (*file)["models"]) {
    const std::string words = entry["model"];
    RecipeModel model;
    model.architecture = "llama";
    int layers = 0, ratio = 0;
    ASSERT_EQ(std::sscanf(words.c_str(), "%d layers, n_head/n_head_kv = %d", &layers, &ratio), 2) << words;
    model.layers = layers;
    model.heads = 8 * ratio;
    model.kv_heads = 8;
    model.tied = words.find("untied") == std::string::npos;
    for (const char* section : {"recipes", "with_imatrix"}) {
      for (const auto& [name, table] : entry[section].items()) {
        // The tables give the types also where llama-quantize would ask for importance.
        model.has_imatrix = std::string(section) == "with_imatrix";
        const auto recipe = find_gguf_recipe(name);
        ASSERT_TRUE(recipe.ok());
        if ((*recipe)->name == "q2_k_s") model.has_imatrix = true;
        SCOPED_TRACE(words + ", " + name + ", " + section);
        EXPECT_EQ(type_of(**recipe, model, {"token_embd.weight", -1, 4096}), lower(table["token_embd"]));
        if (!model.tied) {
          EXPECT_EQ(type_of(**recipe, model, {"output.weight", -1, 4096}), lower(table["output"]));
        }
        for (const char* kind : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
          for (std::int64_t layer = 0; layer < layers; ++layer) {
            const std::string tensor = fmt::format("blk.{}.{}.weight", layer, kind);
            ASSERT_EQ(type_of(**recipe, model, {tensor, layer, 4096}), expected_type(table, kind, layer)) << tensor;
            ++compared;
          }
        }
      }
    }
  }
  EXPECT_GT(compared, 10000);
}

TEST(GgufRecipes, FallBackWhereRowsAreNotWholeBlocks) {
  const RecipeModel model{"llama", 30, 9, 3, true, false};
  const auto type = [&](const char* recipe, const char* tensor, std::int64_t layer, std::int64_t cols) {
    return type_of(**find_gguf_recipe(recipe), model, {tensor, layer, cols});
  };
  EXPECT_EQ(type("q4_k_m", "blk.9.attn_q.weight", 9, 576), "q5_0");
  EXPECT_EQ(type("q4_k_m", "blk.0.attn_v.weight", 0, 576), "q8_0");
  EXPECT_EQ(type("q4_k_m", "token_embd.weight", -1, 576), "q8_0");
  EXPECT_EQ(type("q4_k_m", "blk.4.ffn_down.weight", 4, 1536), "q4_k");
  EXPECT_EQ(type("q5_k_s", "blk.4.attn_q.weight", 4, 576), "q5_1");
  EXPECT_EQ(type("iq4_xs", "blk.4.attn_q.weight", 4, 576), "iq4_nl");
  EXPECT_EQ(type("q3_k_s", "blk.4.attn_q.weight", 4, 576), "q4_0");
  EXPECT_EQ(type("tq2_0", "blk.4.attn_q.weight", 4, 576), "q4_0");
  EXPECT_EQ(type("tq2_0", "blk.4.attn_q.weight", 4, 1024), "tq2_0");
  EXPECT_EQ(type("q4_k_m", "blk.9.attn_q.weight", 9, 50), "f16");
  EXPECT_EQ(type("q4_0", "token_embd.weight", -1, 576), "q8_0") << "Q6_K, whose blocks do not divide 576 either";
  EXPECT_NE(type("q4_0", "blk.4.attn_q.weight", 4, 50).find("rows of 50"), std::string::npos);
  EXPECT_NE(type("q1_0", "blk.4.attn_q.weight", 4, 576).find("rows of 576"), std::string::npos);
  EXPECT_EQ(type("bf16", "blk.4.attn_q.weight", 4, 50), "bf16");
}

TEST(GgufRecipes, OfFewBitsKeepTheEmbedding) {
  const RecipeModel model{"llama", 32, 32, 8, false, false};
  EXPECT_EQ(type_of(**find_gguf_recipe("tq1_0"), model, {"token_embd.weight", -1, 4096}), "q4_k");
  EXPECT_EQ(type_of(**find_gguf_recipe("tq1_0"), model, {"output.weight", -1, 4096}), "q6_k");
  EXPECT_EQ(type_of(**find_gguf_recipe("mxfp4_moe"), model, {"blk.1.ffn_up.weight", 1, 4096}), "q8_0");
  EXPECT_NE(type_of(**find_gguf_recipe("q2_k_s"), model, {"blk.9.ffn_up.weight", 9, 4096}).find("--imatrix"),
            std::string::npos);
}

TEST(GgufRecipes, AreFoundByLlamaCppsNames) {
  EXPECT_EQ((*find_gguf_recipe("Q4_K_M"))->file_type, 15);
  EXPECT_EQ(*find_gguf_recipe("Q4_K"), *find_gguf_recipe("q4_k_m"));
  EXPECT_EQ(find_gguf_recipe("iq2_xxs").error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(find_gguf_recipe("q4_k_xl").error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(names_gguf_recipe("IQ3_M"));
  EXPECT_FALSE(names_gguf_recipe("int4-g32-sym"));
  EXPECT_EQ(gguf_file_type_of(find_ggml_type("q4_k")->id), 14);
  EXPECT_EQ(gguf_file_type_of(find_ggml_type("iq3_s")->id), 1024);
}

}  // namespace
}  // namespace nibble
