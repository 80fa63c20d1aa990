// Filters over the items of their value.
#include <algorithm>

#include "text/template/attribute_path.h"
#include "text/template/builtin.h"
#include "text/template/operations.h"
#include "text/template/printing.h"
#include "text/template/python_text.h"

namespace nibble::jinja {
namespace {

bool flag(const Call& call, std::size_t parameter) { return call.has(parameter) && is_true(call[parameter]); }

Result<Value> length(Runtime&, Call& call) {
  if (const auto items = length_of(call.self)) return Value::integer(*items);
  return fail(ErrorCode::kInvalidArgument, "object of type '{}' has no len()", type_name(call.self));
}

Result<Value> first(Runtime& runtime, Call& call) {
  NIBBLE_TRY(Cursor cursor, Cursor::over(runtime, call.self));
  NIBBLE_TRY(Value item, cursor.next(runtime));
  return item.is_missing() ? runtime.undefined("No first item, sequence was empty.") : item;
}

Result<Value> last(Runtime& runtime, Call& call) {
  if (call.self.is(Kind::kIterator))
    return fail(ErrorCode::kInvalidArgument, "'generator' object is not reversible; put |list before |last");
  if (call.self.is(Kind::kList) || call.self.is(Kind::kTuple)) {
    const auto& items = call.self.list().items;
    return items.empty() ? runtime.undefined("No last item, sequence was empty.") : items.back();
  }
  NIBBLE_TRY(const std::vector<Value> items, to_vector(runtime, call.self));
  return items.empty() ? runtime.undefined("No last item, sequence was empty.") : items.back();
}

Result<Value> list(Runtime& runtime, Call& call) {
  NIBBLE_TRY(std::vector<Value> items, to_vector(runtime, call.self));
  return runtime.list(std::move(items));
}

Result<Value> items(Runtime& runtime, Call& call) {
  if (call.self.is_undefined()) return runtime.iterator({});
  if (!call.self.is_dict()) return fail(ErrorCode::kInvalidArgument, "Can only get item pairs from a mapping.");
  NIBBLE_TRY(const Value view, runtime.view(call.self, ViewObject::Part::kItems));
  NIBBLE_TRY(std::vector<Value> pairs, to_vector(runtime, view));
  return runtime.iterator(std::move(pairs));
}

Result<Value> reverse(Runtime& runtime, Call& call) {
  if (call.self.is_string()) return get_slice(runtime, call.self, Value(), Value(), Value::integer(-1));
  NIBBLE_TRY(std::vector<Value> values, to_vector(runtime, call.self));
  std::reverse(values.begin(), values.end());
  if (call.self.is(Kind::kIterator)) return runtime.list(std::move(values));
  return runtime.iterator(std::move(values), "reversed");
}

Result<Value> join(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const AttributePath path, AttributePath::parse(runtime, call[1]));
  NIBBLE_TRY(const Value separator, call.has(0) ? to_string(runtime, call[0]) : runtime.string(""));
  NIBBLE_TRY(Cursor cursor, Cursor::over(runtime, call.self));
  TextBuilder out(runtime);
  for (bool first_item = true; !out.overflowed(); first_item = false) {
    NIBBLE_TRY(Value item, cursor.next(runtime));
    if (item.is_missing()) break;
    NIBBLE_TRY(item, path.get(runtime, item));
    NIBBLE_TRY(const Value text, to_string(runtime, item));
    if (!first_item) out.append(separator.text());
    out.append(text.text());
  }
  return out.finish();
}

/// The keys by which `values` are sorted: one attribute, or a list of them separated by commas.
Result<std::vector<Value>> sort_keys(Runtime& runtime, const std::vector<Value>& values, const Value& attribute,
                                     bool case_sensitive) {
  std::vector<AttributePath> paths;
  std::string_view rest = attribute.is_string() ? attribute.text() : "";
  while (attribute.is_string()) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    NIBBLE_TRY(AttributePath path, AttributePath::parse(runtime, rest.substr(0, end)));
    paths.push_back(std::move(path));
    if (end == rest.size()) break;
    rest.remove_prefix(end + 1);
  }
  if (!attribute.is_string()) {
    NIBBLE_TRY(AttributePath path, AttributePath::parse(runtime, attribute));
    paths.push_back(std::move(path));
  }
  std::vector<Value> keys;
  for (const Value& value : values) {
    std::vector<Value> parts;
    for (const AttributePath& path : paths) {
      NIBBLE_TRY(const Value part, path.get(runtime, value));
      NIBBLE_TRY(Value key, comparison_key(runtime, part, case_sensitive));
      parts.push_back(std::move(key));
    }
    if (parts.size() == 1) {
      keys.push_back(std::move(parts[0]));
    } else {
      NIBBLE_TRY(Value key, runtime.list(std::move(parts)));
      keys.push_back(std::move(key));
    }
  }
  return keys;
}

Result<Value> sort(Runtime& runtime, Call& call) {
  NIBBLE_TRY(std::vector<Value> values, to_vector(runtime, call.self));
  NIBBLE_TRY(const std::vector<Value> keys, sort_keys(runtime, values, call[2], flag(call, 1)));
  NIBBLE_TRY_STATUS(sort_by_keys(runtime, values, keys, flag(call, 0)));
  return runtime.list(std::move(values));
}

Result<Value> dictsort(Runtime& runtime, Call& call) {
  if (call.self.is_undefined()) return use_of_undefined(call.self);
  if (!call.self.is_dict())
    return fail(ErrorCode::kInvalidArgument, "dictsort needs a mapping, not {}", type_name(call.self));
  std::string_view by = "key";
  if (call.has(1)) {
    NIBBLE_TRY(by, as_text(call[1], "by"));
  }
  if (by != "key" && by != "value")
    return fail(ErrorCode::kInvalidArgument, "You can only sort by either \"key\" or \"value\"");
  std::vector<Value> pairs;
  std::vector<Value> keys;
  for (const auto& [key, value] : call.self.dict().entries) {
    NIBBLE_TRY(Value pair, runtime.tuple({key, value}));
    pairs.push_back(std::move(pair));
    NIBBLE_TRY(Value sort_key, comparison_key(runtime, by == "key" ? key : value, flag(call, 0)));
    keys.push_back(std::move(sort_key));
  }
  NIBBLE_TRY_STATUS(sort_by_keys(runtime, pairs, keys, flag(call, 2)));
  return runtime.list(std::move(pairs));
}

Result<Value> unique(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const AttributePath path, AttributePath::parse(runtime, call[1]));
  NIBBLE_TRY(const std::vector<Value> values, to_vector(runtime, call.self));
  NIBBLE_TRY(const Value seen, runtime.dict());
  std::vector<Value> result;
  for (const Value& value : values) {
    NIBBLE_TRY(const Value part, path.get(runtime, value));
    NIBBLE_TRY(Value key, comparison_key(runtime, part, flag(call, 0)));
    if (!is_hashable(key)) return unhashable(key);
    if (seen.dict().find(key) != DictObject::npos) continue;
    NIBBLE_TRY_STATUS(runtime.set(seen, std::move(key), Value::none()));
    result.push_back(value);
  }
  return runtime.iterator(std::move(result));
}

template <bool kLargest>
Result<Value> extreme(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const AttributePath path, AttributePath::parse(runtime, call[1]));
  NIBBLE_TRY(const std::vector<Value> values, to_vector(runtime, call.self));
  if (values.empty()) return runtime.undefined("No aggregated item, sequence was empty.");
  std::size_t best = 0;
  Value best_key;
  for (std::size_t i = 0; i < values.size(); ++i) {
    NIBBLE_TRY(const Value part, path.get(runtime, values[i]));
    NIBBLE_TRY(Value key, comparison_key(runtime, part, flag(call, 0)));
    if (i > 0) {
      NIBBLE_TRY(const bool better,
                 compare(runtime, kLargest ? Comparison::kGreater : Comparison::kLess, key, best_key));
      if (!better) continue;
    }
    best = i;
    best_key = std::move(key);
  }
  return values[best];
}

Result<Value> sum(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const AttributePath path, AttributePath::parse(runtime, call[0]));
  Value total = call.has(1) ? call[1] : Value::integer(0);
  if (total.is_string()) return fail(ErrorCode::kInvalidArgument, "sum() can't sum strings; use |join instead");
  NIBBLE_TRY(const std::vector<Value> values, to_vector(runtime, call.self));
  for (const Value& value : values) {
    NIBBLE_TRY(const Value part, path.get(runtime, value));
    NIBBLE_TRY(total, binary(runtime, BinaryOperator::kAdd, total, part));
  }
  return total;
}

Result<Value> batch(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::int64_t size, as_integer(call[0], "the line count"));
  NIBBLE_TRY(const std::vector<Value> values, to_vector(runtime, call.self));
  const bool fill = call.has(1) && !call[1].is_none();
  std::vector<Value> rows;
  std::vector<Value> row;
  for (const Value& value : values) {
    if (static_cast<std::int64_t>(row.size()) == size) {
      NIBBLE_TRY(Value full, runtime.list(std::move(row)));
      rows.push_back(std::move(full));
      row.clear();
    }
    row.push_back(value);
  }
  if (!row.empty()) {
    const std::int64_t lacking = fill ? size - static_cast<std::int64_t>(row.size()) : 0;
    if (lacking > 0) {
      NIBBLE_TRY_STATUS(runtime.reserve(static_cast<std::size_t>(lacking), sizeof(Value)));
      row.insert(row.end(), static_cast<std::size_t>(lacking), call[1]);
    }
    NIBBLE_TRY(Value rest, runtime.list(std::move(row)));
    rows.push_back(std::move(rest));
  }
  return runtime.iterator(std::move(rows));
}

Result<Value> slice(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::int64_t slices, as_integer(call[0], "the number of slices"));
  NIBBLE_TRY(const std::vector<Value> values, to_vector(runtime, call.self));
  if (slices == 0) return fail(ErrorCode::kInvalidArgument, "integer division or modulo by zero");
  const auto total = static_cast<std::int64_t>(values.size());
  std::vector<Value> columns;
  std::int64_t start = 0;
  for (std::int64_t i = 0; i < slices; ++i) {
    const std::int64_t end = start + total / slices + (i < total % slices ? 1 : 0);
    std::vector<Value> column(values.begin() + start, values.begin() + end);
    if (call.has(1) && !call[1].is_none() && i >= total % slices) column.push_back(call[1]);
    NIBBLE_TRY(Value made, runtime.list(std::move(column)));
    columns.push_back(std::move(made));
    start = end;
  }
  return runtime.iterator(std::move(columns));
}

Result<Value> groupby(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const AttributePath path, AttributePath::parse(runtime, call[0]));
  NIBBLE_TRY(std::vector<Value> values, to_vector(runtime, call.self));
  std::vector<Value> keys;
  for (const Value& value : values) {
    NIBBLE_TRY(const Value part, path.get(runtime, value, call[1]));
    NIBBLE_TRY(Value key, comparison_key(runtime, part, flag(call, 2)));
    keys.push_back(std::move(key));
  }
  std::vector<Value> sorted_keys = keys;
  NIBBLE_TRY_STATUS(sort_by_keys(runtime, values, keys, false));
  NIBBLE_TRY_STATUS(sort_by_keys(runtime, sorted_keys, keys, false));
  std::vector<Value> groups;
  for (std::size_t start = 0; start < values.size();) {
    std::size_t end = start + 1;
    for (; end < values.size(); ++end) {
      NIBBLE_TRY(const bool same, equals(runtime, sorted_keys[end], sorted_keys[start]));
      if (!same) break;
    }
    const auto at = [&](std::size_t i) { return values.begin() + static_cast<std::ptrdiff_t>(i); };
    NIBBLE_TRY(Value grouper, path.get(runtime, values[start], call[1]));
    NIBBLE_TRY(Value members, runtime.list(std::vector<Value>(at(start), at(end))));
    NIBBLE_TRY(Value group, runtime.tuple({std::move(grouper), std::move(members)}));
    group.list().is_group = true;
    groups.push_back(std::move(group));
    start = end;
  }
  return runtime.list(std::move(groups));
}

constexpr Function kFilters[] = {
    {"batch", "linecount fill_with?", batch},
    {"count", "", length},
    {"dictsort", "case_sensitive? by? reverse?", dictsort},
    {"first", "", first},
    {"groupby", "attribute default? case_sensitive?", groupby},
    {"items", "", items},
    {"join", "d? attribute?", join},
    {"last", "", last},
    {"length", "", length},
    {"list", "", list},
    {"max", "case_sensitive? attribute?", extreme<true>},
    {"min", "case_sensitive? attribute?", extreme<false>},
    {"reverse", "", reverse},
    {"slice", "slices fill_with?", slice},
    {"sort", "reverse? case_sensitive? attribute?", sort},
    {"sum", "attribute? start?", sum},
    {"unique", "case_sensitive? attribute?", unique},
};

}  // namespace

FunctionTable sequence_filters() { return table_of(kFilters); }

}  // namespace nibble::jinja
