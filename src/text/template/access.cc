// Attributes, subscripts, slices and iteration.
#include <algorithm>
#include <limits>

#include "text/template/builtin.h"
#include "text/template/operations.h"
#include "text/template/python_text.h"

namespace nibble::jinja {
namespace {

/// "dict object", or what stands for None and namespaces, in messages as Jinja words them.
std::string described(const Value& value) {
  if (value.is_none()) return "None";
  if (value.is(Kind::kNamespace)) return "namespace object";
  return fmt::format("{} object", type_name(value));
}

std::string shortened(std::string_view name) {
  constexpr std::size_t kMaxBytes = 80;
  if (name.size() <= kMaxBytes) return std::string(name);
  std::size_t end = kMaxBytes;
  while ((static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return std::string(name.substr(0, end)) + "...";
}

/// Item `index` of a range. The products may leave 64 bits on the way to a result that does not.
std::int64_t range_item(const RangeObject& range, std::int64_t index) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(range.start) +
                                   static_cast<std::uint64_t>(index) * static_cast<std::uint64_t>(range.step));
}

/// A method, or the attribute of a type that has some; missing when there is none.
Result<Value> find_own_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  if (const Function* method = find_method(value, name)) return runtime.bind(*method, value);
  switch (value.kind()) {
    case Kind::kMacro:
    case Kind::kLoop:
      return value.special().attribute(runtime, name);
    case Kind::kNamespace: {
      const std::size_t position = value.dict().find(name);
      return position == DictObject::npos ? Value() : value.dict().entries[position].second;
    }
    case Kind::kRange:
      if (name == "start") return Value::integer(value.range().start);
      if (name == "stop") return Value::integer(value.range().stop);
      if (name == "step") return Value::integer(value.range().step);
      return Value();
    case Kind::kTuple:
      if (value.list().is_group && name == "grouper") return value.list().items[0];
      if (value.list().is_group && name == "list") return value.list().items[1];
      return Value();
    default:
      return Value();
  }
}

Result<Value> code_point_at(Runtime& runtime, const Value& string, std::size_t index) {
  const std::string_view text = string.text();
  std::size_t start = index;
  if (!string.string().is_ascii()) {
    NIBBLE_TRY_STATUS(runtime.work_bytes(text.size()));
    start = byte_offset(text, index);
  }
  NIBBLE_TRY(Value result, runtime.string(text.substr(start, code_point_bytes(text[start]))));
  result.string().markup = string.string().markup;
  return result;
}

/// The item of a sequence, or missing when the index is out of range or the value is none.
Result<Value> item_at(Runtime& runtime, const Value& value, std::int64_t index) {
  if (!value.is_string() && !value.is(Kind::kList) && !value.is(Kind::kTuple) && !value.is(Kind::kRange))
    return Value();
  const std::int64_t length = *length_of(value);
  if (index < 0) index += length;
  if (index < 0 || index >= length) return Value();
  if (value.is_string()) return code_point_at(runtime, value, static_cast<std::size_t>(index));
  if (value.is(Kind::kRange)) return Value::integer(range_item(value.range(), index));
  return value.list().items[static_cast<std::size_t>(index)];
}

struct SliceBounds {
  std::int64_t start, stop, step, size;
};

Result<std::int64_t> bound_or(const Value& bound, std::int64_t open) {
  if (bound.is_missing() || bound.is_none()) return open;
  if (bound.is_undefined() || !bound.is_integral()) {
    return fail(ErrorCode::kInvalidArgument, "slice indices must be integers or None, not {}", type_name(bound));
  }
  return bound.as_int();
}

Result<SliceBounds> slice_bounds(std::int64_t length, const Value& start, const Value& stop, const Value& step) {
  NIBBLE_TRY(std::int64_t stride, bound_or(step, 1));
  if (stride == 0) return fail(ErrorCode::kInvalidArgument, "slice step cannot be zero");
  stride = std::max(stride, -std::numeric_limits<std::int64_t>::max());
  const std::int64_t lowest = stride > 0 ? 0 : -1;
  const std::int64_t highest = stride > 0 ? length : length - 1;
  const auto clamp = [&](std::int64_t bound) {
    if (bound < 0) bound = bound < -length ? -1 : bound + length;
    return std::clamp(bound, lowest, highest);
  };
  const bool open_start = start.is_missing() || start.is_none();
  const bool open_stop = stop.is_missing() || stop.is_none();
  NIBBLE_TRY(const std::int64_t first, bound_or(start, 0));
  NIBBLE_TRY(const std::int64_t end, bound_or(stop, 0));
  SliceBounds bounds{};
  bounds.step = stride;
  bounds.start = open_start ? (stride > 0 ? 0 : length - 1) : clamp(first);
  bounds.stop = open_stop ? (stride > 0 ? length : -1) : clamp(end);
  const std::int64_t distance = stride > 0 ? bounds.stop - bounds.start : bounds.start - bounds.stop;
  bounds.size = distance <= 0 ? 0 : (distance - 1) / (stride > 0 ? stride : -stride) + 1;
  return bounds;
}

Result<Value> slice_string(Runtime& runtime, const Value& value, const SliceBounds& bounds) {
  const std::string_view text = value.text();
  NIBBLE_TRY_STATUS(runtime.work_bytes(value.string().is_ascii() ? 0 : text.size()));
  TextBuilder out(runtime);
  if (bounds.step == 1 || bounds.size == 0) {
    const auto first = static_cast<std::size_t>(bounds.start);
    const auto count = static_cast<std::size_t>(bounds.size);
    const std::size_t begin = value.string().is_ascii() || count == 0 ? first : byte_offset(text, first);
    const std::string_view rest = count == 0 ? std::string_view() : text.substr(begin);
    out.append(rest.substr(0, value.string().is_ascii() ? count : byte_offset(rest, count)));
  } else {
    NIBBLE_TRY_STATUS(runtime.reserve(value.string().length, sizeof(char32_t)));
    std::u32string code_points;
    code_points.reserve(value.string().length);
    for (std::size_t i = 0; i < text.size();) code_points += next_code_point(text, i);
    std::int64_t position = bounds.start;
    for (std::int64_t i = 0; i < bounds.size; ++i) {
      append_code_point(out.text(), code_points[static_cast<std::size_t>(position)]);
      if (i + 1 < bounds.size) position += bounds.step;
    }
  }
  NIBBLE_TRY(Value result, out.finish());
  result.string().markup = value.string().markup;
  return result;
}

}  // namespace

Result<Value> get_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  if (value.is_undefined()) return use_of_undefined(value);
  NIBBLE_TRY(Value own, find_own_attribute(runtime, value, name));
  if (!own.is_missing()) return own;
  if (value.is_dict()) {
    const std::size_t position = value.dict().find(name);
    if (position != DictObject::npos) return value.dict().entries[position].second;
  }
  return runtime.undefined(fmt::format("'{}' has no attribute '{}'", described(value), shortened(name)));
}

Result<Value> get_own_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  NIBBLE_TRY(Value own, find_own_attribute(runtime, value, name));
  if (!own.is_missing()) return own;
  return runtime.undefined(fmt::format("'{}' has no attribute '{}'", described(value), shortened(name)));
}

Result<Value> get_item(Runtime& runtime, const Value& value, const Value& key) {
  if (value.is_undefined()) return use_of_undefined(value);
  if (value.is_dict() && is_hashable(key)) {
    if (key.is_string()) NIBBLE_TRY_STATUS(runtime.work_bytes(key.text().size()));
    const std::size_t position = value.dict().find(key);
    if (position != DictObject::npos) return value.dict().entries[position].second;
  }
  if (key.is_integral()) {
    NIBBLE_TRY(Value item, item_at(runtime, value, key.as_int()));
    if (!item.is_missing()) return item;
    return runtime.undefined(fmt::format("{} has no element {}", described(value), key.as_int()));
  }
  if (key.is_string()) {
    NIBBLE_TRY(Value own, find_own_attribute(runtime, value, key.text()));
    if (!own.is_missing()) return own;
    return runtime.undefined(fmt::format("'{}' has no attribute '{}'", described(value), shortened(key.text())));
  }
  return runtime.undefined(fmt::format("{} has no element of type {}", described(value), type_name(key)));
}

Result<Value> get_slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop,
                        const Value& step) {
  if (value.is_undefined()) return use_of_undefined(value);
  const bool sliceable = value.is_string() || value.is(Kind::kList) || value.is(Kind::kTuple) || value.is(Kind::kRange);
  if (!sliceable) return fail(ErrorCode::kInvalidArgument, "a value of type '{}' cannot be sliced", type_name(value));
  NIBBLE_TRY(const SliceBounds bounds, slice_bounds(*length_of(value), start, stop, step));
  if (value.is_string()) return slice_string(runtime, value, bounds);
  if (value.is(Kind::kRange)) {
    // Bounds are at most 100000 apart, but the step that the template gave may be anything.
    const RangeObject& range = value.range();
    std::int64_t stride = 0;
    std::int64_t stop_value = 0;
    if (__builtin_mul_overflow(range.step, bounds.step, &stride) ||
        __builtin_mul_overflow(bounds.stop, range.step, &stop_value) ||
        __builtin_add_overflow(range.start, stop_value, &stop_value)) {
      return fail(ErrorCode::kInvalidArgument, "an integer does not fit 64 bits");
    }
    return runtime.range(range_item(range, bounds.start), stop_value, stride);
  }
  NIBBLE_TRY_STATUS(runtime.reserve(static_cast<std::size_t>(bounds.size), sizeof(Value)));
  std::vector<Value> items;
  items.reserve(static_cast<std::size_t>(bounds.size));
  std::int64_t position = bounds.start;
  for (std::int64_t i = 0; i < bounds.size; ++i) {
    items.push_back(value.list().items[static_cast<std::size_t>(position)]);
    if (i + 1 < bounds.size) position += bounds.step;
  }
  return value.is(Kind::kList) ? runtime.list(std::move(items)) : runtime.tuple(std::move(items));
}

Result<Cursor> Cursor::over(Runtime& runtime, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
    case Kind::kIterator:
    case Kind::kView:
      return Cursor(value);
    case Kind::kDict: {
      NIBBLE_TRY(Value keys, runtime.view(value, ViewObject::Part::kKeys));
      return Cursor(std::move(keys));
    }
    default:
      return fail(ErrorCode::kInvalidArgument, "'{}' object is not iterable", type_name(value));
  }
}

Result<Value> Cursor::next(Runtime& runtime) {
  NIBBLE_TRY_STATUS(runtime.work(0));
  const std::size_t here = position_;
  switch (source_.kind()) {
    case Kind::kList:
    case Kind::kTuple:
      return here < source_.list().items.size() ? source_.list().items[position_++] : Value();
    case Kind::kString: {
      if (here >= source_.text().size()) return Value();
      const std::size_t bytes = code_point_bytes(source_.text()[here]);
      position_ += bytes;
      return runtime.string(source_.text().substr(here, bytes));
    }
    case Kind::kRange: {
      if (here >= static_cast<std::size_t>(source_.range().size)) return Value();
      ++position_;
      return Value::integer(range_item(source_.range(), static_cast<std::int64_t>(here)));
    }
    case Kind::kIterator: {
      IteratorObject& iterator = source_.iterator();
      return iterator.position < iterator.items.size() ? iterator.items[iterator.position++] : Value();
    }
    case Kind::kView: {
      const auto& entries = source_.view().dict.dict().entries;
      if (here >= entries.size()) return Value();
      ++position_;
      const auto& [key, value] = entries[here];
      if (source_.view().part == ViewObject::Part::kKeys) return key;
      if (source_.view().part == ViewObject::Part::kValues) return value;
      return runtime.tuple({key, value});
    }
    default:
      return Value();
  }
}

Result<std::vector<Value>> to_vector(Runtime& runtime, const Value& value) {
  if (const auto length = length_of(value)) {
    NIBBLE_TRY_STATUS(runtime.reserve(static_cast<std::size_t>(*length), sizeof(Value)));
  }
  NIBBLE_TRY(Cursor cursor, Cursor::over(runtime, value));
  std::vector<Value> items;
  while (true) {
    NIBBLE_TRY(Value next, cursor.next(runtime));
    if (next.is_missing()) return items;
    items.push_back(std::move(next));
  }
}

Status sort_by_keys(Runtime& runtime, std::vector<Value>& items, const std::vector<Value>& keys, bool descending) {
  // A merge sort from the bottom up: stable, and whatever the comparison answers it stays within its arrays.
  const std::size_t count = items.size();
  std::vector<std::size_t> places(count), merged(count);
  for (std::size_t i = 0; i < count; ++i) places[i] = i;
  for (std::size_t width = 1; width < count; width *= 2) {
    for (std::size_t begin = 0; begin < count; begin += 2 * width) {
      const std::size_t middle = std::min(begin + width, count);
      const std::size_t end = std::min(begin + 2 * width, count);
      std::size_t left = begin;
      std::size_t right = middle;
      for (std::size_t out = begin; out < end; ++out) {
        bool take_right = left == middle;
        if (!take_right && right < end) {
          const Value& a = keys[places[descending ? left : right]];
          const Value& b = keys[places[descending ? right : left]];
          NIBBLE_TRY(const auto result, order(runtime, a, b, "<"));
          take_right = result && *result < 0;
        }
        merged[out] = take_right ? places[right++] : places[left++];
      }
    }
    places.swap(merged);
  }
  std::vector<Value> sorted;
  sorted.reserve(count);
  for (const std::size_t place : places) sorted.push_back(items[place]);
  items.swap(sorted);
  return {};
}

}  // namespace nibble::jinja
