// What the matrices of a model become in a GGUF file: a ggml type each, by one rule for all or by a recipe.
#pragma once

#include <string>
#include <vector>

#include "io/imatrix.h"
#include "quant/ggml/ggml_quantizer.h"
#include "quant/ggml/recipe.h"
#include "quant/linear_schemes.h"
#include "quant/model_output.h"

namespace nibble {

/// `original` as a ggml type: kept where it has that type, else quantized (ggml_quantizer.h) or rounded to a float
/// type.
Result<MatrixTarget> ggml_target(LinearId id, MatrixPtr original, int type, Importance importance);

/// The types that llama.cpp's recipe gives every matrix, or `given` (what overridden() says) in its place, with
/// llama-quantize's fallbacks. `imatrix` may be null; a block matrix that it does not know is quantized without
/// importance, with a warning.
Result<std::vector<MatrixTarget>> recipe_targets(const ModelFiles& files, const GgufRecipe& recipe,
                                                 const Imatrix* imatrix,
                                                 std::span<const std::optional<QuantScheme>> given);

/// The same as schemes, for methods of their own; `importance`: these know which columns matter.
Result<LinearSchemes> recipe_schemes(const ModelFiles& files, const GgufRecipe& recipe, bool importance);

/// A block type for all linears, and llama-quantize's fallbacks where its blocks do not divide a row: another block
/// type, else f16.
LinearSchemes with_fallbacks(const ModelLayout& layout, const QuantScheme& scheme);

/// For messages: the types that gguf:TYPE may be.
std::string writable_ggml_types();

}  // namespace nibble
