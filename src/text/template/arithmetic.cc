// + - * / // % ** as Python computes them. Integers have 64 bits: what does not fit is an error, not another number.
#include <cmath>
#include <limits>

#include "text/template/builtin.h"
#include "text/template/operations.h"
#include "text/template/python_text.h"

namespace nibble::jinja {
namespace {

Error overflow() { return fail(ErrorCode::kInvalidArgument, "an integer does not fit 64 bits"); }
Error divided_by_zero(std::string_view what) { return fail(ErrorCode::kInvalidArgument, "{}", what); }

std::string_view symbol_of(BinaryOperator op) {
  constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
  return kSymbols[static_cast<int>(op)];
}

Error unsupported(BinaryOperator op, const Value& a, const Value& b) {
  if (op == BinaryOperator::kAdd && (a.is_string() || a.is(Kind::kList) || a.is(Kind::kTuple))) {
    return fail(ErrorCode::kInvalidArgument, "can only concatenate {} (not \"{}\") to {}", type_name(a), type_name(b),
                type_name(a));
  }
  return fail(ErrorCode::kInvalidArgument, "unsupported operand type(s) for {}: '{}' and '{}'", symbol_of(op),
              type_name(a), type_name(b));
}

Result<Value> integer_power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return divided_by_zero("0.0 cannot be raised to a negative power");
    return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  std::int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return overflow();
  }
  return Value::integer(result);
}

Result<Value> integer_arithmetic(BinaryOperator op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  switch (op) {
    case BinaryOperator::kAdd:
      if (__builtin_add_overflow(a, b, &result)) return overflow();
      return Value::integer(result);
    case BinaryOperator::kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) return overflow();
      return Value::integer(result);
    case BinaryOperator::kMultiply:
      if (__builtin_mul_overflow(a, b, &result)) return overflow();
      return Value::integer(result);
    case BinaryOperator::kDivide:
      if (b == 0) return divided_by_zero("division by zero");
      return Value::real(static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
    case BinaryOperator::kFloorDivide:
    case BinaryOperator::kModulo: {
      if (b == 0) return divided_by_zero("integer division or modulo by zero");
      if (b == -1) {  // the minimum divided by -1 is the one quotient that does not fit
        if (op == BinaryOperator::kModulo) return Value::integer(0);
        if (a == std::numeric_limits<std::int64_t>::min()) return overflow();
        return Value::integer(-a);
      }
      const bool correct = a % b != 0 && ((a < 0) != (b < 0));  // C++ truncates, Python rounds down
      if (op == BinaryOperator::kModulo) return Value::integer(a % b + (correct ? b : 0));
      return Value::integer(a / b - (correct ? 1 : 0));
    }
    case BinaryOperator::kPower:
      return integer_power(a, b);
  }
  return overflow();
}

Result<Value> float_division(BinaryOperator op, double a, double b) {
  if (b == 0) return divided_by_zero(op == BinaryOperator::kModulo ? "float modulo" : "float floor division by zero");
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0) {
    if ((b < 0) != (remainder < 0)) {
      remainder += b;
      quotient -= 1;
    }
  } else {
    remainder = std::copysign(0.0, b);
  }
  if (op == BinaryOperator::kModulo) return Value::real(remainder);
  if (quotient == 0) return Value::real(std::copysign(0.0, a / b));
  double whole = std::floor(quotient);
  if (quotient - whole > 0.5) whole += 1;
  return Value::real(whole);
}

Result<Value> float_power(double a, double b) {
  if (a == 0 && b < 0) return divided_by_zero("0.0 cannot be raised to a negative power");
  if (a < 0 && std::isfinite(a) && std::isfinite(b) && b != std::floor(b)) {
    return fail(ErrorCode::kUnsupported, "a power of a negative number with a fraction is a complex number");
  }
  const double result = std::pow(a, b);
  if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) {
    return fail(ErrorCode::kInvalidArgument, "the result of ** is too large for a float");
  }
  return Value::real(result);
}

Result<Value> float_arithmetic(BinaryOperator op, double a, double b) {
  switch (op) {
    case BinaryOperator::kAdd:
      return Value::real(a + b);
    case BinaryOperator::kSubtract:
      return Value::real(a - b);
    case BinaryOperator::kMultiply:
      return Value::real(a * b);
    case BinaryOperator::kDivide:
      if (b == 0) return divided_by_zero("float division by zero");
      return Value::real(a / b);
    case BinaryOperator::kFloorDivide:
    case BinaryOperator::kModulo:
      return float_division(op, a, b);
    case BinaryOperator::kPower:
      return float_power(a, b);
  }
  return overflow();
}

Result<Value> concatenate(Runtime& runtime, const Value& a, const Value& b) {
  if (a.is_string()) {
    const bool markup = a.string().markup || b.string().markup;
    TextBuilder out(runtime);
    for (const Value* part : {&a, &b}) {
      if (markup && !part->string().markup) {
        NIBBLE_TRY_STATUS(runtime.reserve(part->text().size(), 5));
        out.append(escape_html(part->text()));
      } else {
        out.append(part->text());
      }
    }
    NIBBLE_TRY(Value result, out.finish());
    result.string().markup = markup;
    return result;
  }
  NIBBLE_TRY_STATUS(runtime.reserve(a.list().items.size() + b.list().items.size(), sizeof(Value)));
  std::vector<Value> items = a.list().items;
  items.insert(items.end(), b.list().items.begin(), b.list().items.end());
  return a.is(Kind::kList) ? runtime.list(std::move(items)) : runtime.tuple(std::move(items));
}

Result<Value> repeat(Runtime& runtime, const Value& sequence, std::int64_t times) {
  const auto count = static_cast<std::size_t>(std::max<std::int64_t>(times, 0));
  if (sequence.is_string()) {
    TextBuilder out(runtime);
    out.append(count, sequence.text());
    NIBBLE_TRY(Value result, out.finish());
    result.string().markup = sequence.string().markup;
    return result;
  }
  const std::vector<Value>& part = sequence.list().items;
  NIBBLE_TRY_STATUS(runtime.reserve(part.size() * sizeof(Value), count));
  std::vector<Value> items;
  if (!part.empty()) {
    items.reserve(part.size() * count);
    for (std::size_t i = 0; i < count; ++i) items.insert(items.end(), part.begin(), part.end());
  }
  return sequence.is(Kind::kList) ? runtime.list(std::move(items)) : runtime.tuple(std::move(items));
}

bool is_sequence(const Value& value) { return value.is_string() || value.is(Kind::kList) || value.is(Kind::kTuple); }

}  // namespace

Result<Value> binary(Runtime& runtime, BinaryOperator op, const Value& a, const Value& b) {
  if (op == BinaryOperator::kModulo && a.is_string()) return percent_format(runtime, a.text(), b);
  if (a.is_undefined()) return use_of_undefined(a);
  if (b.is_undefined()) return use_of_undefined(b);
  if (a.is_integral() && b.is_integral()) return integer_arithmetic(op, a.as_int(), b.as_int());
  if (a.is_number() && b.is_number()) return float_arithmetic(op, a.as_real(), b.as_real());
  if (op == BinaryOperator::kAdd && is_sequence(a) && a.kind() == b.kind()) return concatenate(runtime, a, b);
  if (op == BinaryOperator::kMultiply && is_sequence(a) && b.is_integral()) return repeat(runtime, a, b.as_int());
  if (op == BinaryOperator::kMultiply && a.is_integral() && is_sequence(b)) return repeat(runtime, b, a.as_int());
  return unsupported(op, a, b);
}

Result<Value> negate(const Value& value) {
  if (value.is_undefined()) return use_of_undefined(value);
  if (value.is(Kind::kFloat)) return Value::real(-value.as_real());
  if (!value.is_integral())
    return fail(ErrorCode::kInvalidArgument, "bad operand type for unary -: '{}'", type_name(value));
  return integer_arithmetic(BinaryOperator::kSubtract, 0, value.as_int());
}

Result<Value> unary_plus(const Value& value) {
  if (value.is_undefined()) return use_of_undefined(value);
  if (value.is_integral()) return Value::integer(value.as_int());
  if (value.is(Kind::kFloat)) return value;
  return fail(ErrorCode::kInvalidArgument, "bad operand type for unary +: '{}'", type_name(value));
}

}  // namespace nibble::jinja
