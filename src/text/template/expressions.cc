#include "text/template/evaluator.h"

namespace nibble::jinja {

Result<Value> Evaluator::evaluate(const Expression& expression, const Value& scope) {
  const DepthGuard guard(runtime_);
  if (!guard.status.ok()) return located<Value>(expression.at, guard.status.error());
  return located(expression.at, evaluate_unlocated(expression, scope));
}

Result<Value> Evaluator::evaluate_unlocated(const Expression& expression, const Value& scope) {
  switch (expression.kind) {
    case ExpressionKind::kName:
      return evaluate_name(expression, scope);
    case ExpressionKind::kText:
    case ExpressionKind::kInteger:
    case ExpressionKind::kReal:
    case ExpressionKind::kBoolean:
    case ExpressionKind::kNone:
      return evaluate_literal(expression, scope);
    case ExpressionKind::kTuple:
    case ExpressionKind::kList:
      return evaluate_items(expression, scope);
    case ExpressionKind::kDict:
      return evaluate_dict(expression, scope);
    case ExpressionKind::kUnary:
      return evaluate_unary(expression, scope);
    case ExpressionKind::kBinary:
      return evaluate_binary(expression, scope);
    case ExpressionKind::kConcatenate:
      return evaluate_concatenate(expression, scope);
    case ExpressionKind::kCompare:
      return evaluate_compare(expression, scope);
    case ExpressionKind::kAnd:
    case ExpressionKind::kOr:
      return evaluate_logic(expression, scope);
    case ExpressionKind::kConditional:
      return evaluate_conditional(expression, scope);
    case ExpressionKind::kAttribute:
      return evaluate_attribute(expression, scope);
    case ExpressionKind::kSubscript:
      return evaluate_subscript(expression, scope);
    case ExpressionKind::kSlice:
      return evaluate_slice(expression, scope);
    case ExpressionKind::kCall:
      return evaluate_call(expression, scope);
    case ExpressionKind::kFilter:
      return evaluate_filter(expression, scope);
    case ExpressionKind::kTest:
      return evaluate_test(expression, scope);
    case ExpressionKind::kNamespaceAttribute:
      break;
  }
  return fail(ErrorCode::kInvalidArgument, "this can only be assigned to");
}

Result<Value> Evaluator::evaluate_literal(const Expression& expression, const Value&) {
  switch (expression.kind) {
    case ExpressionKind::kText: {
      Value& constant = constants_[static_cast<std::size_t>(expression.constant)];
      if (constant.is_missing()) {
        NIBBLE_TRY(constant, runtime_.string(expression.text));
      }
      return constant;
    }
    case ExpressionKind::kInteger:
      return Value::integer(expression.integer);
    case ExpressionKind::kReal:
      return Value::real(expression.real);
    case ExpressionKind::kBoolean:
      return Value::boolean(expression.integer != 0);
    default:
      return Value::none();
  }
}

Value Evaluator::lookup(int name, const Value& scope) const {
  for (const Value* at = &scope; !at->is_missing();) {
    const auto* current = static_cast<const Scope*>(at->object());
    for (const auto& [known, value] : current->variables) {
      if (known == name) return value;
    }
    at = &current->parent;
  }
  return outer_variables_[static_cast<std::size_t>(name)];
}

Result<Value> Evaluator::evaluate_name(const Expression& expression, const Value& scope) {
  Value value = lookup(expression.name, scope);
  if (!value.is_missing()) return value;
  const std::string& name = tree_.names[static_cast<std::size_t>(expression.name)];
  return runtime_.undefined(fmt::format("'{}' is undefined", name.substr(0, 80)));
}

Result<Value> Evaluator::evaluate_items(const Expression& expression, const Value& scope) {
  std::vector<Value> items;
  items.reserve(expression.parts.size());
  for (const Expression* part : expression.parts) {
    NIBBLE_TRY(Value item, evaluate(*part, scope));
    items.push_back(std::move(item));
  }
  return expression.kind == ExpressionKind::kList ? runtime_.list(std::move(items)) : runtime_.tuple(std::move(items));
}

Result<Value> Evaluator::evaluate_dict(const Expression& expression, const Value& scope) {
  NIBBLE_TRY(Value result, runtime_.dict());
  for (std::size_t i = 0; i < expression.parts.size(); i += 2) {
    NIBBLE_TRY(Value key, evaluate(*expression.parts[i], scope));
    NIBBLE_TRY(Value value, evaluate(*expression.parts[i + 1], scope));
    if (!is_hashable(key)) return unhashable(key);
    NIBBLE_TRY_STATUS(runtime_.set(result, std::move(key), std::move(value)));
  }
  return result;
}

Result<Value> Evaluator::evaluate_unary(const Expression& expression, const Value& scope) {
  NIBBLE_TRY(const Value operand, evaluate(*expression.parts[0], scope));
  if (expression.sign == '!') return Value::boolean(!is_true(operand));
  return expression.sign == '-' ? negate(operand) : unary_plus(operand);
}

Result<Value> Evaluator::evaluate_binary(const Expression& expression, const Value& scope) {
  NIBBLE_TRY(const Value left, evaluate(*expression.parts[0], scope));
  NIBBLE_TRY(const Value right, evaluate(*expression.parts[1], scope));
  return binary(runtime_, expression.binary_operator, left, right);
}

Result<Value> Evaluator::evaluate_concatenate(const Expression& expression, const Value& scope) {
  TextBuilder text(runtime_);
  for (const Expression* part : expression.parts) {
    NIBBLE_TRY(const Value value, evaluate(*part, scope));
    NIBBLE_TRY(const Value printed, to_string(runtime_, value));
    text.append(printed.text());
  }
  return text.finish();
}

Result<Value> Evaluator::evaluate_compare(const Expression& expression, const Value& scope) {
  NIBBLE_TRY(Value left, evaluate(*expression.parts[0], scope));
  for (std::size_t i = 0; i < expression.comparisons.size(); ++i) {
    NIBBLE_TRY(Value right, evaluate(*expression.parts[i + 1], scope));
    NIBBLE_TRY(const bool holds, compare(runtime_, expression.comparisons[i], left, right));
    if (!holds) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Result<Value> Evaluator::evaluate_logic(const Expression& expression, const Value& scope) {
  NIBBLE_TRY(Value left, evaluate(*expression.parts[0], scope));
  const bool decided = is_true(left) == (expression.kind == ExpressionKind::kOr);
  if (decided) return left;
  return evaluate(*expression.parts[1], scope);
}

Result<Value> Evaluator::evaluate_conditional(const Expression& expression, const Value& scope) {
  NIBBLE_TRY(const Value condition, evaluate(*expression.parts[1], scope));
  if (is_true(condition)) return evaluate(*expression.parts[0], scope);
  if (expression.parts[2] != nullptr) return evaluate(*expression.parts[2], scope);
  return runtime_.undefined("the inline if-expression evaluated to false and no else section was defined");
}

Result<Value> Evaluator::evaluate_attribute(const Expression& expression, const Value& scope) {
  NIBBLE_TRY(const Value value, evaluate(*expression.parts[0], scope));
  return get_attribute(runtime_, value, expression.text);
}

Result<Value> Evaluator::evaluate_subscript(const Expression& expression, const Value& scope) {
  NIBBLE_TRY(const Value value, evaluate(*expression.parts[0], scope));
  NIBBLE_TRY(const Value key, evaluate(*expression.parts[1], scope));
  return get_item(runtime_, value, key);
}

Result<Value> Evaluator::evaluate_optional(const Expression* expression, const Value& scope) {
  if (expression == nullptr) return Value();
  return evaluate(*expression, scope);
}

Result<Value> Evaluator::evaluate_slice(const Expression& expression, const Value& scope) {
  NIBBLE_TRY(const Value value, evaluate(*expression.parts[0], scope));
  NIBBLE_TRY(const Value start, evaluate_optional(expression.parts[1], scope));
  NIBBLE_TRY(const Value stop, evaluate_optional(expression.parts[2], scope));
  NIBBLE_TRY(const Value step, evaluate_optional(expression.parts[3], scope));
  return get_slice(runtime_, value, start, stop, step);
}

Result<Value> Evaluator::evaluate_filter(const Expression& expression, const Value& scope) {
  const Function* filter = find_filter(expression.text);
  if (filter == nullptr) return fail(ErrorCode::kUnsupported, "No filter named '{}'.", expression.text.substr(0, 80));
  Value value = block_text_;
  if (expression.parts[0] != nullptr) {
    NIBBLE_TRY(value, evaluate(*expression.parts[0], scope));
  }
  NIBBLE_TRY(Arguments arguments, evaluate_arguments(*expression.arguments, scope));
  return invoke(runtime_, *filter, std::move(value), std::move(arguments));
}

Result<Value> Evaluator::evaluate_test(const Expression& expression, const Value& scope) {
  const Function* test = find_test(expression.text);
  if (test == nullptr) return fail(ErrorCode::kUnsupported, "No test named '{}'.", expression.text.substr(0, 80));
  NIBBLE_TRY(Value value, evaluate(*expression.parts[0], scope));
  NIBBLE_TRY(Arguments arguments, evaluate_arguments(*expression.arguments, scope));
  return invoke(runtime_, *test, std::move(value), std::move(arguments));
}

}  // namespace nibble::jinja
