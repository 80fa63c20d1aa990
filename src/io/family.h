// A checkpoint family: how quantized matrices lie in a container's tensors. One file per family (io/<name>.cc), one
// line in io/all_families.cc. No family knows another; all meet in QuantizedMatrix.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "io/stored_tensor.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// What a family sees of a checkpoint while it is opened.
struct FamilyInput {
  std::string what;                 ///< path, for messages
  const Json& config;               ///< config.json or an empty object
  const Json& quantization_config;  ///< or null
  const TensorSet& tensors;
  bool is_gguf = false;
};

/// One module that a family recognised.
struct FamilyModule {
  std::string module;  ///< "model.layers.0.mlp.up_proj"
  MatrixPtr weight;
  std::vector<const StoredTensor*> consumed;  ///< the tensors that hold it
};

/// A tensor that encoding a matrix will produce.
struct EncodedPlan {
  std::string name;                 ///< full name: "model.layers.0.mlp.up_proj.weight_packed"
  std::vector<std::int64_t> shape;  ///< row-major
  ElementType element = ElementType::kF32;
  int ggml_type = -1;  ///< GGUF only
};

/// Receives bytes of planned tensor number `index` at `offset` within it.
using EncodedSink = std::function<Status(std::size_t index, std::uint64_t offset, std::span<const std::byte> bytes)>;

/// A module as written, for the quantization_config.
struct WrittenModule {
  std::string module;
  QuantScheme scheme;
  bool is_linear = true;  ///< false for embeddings
  std::int64_t rows = 0;
  std::int64_t cols = 0;  ///< configs give the group size of an act-order matrix, schemes the number of groups
};

struct Family {
  std::string_view name;

  /// Is this checkpoint's quantization this family's? Decides on quant_method and on tensor names and types.
  bool (*detect)(const FamilyInput& input) = nullptr;

  /// Every module of the checkpoint that this family holds. Checks shapes, types and config against each other; an
  /// error names the tensor and the field. Log messages report quirks that were mended.
  Result<std::vector<FamilyModule>> (*open)(const FamilyInput& input) = nullptr;

  /// Success when the family can hold matrices of this scheme and shape exactly; else the reason, said to a user.
  /// nullptr: the family is read only.
  Status (*can_express)(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols) = nullptr;

  /// The tensors that a module of this scheme and shape becomes.
  Result<std::vector<EncodedPlan>> (*plan)(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols,
                                           const std::string& module) = nullptr;

  /// Encodes a range of rows (a multiple of row_step, or to the end) of a module into its planned tensors. Ranges cover
  /// the matrix once, in any order and from many threads at once; tensor-wide planes (a scale per tensor) are written
  /// with the first rows.
  Status (*encode)(const QuantizedMatrix& rows, const std::string& module, const EncodedSink& sink) = nullptr;

  /// The quantization_config of a folder with these modules; `unquantized` names the linear modules left in float.
  Json (*quantization_config)(std::span<const WrittenModule> modules,
                              std::span<const std::string> unquantized) = nullptr;

  /// The scheme to write a module in beside the others of its checkpoint, where readers expect something of all that
  /// can_express(), which sees one, does not know: the same values, or an error that says what must agree. `all` holds
  /// each scheme of a module once. nullptr: modules are independent.
  Result<QuantScheme> (*scheme_among)(const QuantScheme& scheme, std::span<const QuantScheme> all) = nullptr;

  /// The configuration says each module's scheme: different ones may stand beside each other.
  bool mixes_schemes = false;

  /// can_express() and the others know schemes with a supplement.
  bool holds_supplements = false;

  /// Rows that encode() wants at once (0: all of them).
  std::int64_t (*encode_row_step)(const QuantScheme& scheme) = nullptr;

  /// What those who choose a scheme to write ask: can_express(), and no where there is a supplement that the family
  /// does not know.
  Status expresses(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols) const;
};

/// The one list, in order of detection.
std::span<const Family* const> all_families();
const Family* find_family(std::string_view name);

}  // namespace nibble
