// The operators of the template language, with Python's meaning. Errors say what Python's exception would say.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "text/template/runtime.h"

namespace nibble::jinja {

enum class BinaryOperator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
enum class Comparison { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };

bool is_true(const Value& value);
/// The number of items, or of code points; nothing for values without a length.
std::optional<std::int64_t> length_of(const Value& value);
/// Whether Python could use the value as a key.
bool is_hashable(const Value& value, int depth = 0);
Error unhashable(const Value& value);
/// "'x' is undefined": the error of using an undefined value.
Error use_of_undefined(const Value& undefined);

Result<bool> equals(Runtime& runtime, const Value& a, const Value& b, int depth = 0);
/// Negative, zero or positive; fails for values without an order. `symbol` is the operator for the message.
/// Not-a-number compares as unordered: nothing.
Result<std::optional<int>> order(Runtime& runtime, const Value& a, const Value& b, std::string_view symbol,
                                 int depth = 0);
Result<bool> compare(Runtime& runtime, Comparison comparison, const Value& a, const Value& b);
Result<bool> contains(Runtime& runtime, const Value& container, const Value& item);

Result<Value> binary(Runtime& runtime, BinaryOperator op, const Value& a, const Value& b);
Result<Value> negate(const Value& value);
Result<Value> unary_plus(const Value& value);

/// value.name: methods first, then entries, as Jinja does; undefined when there is neither.
Result<Value> get_attribute(Runtime& runtime, const Value& value, std::string_view name);
/// value.name without the entries of a dictionary, as the attr filter has it.
Result<Value> get_own_attribute(Runtime& runtime, const Value& value, std::string_view name);
/// value[key]: entries first, then methods.
Result<Value> get_item(Runtime& runtime, const Value& value, const Value& key);
/// value[start:stop:step]; missing and none bounds are open.
Result<Value> get_slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop, const Value& step);

/// Walks over a value as `for` does. A list that grows during the walk is walked to its new end.
class Cursor {
 public:
  /// Fails for values that cannot be iterated over.
  static Result<Cursor> over(Runtime& runtime, const Value& value);
  /// The next item, or a missing value at the end.
  Result<Value> next(Runtime& runtime);

 private:
  explicit Cursor(Value source) : source_(std::move(source)) {}

  Value source_;
  std::size_t position_ = 0;
};

/// All items; uses up an iterator.
Result<std::vector<Value>> to_vector(Runtime& runtime, const Value& value);

/// Sorts stably by `keys` (one per item); fails when two keys have no order.
Status sort_by_keys(Runtime& runtime, std::vector<Value>& items, const std::vector<Value>& keys, bool descending);

}  // namespace nibble::jinja
