#include "text/template/loop.h"

#include <algorithm>

namespace nibble::jinja {
namespace {

Result<Value> cycle_method(Runtime&, Call& call) {
  return static_cast<LoopObject&>(call.self.special()).cycle(call.rest);
}
Result<Value> changed_method(Runtime&, Call& call) {
  return static_cast<LoopObject&>(call.self.special()).changed(std::move(call.rest));
}

constexpr Function kCycle = {"cycle", "*", cycle_method};
constexpr Function kChanged = {"changed", "*", changed_method};

}  // namespace

void LoopObject::clear() noexcept {
  scope_ = iterable_ = previous_ = current_ = last_changed_ = Value();
  cursor_.reset();
  waiting_.clear();
}

Result<Value> LoopObject::fetch() {
  while (cursor_) {
    NIBBLE_TRY(Value item, cursor_->next(evaluator_.runtime()));
    if (item.is_missing()) break;
    if (statement_.expressions[1] == nullptr) return item;
    NIBBLE_TRY(const Value scope, evaluator_.new_scope(scope_));
    NIBBLE_TRY_STATUS(evaluator_.assign(*statement_.targets[0], item, scope));
    NIBBLE_TRY(const Value wanted, evaluator_.evaluate(*statement_.expressions[1], scope));
    if (is_true(wanted)) return item;
  }
  return Value();
}

Result<Value> LoopObject::peek() {
  if (waiting_.empty() && !exhausted_) {
    NIBBLE_TRY(Value item, fetch());
    if (item.is_missing()) {
      exhausted_ = true;
    } else {
      waiting_.push_back(std::move(item));
    }
  }
  return waiting_.empty() ? Value() : waiting_.back();
}

Result<Value> LoopObject::advance() {
  NIBBLE_TRY(Value item, peek());
  if (item.is_missing()) return item;
  waiting_.pop_back();
  ++index_;
  previous_ = std::move(current_);
  current_ = item;
  return item;
}

Result<std::int64_t> LoopObject::length() {
  if (length_) return *length_;
  const auto known = statement_.expressions[1] == nullptr ? length_of(iterable_) : std::nullopt;
  if (known) {
    length_ = *known;
    return *length_;
  }
  std::vector<Value> rest(waiting_.rbegin(), waiting_.rend());
  while (true) {
    NIBBLE_TRY_STATUS(evaluator_.runtime().reserve(rest.size(), 2 * sizeof(Value)));
    NIBBLE_TRY(Value item, fetch());
    if (item.is_missing()) break;
    rest.push_back(std::move(item));
  }
  exhausted_ = true;
  length_ = index_ + 1 + static_cast<std::int64_t>(rest.size());
  std::reverse(rest.begin(), rest.end());
  waiting_ = std::move(rest);
  return *length_;
}

Result<Value> LoopObject::attribute(Runtime& runtime, std::string_view name) {
  if (name == "index") return Value::integer(index_ + 1);
  if (name == "index0") return Value::integer(index_);
  if (name == "first") return Value::boolean(index_ == 0);
  if (name == "depth") return Value::integer(depth_ + 1);
  if (name == "depth0") return Value::integer(depth_);
  if (name == "previtem") {
    return index_ == 0 || previous_.is_missing() ? runtime.undefined("there is no previous item") : previous_;
  }
  if (name == "last" || name == "nextitem") {
    NIBBLE_TRY(Value following, peek());
    if (name == "last") return Value::boolean(following.is_missing());
    return following.is_missing() ? runtime.undefined("there is no next item") : following;
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    NIBBLE_TRY(const std::int64_t items, length());
    if (name == "length") return Value::integer(items);
    return Value::integer(items - index_ - (name == "revindex0" ? 1 : 0));
  }
  if (name == "cycle") return runtime.bind(kCycle, Value(this));
  if (name == "changed") return runtime.bind(kChanged, Value(this));
  return Value();
}

std::string LoopObject::repr() const { return fmt::format("<LoopContext {}>", index_ + 1); }

Result<Value> LoopObject::cycle(const Arguments& arguments) {
  const auto& values = arguments.positional;
  if (values.empty()) return fail(ErrorCode::kInvalidArgument, "no items for cycling given");
  return values[static_cast<std::size_t>(std::max<std::int64_t>(index_, 0)) % values.size()];
}

Result<Value> LoopObject::changed(Arguments arguments) {
  Runtime& runtime = evaluator_.runtime();
  NIBBLE_TRY(Value given, runtime.tuple(std::move(arguments.positional)));
  NIBBLE_TRY(const bool same, equals(runtime, given, last_changed_));
  last_changed_ = std::move(given);
  return Value::boolean(!same);
}

Result<Flow> Evaluator::run_loop(const Statement& statement, const Value& iterable, const Value& scope, int depth) {
  NIBBLE_TRY(Cursor cursor, Cursor::over(runtime_, iterable));
  NIBBLE_TRY_STATUS(runtime_.reserve(sizeof(LoopObject)));
  const Value loop =
      runtime_.adopt(new LoopObject(*this, statement, scope, std::move(cursor), iterable, depth), sizeof(LoopObject));
  auto& state = static_cast<LoopObject&>(loop.special());
  bool completed = false;  // some iteration reached the end of the body; break and continue do not count, as in Jinja
  while (true) {
    NIBBLE_TRY(const Value item, state.advance());
    if (item.is_missing()) break;
    NIBBLE_TRY(const Value inner, new_scope(scope));
    static_cast<Scope*>(inner.object())->set(tree_.loop_name, loop);
    NIBBLE_TRY_STATUS(assign(*statement.targets[0], item, inner));
    NIBBLE_TRY(const Flow flow, execute(statement.bodies[0], inner));
    completed = completed || flow == Flow::kNormal;
    if (flow == Flow::kBreak) break;
  }
  if (completed || statement.bodies[1].empty()) return Flow::kNormal;
  NIBBLE_TRY(const Value inner, new_scope(scope));
  return execute(statement.bodies[1], inner);
}

}  // namespace nibble::jinja
