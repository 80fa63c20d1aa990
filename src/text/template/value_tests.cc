// What may follow `is`.
#include "text/template/builtin.h"
#include "text/template/operations.h"
#include "text/template/printing.h"
#include "text/template/python_text.h"

namespace nibble::jinja {
namespace {

template <bool (*Test)(const Value&)>
Result<Value> property(Runtime&, Call& call) {
  return Value::boolean(Test(call.self));
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.is(Kind::kBool); }
bool is_the_true(const Value& v) { return is_boolean(v) && v.as_bool(); }
bool is_the_false(const Value& v) { return is_boolean(v) && !v.as_bool(); }
bool is_integer(const Value& v) { return v.is(Kind::kInt); }
bool is_float(const Value& v) { return v.is(Kind::kFloat); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is_string(); }
bool is_mapping(const Value& v) { return v.is_dict(); }
bool is_escaped(const Value& v) { return v.is_string() && v.string().markup; }

/// What has a length and subscripts in Python; an undefined value claims to have both.
bool is_sequence(const Value& v) {
  return v.is_string() || v.is(Kind::kList) || v.is(Kind::kTuple) || v.is_dict() || v.is(Kind::kRange) ||
         v.is_undefined();
}

bool is_iterable(const Value& v) {
  return is_sequence(v) || v.is(Kind::kView) || v.is(Kind::kIterator) || v.is(Kind::kLoop);
}

bool is_callable(const Value& v) {
  return v.is(Kind::kFunction) || v.is(Kind::kMacro) || v.is(Kind::kLoop) || v.is_undefined();
}

template <bool (*Wanted)(char32_t)>
Result<Value> is_in_case(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const Value text, to_string(runtime, call.self));
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.text().size() * 4));
  bool any = false;
  for (std::size_t i = 0; i < text.text().size();) {
    const char32_t c = next_code_point(text.text(), i);
    if (is_cased(c) && !Wanted(c)) return Value::boolean(false);
    any = any || is_cased(c);
  }
  return Value::boolean(any);
}

template <Comparison kComparison>
Result<Value> comparison(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const bool result, compare(runtime, kComparison, call.self, call[0]));
  return Value::boolean(result);
}

Result<Value> has_remainder(Runtime& runtime, const Value& value, const Value& divisor, std::int64_t wanted) {
  NIBBLE_TRY(const Value rest, binary(runtime, BinaryOperator::kModulo, value, divisor));
  NIBBLE_TRY(const bool same, equals(runtime, rest, Value::integer(wanted)));
  return Value::boolean(same);
}

Result<Value> divisibleby(Runtime& runtime, Call& call) { return has_remainder(runtime, call.self, call[0], 0); }
Result<Value> even(Runtime& runtime, Call& call) { return has_remainder(runtime, call.self, Value::integer(2), 0); }
Result<Value> odd(Runtime& runtime, Call& call) { return has_remainder(runtime, call.self, Value::integer(2), 1); }

Result<Value> sameas(Runtime& runtime, Call& call) {
  const Value& a = call.self;
  const Value& b = call[0];
  if (a.kind() != b.kind()) return Value::boolean(false);
  if (a.is_object() && !a.is_string()) return Value::boolean(a.object() == b.object());
  NIBBLE_TRY(const bool same, equals(runtime, a, b));
  return Value::boolean(same);
}

Result<Value> names_filter(Runtime&, Call& call) {
  return Value::boolean(call.self.is_string() && find_filter(call.self.text()) != nullptr);
}

Result<Value> names_test(Runtime&, Call& call) {
  return Value::boolean(call.self.is_string() && find_test(call.self.text()) != nullptr);
}

constexpr Function kTests[] = {
    {"!=", "other", comparison<Comparison::kNotEqual>},
    {"<", "other", comparison<Comparison::kLess>},
    {"<=", "other", comparison<Comparison::kLessEqual>},
    {"==", "other", comparison<Comparison::kEqual>},
    {">", "other", comparison<Comparison::kGreater>},
    {">=", "other", comparison<Comparison::kGreaterEqual>},
    {"boolean", "", property<is_boolean>},
    {"callable", "", property<is_callable>},
    {"defined", "", property<is_defined>},
    {"divisibleby", "num", divisibleby},
    {"eq", "other", comparison<Comparison::kEqual>},
    {"equalto", "other", comparison<Comparison::kEqual>},
    {"escaped", "", property<is_escaped>},
    {"even", "", even},
    {"false", "", property<is_the_false>},
    {"filter", "", names_filter},
    {"float", "", property<is_float>},
    {"ge", "other", comparison<Comparison::kGreaterEqual>},
    {"greaterthan", "other", comparison<Comparison::kGreater>},
    {"gt", "other", comparison<Comparison::kGreater>},
    {"in", "seq", comparison<Comparison::kIn>},
    {"integer", "", property<is_integer>},
    {"iterable", "", property<is_iterable>},
    {"le", "other", comparison<Comparison::kLessEqual>},
    {"lessthan", "other", comparison<Comparison::kLess>},
    {"lower", "", is_in_case<is_lower>},
    {"lt", "other", comparison<Comparison::kLess>},
    {"mapping", "", property<is_mapping>},
    {"ne", "other", comparison<Comparison::kNotEqual>},
    {"none", "", property<is_none>},
    {"number", "", property<is_number>},
    {"odd", "", odd},
    {"sameas", "other", sameas},
    {"sequence", "", property<is_sequence>},
    {"string", "", property<is_string>},
    {"test", "", names_test},
    {"true", "", property<is_the_true>},
    {"undefined", "", property<is_undefined>},
    {"upper", "", is_in_case<is_upper>},
};

}  // namespace

FunctionTable value_tests() { return table_of(kTests); }

}  // namespace nibble::jinja
