#include "text/template/evaluator.h"

namespace nibble::jinja {

void Scope::set(int name, Value value) {
  for (auto& [known, current] : variables) {
    if (known == name) {
      current = std::move(value);
      return;
    }
  }
  variables.emplace_back(name, std::move(value));
}

Result<std::string> Evaluator::run(const Json& variables) {
  if (!variables.is_object() && !variables.is_null()) {
    return fail(ErrorCode::kInvalidArgument, "{}: the variables must be a JSON object", tree_.template_name);
  }
  constants_.resize(static_cast<std::size_t>(tree_.num_constants));
  for (const std::string& name : tree_.names) {
    const auto given = variables.is_object() ? variables.find(name) : variables.end();
    const bool found = variables.is_object() && given != variables.end();
    const Function* function = found ? nullptr : find_global(name);
    auto value =
        found ? runtime_.from_json(*given) : (function != nullptr ? runtime_.bind(*function, Value()) : Value());
    if (!value.ok()) return with_context(value.error(), fmt::format("{}: variable '{}'", tree_.template_name, name));
    outer_variables_.push_back(std::move(value).value());
  }
  NIBBLE_TRY(const Value scope, new_scope(Value()));
  std::string text;
  output_ = &text;
  NIBBLE_TRY_STATUS(execute(tree_.root, scope));
  return text;
}

Result<Value> Evaluator::new_scope(const Value& parent) {
  NIBBLE_TRY_STATUS(runtime_.reserve(sizeof(Scope)));
  return runtime_.adopt(new Scope(parent), 0);
}

// ---------------------------------------------------------------- output

Status Evaluator::emit(std::string_view text) {
  NIBBLE_TRY_STATUS(runtime_.work_bytes(text.size()));
  if (text.size() > runtime_.limits().max_output_bytes - output_bytes_) {
    return fail(ErrorCode::kOutOfMemory, "the rendered text exceeds {} bytes", runtime_.limits().max_output_bytes);
  }
  output_bytes_ += text.size();
  *output_ += text;
  return {};
}

Status Evaluator::emit(const Value& value) {
  if (value.is_string()) return emit(value.text());
  NIBBLE_TRY(const std::string text, to_text(runtime_, value));
  return emit(text);
}

Result<Flow> Evaluator::capture(const Block& block, const Value& scope, Value& text) {
  std::string captured;
  std::string* const outer = std::exchange(output_, &captured);
  Result<Flow> flow = execute(block, scope);
  output_ = outer;
  output_bytes_ -= captured.size();
  if (!flow.ok()) return flow;
  NIBBLE_TRY(text, runtime_.string(std::move(captured)));
  return flow;
}

Status Evaluator::print(const Expression& expression, const Value& scope) {
  NIBBLE_TRY(const Value value, evaluate(expression, scope));
  return emit(value);
}

// ---------------------------------------------------------------- statements

Result<Flow> Evaluator::execute(const Block& block, const Value& scope) {
  const DepthGuard guard(runtime_);
  if (!guard.status.ok()) return guard.status.error();
  for (const Statement* statement : block) {
    NIBBLE_TRY(const Flow flow, execute_one(*statement, scope));
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Result<Flow> Evaluator::execute_one(const Statement& statement, const Value& scope) {
  Status counted = runtime_.work(0);
  if (!counted.ok()) return located<Flow>(statement.at, counted.error());
  return located(statement.at, execute_unlocated(statement, scope));
}

Result<Flow> Evaluator::execute_unlocated(const Statement& statement, const Value& scope) {
  switch (statement.kind) {
    case StatementKind::kText:
      NIBBLE_TRY_STATUS(emit(statement.text));
      return Flow::kNormal;
    case StatementKind::kPrint:
      for (const Expression* expression : statement.expressions) NIBBLE_TRY_STATUS(print(*expression, scope));
      return Flow::kNormal;
    case StatementKind::kIf:
      return execute_if(statement, scope);
    case StatementKind::kFor: {
      NIBBLE_TRY(const Value iterable, evaluate(*statement.expressions[0], scope));
      return run_loop(statement, iterable, scope, 0);
    }
    case StatementKind::kSet: {
      NIBBLE_TRY(const Value value, evaluate(*statement.expressions[0], scope));
      NIBBLE_TRY_STATUS(assign(*statement.targets[0], value, scope));
      return Flow::kNormal;
    }
    case StatementKind::kSetBlock:
    case StatementKind::kFilterBlock:
    case StatementKind::kGeneration:
      return execute_captured(statement, scope);
    case StatementKind::kMacro: {
      NIBBLE_TRY(Value macro, make_macro(statement, scope));
      static_cast<Scope*>(scope.object())->set(statement.name, std::move(macro));
      return Flow::kNormal;
    }
    case StatementKind::kCallBlock:
      return execute_call_block(statement, scope);
    case StatementKind::kWith:
      return execute_with(statement, scope);
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

Result<Flow> Evaluator::execute_if(const Statement& statement, const Value& scope) {
  for (std::size_t i = 0; i < statement.expressions.size(); ++i) {
    NIBBLE_TRY(const Value condition, evaluate(*statement.expressions[i], scope));
    if (is_true(condition)) return execute(statement.bodies[i], scope);
  }
  if (statement.bodies.size() > statement.expressions.size()) return execute(statement.bodies.back(), scope);
  return Flow::kNormal;
}

Result<Flow> Evaluator::execute_captured(const Statement& statement, const Value& scope) {
  NIBBLE_TRY(const Value inner, new_scope(scope));
  Value text;
  NIBBLE_TRY(const Flow flow, capture(statement.bodies[0], inner, text));
  if (flow != Flow::kNormal) return flow;  // break leaves the block, and its text is lost, as in Jinja
  if (statement.kind != StatementKind::kGeneration && statement.expressions[0] != nullptr) {
    Value outer = std::exchange(block_text_, text);
    NIBBLE_TRY(text, evaluate(*statement.expressions[0], inner));
    block_text_ = std::move(outer);
  }
  if (statement.kind == StatementKind::kSetBlock) {
    NIBBLE_TRY_STATUS(assign(*statement.targets[0], text, scope));
  } else {
    NIBBLE_TRY_STATUS(emit(text));
  }
  return Flow::kNormal;
}

Result<Flow> Evaluator::execute_with(const Statement& statement, const Value& scope) {
  NIBBLE_TRY(const Value inner, new_scope(scope));
  for (std::size_t i = 0; i < statement.targets.size(); ++i) {
    NIBBLE_TRY(const Value value, evaluate(*statement.expressions[i], scope));
    NIBBLE_TRY_STATUS(assign(*statement.targets[i], value, inner));
  }
  return execute(statement.bodies[0], inner);
}

Result<Flow> Evaluator::execute_call_block(const Statement& statement, const Value& scope) {
  NIBBLE_TRY(Value caller, make_macro(statement, scope));
  const Expression& written = *statement.expressions[0];
  NIBBLE_TRY(const Value callee, evaluate(*written.parts[0], scope));
  NIBBLE_TRY(Arguments arguments, evaluate_arguments(*written.arguments, scope));
  NIBBLE_TRY(Value name, runtime_.string("caller"));
  arguments.keywords.emplace_back(std::move(name), std::move(caller));
  NIBBLE_TRY(const Value result, call(callee, std::move(arguments)));
  NIBBLE_TRY_STATUS(emit(result));
  return Flow::kNormal;
}

Status Evaluator::assign(const Expression& target, const Value& value, const Value& scope) {
  if (target.kind == ExpressionKind::kName) {
    static_cast<Scope*>(scope.object())->set(target.name, value);
    return {};
  }
  if (target.kind == ExpressionKind::kNamespaceAttribute) {
    const Value space = lookup(target.name, scope);
    if (!space.is(Kind::kNamespace)) {
      return fail(ErrorCode::kInvalidArgument, "cannot assign attribute on non-namespace object '{}'",
                  tree_.names[static_cast<std::size_t>(target.name)]);
    }
    if (target.text[0] == '_') {
      return fail(ErrorCode::kInvalidArgument, "a namespace may not have attributes that begin with an underscore");
    }
    return runtime_.set(space, target.text, value);
  }
  NIBBLE_TRY(const std::vector<Value> items, to_vector(runtime_, value));
  if (items.size() != target.parts.size()) {
    return fail(ErrorCode::kInvalidArgument, "expected {} values to unpack, got {}", target.parts.size(), items.size());
  }
  for (std::size_t i = 0; i < items.size(); ++i) NIBBLE_TRY_STATUS(assign(*target.parts[i], items[i], scope));
  return {};
}

}  // namespace nibble::jinja
