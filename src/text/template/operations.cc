// Truth, equality, order and membership.
#include "text/template/operations.h"

#include <algorithm>
#include <cmath>

#include "text/template/builtin.h"
#include "text/template/python_text.h"

namespace nibble::jinja {
namespace {

/// Python's own limit is about a thousand levels; values this deep come only from templates that build them on purpose.
constexpr int kMaxValueDepth = 200;

Error too_deep() {
  return fail(ErrorCode::kInvalidArgument, "a value nested deeper than {} levels is compared", kMaxValueDepth);
}

int sign_of(bool less, bool greater) { return less ? -1 : (greater ? 1 : 0); }

std::optional<int> order_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return sign_of(a.as_int() < b.as_int(), a.as_int() > b.as_int());
  const auto widen = [](const Value& v) {
    return v.is_integral() ? static_cast<long double>(v.as_int()) : static_cast<long double>(v.as_real());
  };
  const long double x = widen(a);
  const long double y = widen(b);
  if (std::isnan(x) || std::isnan(y)) return std::nullopt;
  return sign_of(x<y, x> y);
}

Result<bool> equal_items(Runtime& runtime, const Value& a, const Value& b, int depth) {
  // By index, and with copies: comparing cannot change the lists, but their sizes are read each time anyway.
  if (a.list().items.size() != b.list().items.size()) return false;
  for (std::size_t i = 0; i < a.list().items.size(); ++i) {
    NIBBLE_TRY(const bool same, equals(runtime, a.list().items[i], b.list().items[i], depth + 1));
    if (!same) return false;
  }
  return true;
}

Result<bool> equal_dicts(Runtime& runtime, const Value& a, const Value& b, int depth) {
  if (a.dict().entries.size() != b.dict().entries.size()) return false;
  for (const auto& [key, value] : a.dict().entries) {
    const std::size_t position = b.dict().find(key);
    if (position == DictObject::npos) return false;
    NIBBLE_TRY(const bool same, equals(runtime, value, b.dict().entries[position].second, depth + 1));
    if (!same) return false;
  }
  return true;
}

bool equal_ranges(const RangeObject& a, const RangeObject& b) {
  if (a.size != b.size || a.size == 0) return a.size == b.size;
  return a.start == b.start && (a.size == 1 || a.step == b.step);
}

}  // namespace

bool is_true(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_real() != 0;
    default: {
      const auto length = length_of(value);
      return !length || *length != 0;
    }
  }
}

std::optional<std::int64_t> length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<std::int64_t>(value.string().length);
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<std::int64_t>(value.list().items.size());
    case Kind::kDict:
      return static_cast<std::int64_t>(value.dict().entries.size());
    case Kind::kView:
      return length_of(value.view().dict);
    case Kind::kRange:
      return value.range().size;
    default:
      return std::nullopt;
  }
}

bool is_hashable(const Value& value, int depth) {
  if (value.is(Kind::kList) || value.is_dict() || value.is(Kind::kView)) return false;
  if (!value.is(Kind::kTuple)) return true;
  if (depth > kMaxValueDepth) return false;
  return std::all_of(value.list().items.begin(), value.list().items.end(),
                     [&](const Value& item) { return is_hashable(item, depth + 1); });
}

Error unhashable(const Value& value) {
  return fail(ErrorCode::kInvalidArgument, "unhashable type: '{}'", type_name(value));
}

Error use_of_undefined(const Value& undefined) {
  if (!undefined.is_undefined()) return fail(ErrorCode::kInvalidArgument, "an argument is missing");
  return Error{ErrorCode::kInvalidArgument, undefined.string().text};
}

Result<bool> equals(Runtime& runtime, const Value& a, const Value& b, int depth) {
  NIBBLE_TRY_STATUS(runtime.work(0));
  if (depth > kMaxValueDepth) return too_deep();
  if (a.is_number() && b.is_number()) {
    const auto result = order_numbers(a, b);
    return result && *result == 0;
  }
  if (a.kind() != b.kind()) return false;
  if (a.is_none() || a.is_undefined()) return true;
  if (a.object() == b.object()) return true;
  switch (a.kind()) {
    case Kind::kString:
      if (a.text().size() != b.text().size()) return false;
      NIBBLE_TRY_STATUS(runtime.work_bytes(a.text().size()));
      return a.text() == b.text();
    case Kind::kList:
    case Kind::kTuple:
      return equal_items(runtime, a, b, depth);
    case Kind::kDict:
      return equal_dicts(runtime, a, b, depth);
    case Kind::kRange:
      return equal_ranges(a.range(), b.range());
    default:
      return false;
  }
}

Result<std::optional<int>> order(Runtime& runtime, const Value& a, const Value& b, std::string_view symbol, int depth) {
  NIBBLE_TRY_STATUS(runtime.work(0));
  if (depth > kMaxValueDepth) return too_deep();
  if (a.is_undefined()) return use_of_undefined(a);
  if (b.is_undefined()) return use_of_undefined(b);
  if (a.is_number() && b.is_number()) return order_numbers(a, b);
  if (a.is_string() && b.is_string()) {
    NIBBLE_TRY_STATUS(runtime.work_bytes(std::min(a.text().size(), b.text().size())));
    // Bytes of UTF-8 sort like code points.
    return std::optional<int>(a.text().compare(b.text()));
  }
  if (a.kind() == b.kind() && (a.is(Kind::kList) || a.is(Kind::kTuple))) {
    const std::size_t shared = std::min(a.list().items.size(), b.list().items.size());
    for (std::size_t i = 0; i < shared; ++i) {
      NIBBLE_TRY(const bool same, equals(runtime, a.list().items[i], b.list().items[i], depth + 1));
      if (!same) return order(runtime, a.list().items[i], b.list().items[i], symbol, depth + 1);
    }
    const std::size_t x = a.list().items.size();
    const std::size_t y = b.list().items.size();
    return std::optional<int>(sign_of(x<y, x> y));
  }
  return fail(ErrorCode::kInvalidArgument, "'{}' not supported between instances of '{}' and '{}'", symbol,
              type_name(a), type_name(b));
}

Result<bool> compare(Runtime& runtime, Comparison comparison, const Value& a, const Value& b) {
  switch (comparison) {
    case Comparison::kEqual:
      return equals(runtime, a, b);
    case Comparison::kNotEqual: {
      NIBBLE_TRY(const bool same, equals(runtime, a, b));
      return !same;
    }
    case Comparison::kIn:
      return contains(runtime, b, a);
    case Comparison::kNotIn: {
      NIBBLE_TRY(const bool found, contains(runtime, b, a));
      return !found;
    }
    case Comparison::kLess: {
      NIBBLE_TRY(const auto result, order(runtime, a, b, "<"));
      return result && *result < 0;
    }
    case Comparison::kLessEqual: {
      NIBBLE_TRY(const auto result, order(runtime, a, b, "<="));
      return result && *result <= 0;
    }
    case Comparison::kGreater: {
      NIBBLE_TRY(const auto result, order(runtime, a, b, ">"));
      return result && *result > 0;
    }
    case Comparison::kGreaterEqual: {
      NIBBLE_TRY(const auto result, order(runtime, a, b, ">="));
      return result && *result >= 0;
    }
  }
  return false;
}

Result<bool> contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.is_string()) {
    if (!item.is_string()) {
      return fail(ErrorCode::kInvalidArgument, "'in <string>' requires string as left operand, not {}",
                  type_name(item));
    }
    NIBBLE_TRY_STATUS(runtime.work_bytes(container.text().size() + item.text().size()));
    return find_text(container.text(), item.text(), 0) != std::string_view::npos;
  }
  const bool keys = container.is(Kind::kView) && container.view().part == ViewObject::Part::kKeys;
  if (container.is_dict() || keys) {
    if (!is_hashable(item)) return unhashable(item);
    if (item.is_string()) NIBBLE_TRY_STATUS(runtime.work_bytes(item.text().size()));
    const Value& dict = keys ? container.view().dict : container;
    return dict.dict().find(item) != DictObject::npos;
  }
  auto opened = Cursor::over(runtime, container);
  if (!opened.ok()) {
    if (container.is_undefined()) return false;
    return fail(ErrorCode::kInvalidArgument, "argument of type '{}' is not iterable", type_name(container));
  }
  Cursor cursor = std::move(opened).value();
  while (true) {
    NIBBLE_TRY(const Value next, cursor.next(runtime));
    if (next.is_missing()) return false;
    NIBBLE_TRY(const bool same, equals(runtime, next, item));
    if (same) return true;
  }
}

}  // namespace nibble::jinja
