// Filters on single values: defaults, numbers, JSON.
#include <algorithm>
#include <cmath>

#include "text/template/builtin.h"
#include "text/template/number_text.h"
#include "text/template/operations.h"
#include "text/template/printing.h"

namespace nibble::jinja {
namespace {

Result<Value> default_value(Runtime& runtime, Call& call) {
  const bool falsy_too = call.has(1) && is_true(call[1]);
  if (!call.self.is_undefined() && (!falsy_too || is_true(call.self))) return call.self;
  return call.has(0) ? call[0] : runtime.string("");
}

Result<Value> attribute(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::string_view name, as_text(call[0], "the name of the attribute"));
  if (call.self.is_undefined()) return use_of_undefined(call.self);
  return get_own_attribute(runtime, call.self, name);
}

Result<Value> absolute(Runtime&, Call& call) {
  if (call.self.is_undefined()) return use_of_undefined(call.self);
  if (call.self.is(Kind::kFloat)) return Value::real(std::fabs(call.self.as_real()));
  if (!call.self.is_integral())
    return fail(ErrorCode::kInvalidArgument, "bad operand type for abs(): '{}'", type_name(call.self));
  return call.self.as_int() < 0 ? negate(call.self) : Result<Value>(Value::integer(call.self.as_int()));
}

Result<Value> truncated(double value) {
  if (!(std::fabs(value) < 9.2e18))
    return fail(ErrorCode::kInvalidArgument, "the number {} does not fit 64 bits", float_repr(value));
  return Value::integer(static_cast<std::int64_t>(value));
}

Result<Value> to_int(Runtime& runtime, Call& call) {
  if (call.self.is_undefined()) return use_of_undefined(call.self);
  NIBBLE_TRY(const std::int64_t base, integer_or(call[1], 10, "the base"));
  const Value fallback = call.has(0) ? call[0] : Value::integer(0);
  if (call.self.is_integral()) return Value::integer(call.self.as_int());
  if (call.self.is(Kind::kFloat)) return std::isnan(call.self.as_real()) ? fallback : truncated(call.self.as_real());
  if (!call.self.is_string()) return fallback;
  NIBBLE_TRY_STATUS(runtime.work_bytes(call.self.text().size() * 4));
  if (base == 0 || (base >= 2 && base <= 36)) {
    if (const auto value = parse_int(call.self.text(), static_cast<int>(base))) return Value::integer(*value);
  }
  const auto real = parse_float(call.self.text());
  if (!real || !std::isfinite(*real)) return fallback;
  return truncated(*real);
}

Result<Value> to_float(Runtime& runtime, Call& call) {
  if (call.self.is_undefined()) return use_of_undefined(call.self);
  if (call.self.is_number()) return Value::real(call.self.as_real());
  if (call.self.is_string()) {
    NIBBLE_TRY_STATUS(runtime.work_bytes(call.self.text().size() * 4));
    if (const auto value = parse_float(call.self.text())) return Value::real(*value);
  }
  return call.has(0) ? call[0] : Value::real(0.0);
}

/// Rounds half to even at a power of ten above one.
std::int64_t round_to_multiple(std::int64_t value, std::int64_t unit) {
  const std::int64_t remainder = ((value % unit) + unit) % unit;
  const std::int64_t below = value - remainder;
  if (remainder * 2 < unit || (remainder * 2 == unit && (below / unit) % 2 == 0)) return below;
  return below + unit;
}

Result<Value> round_common(const Value& value, std::int64_t precision) {
  if (value.is_integral()) {
    if (precision >= 0) return Value::integer(value.as_int());
    if (precision < -17) return Value::integer(0);
    if (std::fabs(value.as_real()) > 4e18) return fail(ErrorCode::kInvalidArgument, "an integer does not fit 64 bits");
    std::int64_t unit = 1;
    for (std::int64_t i = 0; i < -precision; ++i) unit *= 10;
    return Value::integer(round_to_multiple(value.as_int(), unit));
  }
  const double real = value.as_real();
  if (!std::isfinite(real) || precision > kMaxPrecision - 60) return value;
  if (precision >= 0) {
    // The decimal expansion is exact, so that rounding it is correct, ties included.
    return Value::real(parse_float(format_float(real, 'f', static_cast<int>(precision), false)).value_or(real));
  }
  if (precision < -308) return Value::real(std::copysign(0.0, real));
  const double unit = std::pow(10.0, static_cast<double>(-precision));
  return Value::real(std::nearbyint(real / unit) * unit);
}

Result<Value> round(Runtime&, Call& call) {
  if (call.self.is_undefined()) return use_of_undefined(call.self);
  if (!call.self.is_number())
    return fail(ErrorCode::kInvalidArgument, "round needs a number, not {}", type_name(call.self));
  NIBBLE_TRY(const std::int64_t precision, integer_or(call[0], 0, "the precision"));
  std::string_view method = "common";
  if (call.has(1)) {
    NIBBLE_TRY(method, as_text(call[1], "the method"));
  }
  if (method == "common") return round_common(call.self, precision);
  if (method != "ceil" && method != "floor")
    return fail(ErrorCode::kInvalidArgument, "method must be common, ceil or floor");
  const double scale = std::pow(10.0, static_cast<double>(std::clamp<std::int64_t>(precision, -400, 400)));
  const double scaled = call.self.as_real() * scale;
  if (!std::isfinite(scaled) || scale == 0) return fail(ErrorCode::kInvalidArgument, "round: the number is too large");
  return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Result<Value> tojson(Runtime& runtime, Call& call) {
  JsonStyle style;
  style.escape_non_ascii = call.has(0) && is_true(call[0]);
  style.sort_keys = call.has(3) && is_true(call[3]);
  if (call.has(1) && !call[1].is_none()) {
    style.indented = true;
    style.item_separator = ",";
    if (call[1].is_string()) {
      style.indent = call[1].text();
    } else {
      NIBBLE_TRY(const std::int64_t width, as_integer(call[1], "indent"));
      if (width > 1000) return fail(ErrorCode::kInvalidArgument, "tojson: an indent of {} is too large", width);
      style.indent.assign(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
    }
  }
  if (call.has(2) && !call[2].is_none()) {
    NIBBLE_TRY(const std::vector<Value> separators, to_vector(runtime, call[2]));
    if (separators.size() != 2) return fail(ErrorCode::kInvalidArgument, "tojson: separators are two strings");
    NIBBLE_TRY(style.item_separator, as_text(separators[0], "the item separator"));
    NIBBLE_TRY(style.key_separator, as_text(separators[1], "the key separator"));
  }
  NIBBLE_TRY(std::string text, to_json(runtime, call.self, style));
  return runtime.string(std::move(text));
}

constexpr Function kFilters[] = {
    {"abs", "", absolute},
    {"attr", "name", attribute},
    {"d", "default_value? boolean?", default_value},
    {"default", "default_value? boolean?", default_value},
    {"float", "default?", to_float},
    {"int", "default? base?", to_int},
    {"round", "precision? method?", round},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", tojson},
};

}  // namespace

FunctionTable value_filters() { return table_of(kFilters); }

}  // namespace nibble::jinja
