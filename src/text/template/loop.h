// The state of a running for loop: its items as they come, and the variable `loop`.
#pragma once

#include <optional>

#include "text/template/evaluator.h"

namespace nibble::jinja {

class LoopObject : public SpecialObject {
 public:
  LoopObject(Evaluator& evaluator, const Statement& statement, Value scope, Cursor cursor, Value iterable, int depth)
      : SpecialObject(Kind::kLoop),
        evaluator_(evaluator),
        statement_(statement),
        scope_(std::move(scope)),
        iterable_(std::move(iterable)),
        cursor_(std::move(cursor)),
        depth_(depth) {}

  void clear() noexcept override;
  Result<Value> attribute(Runtime& runtime, std::string_view name) override;
  std::string repr() const override;

  /// Steps to the next item and returns it; missing at the end. Items that fail the loop's `if` are passed over. The
  /// condition is evaluated no earlier than needed, because the body may change what it reads.
  Result<Value> advance();
  const Statement& statement() const { return statement_; }
  /// The scope around the loop.
  const Value& scope() const { return scope_; }
  int depth() const { return depth_; }

  // The methods of the variable.
  Result<Value> cycle(const Arguments& arguments);
  Result<Value> changed(Arguments arguments);

 private:
  Result<Value> fetch();
  Result<Value> peek();
  Result<std::int64_t> length();

  Evaluator& evaluator_;
  const Statement& statement_;
  Value scope_;
  Value iterable_;
  std::optional<Cursor> cursor_;
  std::vector<Value> waiting_;  ///< fetched early, the next at the back
  bool exhausted_ = false;
  std::int64_t index_ = -1;
  std::optional<std::int64_t> length_;
  Value previous_;
  Value current_;
  Value last_changed_;
  int depth_;
};

}  // namespace nibble::jinja
