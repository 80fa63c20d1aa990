// llama.cpp's named mixtures of types (gguf.md section 5): which tensor of a model gets which ggml type.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble {

struct GgufRecipe {
  std::string_view name;  ///< lower case: "q4_k_m"
  int file_type = 0;      ///< general.file_type
  int default_type = 0;   ///< ggml's id
};

/// The recipes that Nibble can write, in order of file type.
std::span<const GgufRecipe> gguf_recipes();

/// By name in either case; q3_k, q4_k and q5_k are the _m ones. Errors: names of llama.cpp's recipes that need codebook
/// types (IQ1 to IQ3) or NVFP4 are refused as such, others with the list of what is known.
Result<const GgufRecipe*> find_gguf_recipe(std::string_view name);

/// A name of a recipe, of whatever kind: one that find_gguf_recipe() knows or refuses by name.
bool names_gguf_recipe(std::string_view name);

/// general.file_type of a file whose matrices are mostly of a type; llama.cpp's "guessed" for what no recipe is made
/// of.
int gguf_file_type_of(int ggml_type);

/// A dense decoder, as far as recipes look at it.
struct RecipeModel {
  std::string_view architecture;  ///< GGUF's name: "llama"
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  bool tied = false;  ///< there is no output.weight
  bool has_imatrix = false;
};

/// A matrix by its GGUF name.
struct RecipeTensor {
  std::string_view name;  ///< "blk.3.ffn_down.weight"
  std::int64_t layer = -1;
  std::int64_t cols = 0;
};

/// The type itself where its blocks divide rows of `cols`, else what llama-quantize takes in its place: a type of
/// smaller blocks, F16 where these do not divide either; nothing for types without one.
std::optional<int> ggml_type_of_rows(int type, std::int64_t cols);

/// The type that llama-quantize gives the matrix, its fallback for rows that are not whole blocks included. Errors:
/// there is no fallback; q2_k_s without importance.
Result<int> recipe_type(const GgufRecipe& recipe, const RecipeModel& model, const RecipeTensor& tensor);

}  // namespace nibble
