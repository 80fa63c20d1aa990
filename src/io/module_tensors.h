// The tensors of one module ("model.layers.0.mlp.up_proj" + ".weight_scale") while a family opens a checkpoint: every
// one is checked for type, shape and size before its bytes are used, and errors are worded alike in all families.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "io/family.h"

namespace nibble {

/// Any extent in an expected shape.
inline constexpr std::int64_t kAnyExtent = -1;

/// Rows or columns of a matrix beyond this are refused, so that products of sizes cannot overflow.
inline constexpr std::int64_t kMaxExtent = (std::int64_t{1} << 31) - 1;

class ModuleTensors {
 public:
  ModuleTensors(const FamilyInput& input, std::string module) : input_(&input), module_(std::move(module)) {}

  const std::string& module() const { return module_; }

  /// The tensor module + suffix, or nullptr; nothing is checked.
  const StoredTensor* find(std::string_view suffix) const;

  /// The tensor module + suffix, checked and noted as part of the module. `elements` lists the types allowed.
  Result<const StoredTensor*> need(std::string_view suffix, std::initializer_list<ElementType> elements,
                                   std::initializer_list<std::int64_t> shape);
  /// As need(), of any shape.
  Result<const StoredTensor*> need(std::string_view suffix, std::initializer_list<ElementType> elements);
  /// As need(), with exactly `count` elements in any shape (scalars and squeezed grids).
  Result<const StoredTensor*> need_count(std::string_view suffix, std::initializer_list<ElementType> elements,
                                         std::int64_t count);

  /// "PATH: MODULE: ..." with the formatted rest.
  template <typename... Args>
  Error error(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) const {
    return fail(code, "{}: module \"{}\": {}", input_->what, printable(module_),
                fmt::format(format, std::forward<Args>(args)...));
  }
  /// An error of a callee, with path and module in front.
  Error in_module(Error error) const {
    return with_context(std::move(error), input_->what + ": module \"" + printable(module_) + "\"");
  }

  FamilyModule finish(MatrixPtr weight) { return {module_, std::move(weight), consumed_}; }

 private:
  Status check_bytes(const StoredTensor& tensor) const;

  const FamilyInput* input_;
  std::string module_;
  std::vector<const StoredTensor*> consumed_;
};

/// Prefixes of all tensors whose name ends in `suffix` (".weight_packed"), in file order.
std::vector<std::string> modules_with(const TensorSet& tensors, std::string_view suffix);

/// "[2, 3]", for messages.
std::string shape_text(const std::vector<std::int64_t>& shape);

/// A scalar tensor's value as float32; the tensor has one element of a plain type.
float scalar_value(const StoredTensor& tensor);

/// Elements of an I32 or I64 tensor.
std::int64_t integer_element(const StoredTensor& tensor, std::int64_t index);

/// The two numbers of a JSON list like [128, 128], both 1 to kMaxExtent; nothing for anything else.
std::optional<std::pair<std::int64_t, std::int64_t>> extent_pair(const Json& json);

}  // namespace nibble
