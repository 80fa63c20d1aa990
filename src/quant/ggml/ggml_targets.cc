#include "quant/ggml/ggml_targets.h"

#include "base/log.h"
#include "format/ggml_types.h"
#include "io/ggml.h"
#include "quant/float_view.h"
#include "tensor/ggml_schemes.h"

namespace nibble {
namespace {

/// The element type of ggml's float types; nullptr for block types.
const ElementType* float_element_of(int type) {
  static constexpr ElementType kElements[] = {ElementType::kF32, ElementType::kF16, ElementType::kBf16};
  for (const ElementType& element : kElements)
    if (find_ggml_type(element_info(element).name)->id == type) return &element;
  return nullptr;
}

/// The type that stores a scheme.
Result<int> type_of(const QuantScheme& scheme) {
  if (const std::optional<int> type = ggml_type_of(scheme)) {
    NIBBLE_TRY_STATUS(check_ggml_quantizer(*type));
    return *type;
  }
  return fail(ErrorCode::kUnsupported, "{} is no type of GGUF; known: {}", to_string(scheme), writable_ggml_types());
}

/// What the matrix says of a linear; null where it says nothing.
Result<Importance> importance_of(const Imatrix* imatrix, const std::string& tensor, const LinearInfo& info) {
  if (imatrix == nullptr) return Importance();
  const ImatrixEntry* entry = imatrix->find(tensor);
  if (entry == nullptr) {
    if (info.role == LinearInfo::Role::kBlock)
      log_warning("the importance matrix has no \"{}\"; it is quantized without", tensor);
    return Importance();
  }
  if (entry->matrices != 1 || entry->columns() != info.cols)
    return fail(ErrorCode::kInvalidArgument,
                "\"{}\": the importance matrix has {} x {} columns, the model {}; it was made for another model",
                tensor, entry->matrices, entry->columns(), info.cols);
  return std::make_shared<const std::vector<float>>(entry->means());
}

/// The type that a recipe gives every linear of a model.
class RecipeTypes {
 public:
  RecipeTypes(const ModelFiles& files, const GgufRecipe& recipe, bool importance) : files_(files), recipe_(recipe) {
    const ModelConfig& config = files.config();
    model_.architecture = files.architecture().gguf_name;
    model_.layers = config.num_hidden_layers;
    model_.heads = config.num_attention_heads;
    model_.kv_heads = config.num_key_value_heads;
    model_.tied = files.layout().head == files.layout().embedding;
    model_.has_imatrix = importance;
  }
  std::string name(const LinearInfo& info) const { return gguf_name_of(files_.architecture(), info.name + ".weight"); }
  Result<int> of(const LinearInfo& info) const {
    return recipe_type(recipe_, model_, {name(info), info.layer, info.cols});
  }

 private:
  const ModelFiles& files_;
  const GgufRecipe& recipe_;
  RecipeModel model_;
};

}  // namespace

Result<MatrixTarget> ggml_target(LinearId id, MatrixPtr original, int type, Importance importance) {
  MatrixTarget target{id, original, nullptr, &kGgmlFamily, false, {}};
  if (const ElementType* element = float_element_of(type)) {
    target.matrix = float_view(original, *element);
    target.exact = float_view_is_exact(original->scheme(), *element);
    return target;
  }
  NIBBLE_TRY(const QuantScheme wanted, ggml_scheme(type));
  if (wanted == original->scheme()) {
    target.matrix = std::move(original);
    target.exact = true;
    return target;
  }
  target.quantize = [type, importance](MatrixPtr rows) { return quantize_to_ggml(std::move(rows), type, importance); };
  NIBBLE_TRY(target.matrix, target.quantize(std::move(original)));
  return target;
}

Result<std::vector<MatrixTarget>> recipe_targets(const ModelFiles& files, const GgufRecipe& recipe,
                                                 const Imatrix* imatrix,
                                                 std::span<const std::optional<QuantScheme>> given) {
  const ModelLayout& layout = files.layout();
  const RecipeTypes types(files, recipe, imatrix != nullptr);
  std::vector<MatrixTarget> targets;
  for (std::size_t i = 0; i < layout.linears.size(); ++i) {
    const LinearInfo& info = layout.linears[i];
    const auto id = static_cast<LinearId>(i);
    Result<int> type = given[i] ? type_of(with_fallbacks(layout, *given[i]).of(id)) : types.of(info);
    if (!type.ok()) return with_context(type.error(), info.name);
    NIBBLE_TRY(MatrixPtr original, files.matrix(id));
    NIBBLE_TRY(Importance importance, importance_of(imatrix, types.name(info), info));
    Result<MatrixTarget> target = ggml_target(id, std::move(original), *type, std::move(importance));
    if (!target.ok()) return with_context(target.error(), info.name);
    targets.push_back(std::move(*target));
  }
  return targets;
}

Result<LinearSchemes> recipe_schemes(const ModelFiles& files, const GgufRecipe& recipe, bool importance) {
  const RecipeTypes types(files, recipe, importance);
  std::vector<QuantScheme> schemes;
  for (const LinearInfo& info : files.layout().linears) {
    NIBBLE_TRY(const int type, types.of(info));
    NIBBLE_TRY(schemes.emplace_back(), ggml_scheme(type));
  }
  return LinearSchemes(std::move(schemes));
}

LinearSchemes with_fallbacks(const ModelLayout& layout, const QuantScheme& scheme) {
  const std::optional<int> type = ggml_type_of(scheme);
  if (!type) return scheme;
  std::vector<QuantScheme> schemes;
  for (const LinearInfo& info : layout.linears) {
    const std::optional<int> stored = ggml_type_of_rows(*type, info.cols);
    schemes.push_back(stored ? ggml_scheme(*stored).value() : scheme);
  }
  return LinearSchemes(std::move(schemes));
}

std::string writable_ggml_types() {
  std::string names;
  for (const GgmlTypeInfo& type : ggml_types())
    if (check_ggml_quantizer(type.id).ok()) names += (names.empty() ? "" : ", ") + std::string(type.name);
  return names;
}

}  // namespace nibble
