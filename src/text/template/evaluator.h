// Walks the syntax tree: one object for one rendering. Statements in statements.cc, expressions in expressions.cc,
// macros and other calls in calls.cc, loops in loop.cc.
#pragma once

#include "text/template/builtin.h"
#include "text/template/printing.h"
#include "text/template/syntax_tree.h"

namespace nibble::jinja {

/// The variables of a block. Assignment goes to the innermost scope, reading looks outwards. Macros keep the scope that
/// they were defined in.
struct Scope : Object {
  explicit Scope(Value outer) : Object(Kind::kScope), parent(std::move(outer)) {}
  void clear() noexcept override {
    variables.clear();
    parent = Value();
  }
  void set(int name, Value value);

  Value parent;  ///< a Scope, or missing
  std::vector<std::pair<int, Value>> variables;
};

enum class Flow { kNormal, kBreak, kContinue };

class LoopObject;

class Evaluator {
 public:
  Evaluator(const SyntaxTree& tree, Runtime& runtime) : tree_(tree), runtime_(runtime) {}

  /// Renders with the variables that the template mentions.
  Result<std::string> run(const Json& variables);

  Runtime& runtime() { return runtime_; }
  const SyntaxTree& tree() const { return tree_; }

  // ---- statements
  Result<Flow> execute(const Block& block, const Value& scope);
  /// Assigns to a name, a tuple of them or a namespace's attribute.
  Status assign(const Expression& target, const Value& value, const Value& scope);
  Result<Value> new_scope(const Value& parent);
  /// Runs the loop of `statement` over `iterable` (also for recursive calls, which raise `depth`).
  Result<Flow> run_loop(const Statement& statement, const Value& iterable, const Value& scope, int depth);

  // ---- expressions
  Result<Value> evaluate(const Expression& expression, const Value& scope);

  // ---- calls
  Result<Value> call(const Value& callee, Arguments arguments);

 private:
  // ---- statements
  Result<Flow> execute_one(const Statement& statement, const Value& scope);
  Result<Flow> execute_unlocated(const Statement& statement, const Value& scope);
  Result<Flow> execute_if(const Statement& statement, const Value& scope);
  Result<Flow> execute_captured(const Statement& statement, const Value& scope);
  Result<Flow> execute_with(const Statement& statement, const Value& scope);
  Result<Flow> execute_call_block(const Statement& statement, const Value& scope);
  Status print(const Expression& expression, const Value& scope);
  Status emit(std::string_view text);
  Status emit(const Value& value);
  /// Runs `block` and puts its text into `text` instead of the output.
  Result<Flow> capture(const Block& block, const Value& scope, Value& text);

  // ---- expressions
  Result<Value> evaluate_unlocated(const Expression& expression, const Value& scope);
  Result<Value> evaluate_literal(const Expression& expression, const Value& scope);
  Result<Value> evaluate_name(const Expression& expression, const Value& scope);
  Result<Value> evaluate_items(const Expression& expression, const Value& scope);
  Result<Value> evaluate_dict(const Expression& expression, const Value& scope);
  Result<Value> evaluate_unary(const Expression& expression, const Value& scope);
  Result<Value> evaluate_binary(const Expression& expression, const Value& scope);
  Result<Value> evaluate_concatenate(const Expression& expression, const Value& scope);
  Result<Value> evaluate_compare(const Expression& expression, const Value& scope);
  Result<Value> evaluate_logic(const Expression& expression, const Value& scope);
  Result<Value> evaluate_conditional(const Expression& expression, const Value& scope);
  Result<Value> evaluate_attribute(const Expression& expression, const Value& scope);
  Result<Value> evaluate_subscript(const Expression& expression, const Value& scope);
  Result<Value> evaluate_slice(const Expression& expression, const Value& scope);
  Result<Value> evaluate_call(const Expression& expression, const Value& scope);
  Result<Value> evaluate_filter(const Expression& expression, const Value& scope);
  Result<Value> evaluate_test(const Expression& expression, const Value& scope);
  /// The value of a part that may be left out.
  Result<Value> evaluate_optional(const Expression* expression, const Value& scope);
  Value lookup(int name, const Value& scope) const;

  // ---- calls
  Result<Arguments> evaluate_arguments(const CallArguments& written, const Value& scope);
  Result<Value> make_macro(const Statement& statement, const Value& scope);
  Result<Value> call_macro(const Value& macro, Arguments arguments);
  Result<Value> call_loop(LoopObject& loop, const Arguments& arguments);
  Status bind_parameters(const Statement& statement, Arguments& arguments, const Value& scope);

  template <typename T>
  Result<T> located(Position at, Result<T> result);

  const SyntaxTree& tree_;
  Runtime& runtime_;
  std::vector<Value> outer_variables_;  ///< by name: what the caller gave, and the global functions
  std::vector<Value> constants_;
  Value block_text_;  ///< what the filter of a filter or set block is applied to
  std::string* output_ = nullptr;
  std::size_t output_bytes_ = 0;  ///< of all texts that are being built
  bool located_ = false;          ///< the error on its way out says where it happened
};

/// Puts the place in front of the message of an error that has none yet.
template <typename T>
Result<T> Evaluator::located(Position at, Result<T> result) {
  if (result.ok() || located_) return result;
  located_ = true;
  return error_at(result.error().code, tree_.template_name, at, result.error().message);
}

}  // namespace nibble::jinja
