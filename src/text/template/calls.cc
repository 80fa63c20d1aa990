// Calls: of functions and methods, macros, the callers of call blocks, and loops that call themselves.
#include <algorithm>

#include "text/template/evaluator.h"
#include "text/template/loop.h"
#include "text/template/python_text.h"

namespace nibble::jinja {
namespace {

struct MacroObject : SpecialObject {
  MacroObject(const Statement& definition, const SyntaxTree& syntax, Value defined_in)
      : SpecialObject(Kind::kMacro), statement(&definition), tree(&syntax), scope(std::move(defined_in)) {}
  void clear() noexcept override { scope = Value(); }

  Result<Value> attribute(Runtime& runtime, std::string_view wanted) override {
    const Signature& signature = *statement->signature;
    if (wanted == "name") {
      return statement->name < 0 ? Result<Value>(Value::none())
                                 : runtime.string(tree->names[static_cast<std::size_t>(statement->name)]);
    }
    if (wanted == "catch_kwargs") return Value::boolean(signature.uses.kwargs);
    if (wanted == "catch_varargs") return Value::boolean(signature.uses.varargs);
    if (wanted == "caller") return Value::boolean(signature.uses.caller);
    if (wanted != "arguments") return Value();
    std::vector<Value> names;
    for (const int parameter : signature.parameters) {
      NIBBLE_TRY(Value name, runtime.string(tree->names[static_cast<std::size_t>(parameter)]));
      names.push_back(std::move(name));
    }
    return runtime.tuple(std::move(names));
  }

  std::string repr() const override {
    if (statement->name < 0) return "<Macro anonymous>";
    std::string out = "<Macro ";
    append_repr(out, tree->names[static_cast<std::size_t>(statement->name)]);
    return out + ">";
  }

  const Statement* statement;
  const SyntaxTree* tree;
  Value scope;
};

/// Moves the keyword argument called `name` out; missing when there is none.
Value take_keyword(Arguments& arguments, std::string_view name) {
  for (auto entry = arguments.keywords.begin(); entry != arguments.keywords.end(); ++entry) {
    if (entry->first.text() != name) continue;
    Value value = entry->second;
    arguments.keywords.erase(entry);
    return value;
  }
  return Value();
}

}  // namespace

Result<Arguments> Evaluator::evaluate_arguments(const CallArguments& written, const Value& scope) {
  Arguments arguments;
  for (const Expression* argument : written.positional) {
    NIBBLE_TRY(Value value, evaluate(*argument, scope));
    arguments.positional.push_back(std::move(value));
  }
  if (written.spread != nullptr) {
    NIBBLE_TRY(const Value list, evaluate(*written.spread, scope));
    NIBBLE_TRY(const std::vector<Value> items, to_vector(runtime_, list));
    arguments.positional.insert(arguments.positional.end(), items.begin(), items.end());
  }
  for (const auto& [name, argument] : written.keywords) {
    NIBBLE_TRY(Value key, runtime_.string(name));
    NIBBLE_TRY(Value value, evaluate(*argument, scope));
    arguments.keywords.emplace_back(std::move(key), std::move(value));
  }
  if (written.spread_keywords != nullptr) {
    NIBBLE_TRY(const Value dict, evaluate(*written.spread_keywords, scope));
    if (!dict.is_dict())
      return fail(ErrorCode::kInvalidArgument, "argument after ** must be a mapping, not {}", type_name(dict));
    if (dict.dict().entries.size() > 1000) return fail(ErrorCode::kInvalidArgument, "more than 1000 keyword arguments");
    for (const auto& entry : dict.dict().entries) {
      if (!entry.first.is_string()) return fail(ErrorCode::kInvalidArgument, "keywords must be strings");
      for (const auto& known : written.keywords) {
        if (known.first == entry.first.text()) {
          return fail(ErrorCode::kInvalidArgument, "got multiple values for keyword argument '{}'",
                      known.first.substr(0, 80));
        }
      }
      arguments.keywords.push_back(entry);
    }
  }
  return arguments;
}

Result<Value> Evaluator::evaluate_call(const Expression& expression, const Value& scope) {
  NIBBLE_TRY(const Value callee, evaluate(*expression.parts[0], scope));
  NIBBLE_TRY(Arguments arguments, evaluate_arguments(*expression.arguments, scope));
  return call(callee, std::move(arguments));
}

Result<Value> Evaluator::call(const Value& callee, Arguments arguments) {
  switch (callee.kind()) {
    case Kind::kFunction:
      return invoke(runtime_, *callee.function().function, callee.function().self, std::move(arguments));
    case Kind::kMacro:
      return call_macro(callee, std::move(arguments));
    case Kind::kLoop:
      return call_loop(static_cast<LoopObject&>(callee.special()), arguments);
    case Kind::kUndefined:
      return use_of_undefined(callee);
    default:
      return fail(ErrorCode::kInvalidArgument, "'{}' object is not callable", type_name(callee));
  }
}

Result<Value> Evaluator::make_macro(const Statement& statement, const Value& scope) {
  NIBBLE_TRY_STATUS(runtime_.reserve(0));
  return runtime_.adopt(new MacroObject(statement, tree_, scope), 0);
}

Status Evaluator::bind_parameters(const Statement& statement, Arguments& arguments, const Value& scope) {
  const Signature& signature = *statement.signature;
  auto& variables = *static_cast<Scope*>(scope.object());
  const std::size_t count = signature.parameters.size();
  const std::size_t first_default = count - signature.defaults.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::string& name = tree_.names[static_cast<std::size_t>(signature.parameters[i])];
    Value value = i < arguments.positional.size() ? arguments.positional[i] : take_keyword(arguments, name);
    if (value.is_missing() && i >= first_default) {
      NIBBLE_TRY(value, evaluate(*signature.defaults[i - first_default], scope));
    }
    if (value.is_missing())
      value = runtime_.undefined(fmt::format("parameter '{}' was not provided", name.substr(0, 80)));
    variables.set(signature.parameters[i], std::move(value));
  }
  const bool own_caller = std::find(signature.parameters.begin(), signature.parameters.end(), tree_.caller_name) !=
                          signature.parameters.end();
  if (signature.uses.caller && !own_caller) {
    Value caller = take_keyword(arguments, "caller");
    if (caller.is_missing() || caller.is_none()) caller = runtime_.undefined("No caller defined");
    variables.set(tree_.caller_name, std::move(caller));
  }
  return {};
}

Result<Value> Evaluator::call_macro(const Value& macro, Arguments arguments) {
  const DepthGuard guard(runtime_);
  if (!guard.status.ok()) return guard.status.error();
  const auto& object = static_cast<const MacroObject&>(macro.special());
  const Statement& statement = *object.statement;
  const SpecialNames& uses = statement.signature->uses;
  NIBBLE_TRY(const Value scope, new_scope(object.scope));
  NIBBLE_TRY_STATUS(bind_parameters(statement, arguments, scope));
  auto& variables = *static_cast<Scope*>(scope.object());
  const std::string name = object.repr();
  if (uses.kwargs) {
    NIBBLE_TRY(const Value rest, runtime_.dict());
    for (auto& [key, value] : arguments.keywords) NIBBLE_TRY_STATUS(runtime_.set(rest, key, value));
    variables.set(tree_.kwargs_name, rest);
  } else if (!arguments.keywords.empty()) {
    return fail(ErrorCode::kInvalidArgument, "{} takes no keyword argument '{}'", name,
                arguments.keywords[0].first.text().substr(0, 80));
  }
  const std::size_t count = statement.signature->parameters.size();
  if (uses.varargs) {
    std::vector<Value> rest;
    for (std::size_t i = count; i < arguments.positional.size(); ++i) rest.push_back(arguments.positional[i]);
    NIBBLE_TRY(const Value tuple, runtime_.tuple(std::move(rest)));
    variables.set(tree_.varargs_name, tuple);
  } else if (arguments.positional.size() > count) {
    return fail(ErrorCode::kInvalidArgument, "{} takes not more than {} argument(s), {} were given", name, count,
                arguments.positional.size());
  }
  Value text;
  NIBBLE_TRY_STATUS(capture(statement.bodies[0], scope, text));
  return text;
}

Result<Value> Evaluator::call_loop(LoopObject& loop, const Arguments& arguments) {
  if (!loop.statement().recursive) {
    return fail(ErrorCode::kInvalidArgument, "the loop must have the 'recursive' marker to be called recursively");
  }
  if (arguments.positional.size() != 1 || !arguments.keywords.empty()) {
    return fail(ErrorCode::kInvalidArgument, "loop() takes one argument: what to iterate over");
  }
  std::string captured;
  std::string* const outer = std::exchange(output_, &captured);
  const Result<Flow> flow = run_loop(loop.statement(), arguments.positional[0], loop.scope(), loop.depth() + 1);
  output_ = outer;
  output_bytes_ -= captured.size();
  if (!flow.ok()) return flow.error();
  return runtime_.string(std::move(captured));
}

}  // namespace nibble::jinja
