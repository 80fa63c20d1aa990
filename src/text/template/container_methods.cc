// Methods of list, tuple, dict and numbers. Jinja's immutable sandbox, which transformers uses, refuses those that
// change a value; here they work as in Python, because published templates (Kimi K2) call them.
#include <algorithm>

#include "text/template/builtin.h"
#include "text/template/operations.h"

namespace nibble::jinja {
namespace {

Result<Value> unsupported(Runtime&, Call&) {
  return fail(ErrorCode::kUnsupported, "this method is not supported in chat templates");
}

// ---------------------------------------------------------------- lists

Result<Value> append(Runtime& runtime, Call& call) {
  NIBBLE_TRY_STATUS(runtime.append(call.self, call[0]));
  return Value::none();
}

Result<Value> extend(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::vector<Value> items, to_vector(runtime, call[0]));
  for (const Value& item : items) NIBBLE_TRY_STATUS(runtime.append(call.self, item));
  return Value::none();
}

Result<Value> insert(Runtime& runtime, Call& call) {
  NIBBLE_TRY(std::int64_t index, as_integer(call[0], "the index"));
  auto& items = call.self.list().items;
  const auto size = static_cast<std::int64_t>(items.size());
  NIBBLE_TRY_STATUS(runtime.work_bytes(items.size() * sizeof(Value)));
  NIBBLE_TRY_STATUS(runtime.append(call.self, call[1]));
  if (index < 0) index = std::max<std::int64_t>(index + size, 0);
  std::rotate(items.begin() + std::min(index, size), items.end() - 1, items.end());
  return Value::none();
}

Result<Value> list_pop(Runtime& runtime, Call& call) {
  NIBBLE_TRY(std::int64_t index, integer_or(call[0], -1, "the index"));
  auto& items = call.self.list().items;
  const auto size = static_cast<std::int64_t>(items.size());
  if (size == 0) return fail(ErrorCode::kInvalidArgument, "pop from empty list");
  if (index < 0) index += size;
  if (index < 0 || index >= size) return fail(ErrorCode::kInvalidArgument, "pop index out of range");
  NIBBLE_TRY_STATUS(runtime.work_bytes(items.size() * sizeof(Value)));
  Value item = items[static_cast<std::size_t>(index)];
  items.erase(items.begin() + index);
  return item;
}

Result<std::size_t> find_item(Runtime& runtime, const Call& call, std::size_t from) {
  for (std::size_t i = from; i < call.self.list().items.size(); ++i) {
    NIBBLE_TRY(const bool same, equals(runtime, call.self.list().items[i], call[0]));
    if (same) return i;
  }
  return call.self.list().items.size();
}

Result<Value> remove(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::size_t at, find_item(runtime, call, 0));
  auto& items = call.self.list().items;
  if (at == items.size()) return fail(ErrorCode::kInvalidArgument, "list.remove(x): x not in list");
  NIBBLE_TRY_STATUS(runtime.work_bytes(items.size() * sizeof(Value)));
  const Value keep = items[at];
  items.erase(items.begin() + static_cast<std::ptrdiff_t>(at));
  return Value::none();
}

Result<Value> list_clear(Runtime&, Call& call) {
  std::vector<Value> removed;
  removed.swap(call.self.list().items);
  return Value::none();
}

Result<Value> list_copy(Runtime& runtime, Call& call) {
  NIBBLE_TRY_STATUS(runtime.reserve(call.self.list().items.size(), sizeof(Value)));
  return runtime.list(call.self.list().items);
}

Result<Value> reverse(Runtime& runtime, Call& call) {
  auto& items = call.self.list().items;
  NIBBLE_TRY_STATUS(runtime.work_bytes(items.size() * sizeof(Value)));
  std::reverse(items.begin(), items.end());
  return Value::none();
}

Result<Value> sort(Runtime& runtime, Call& call) {
  if (call.has(0) && !call[0].is_none()) return unsupported(runtime, call);
  NIBBLE_TRY_STATUS(runtime.reserve(call.self.list().items.size(), 3 * sizeof(Value)));
  std::vector<Value> items = call.self.list().items;
  NIBBLE_TRY_STATUS(sort_by_keys(runtime, items, call.self.list().items, is_true(call[1])));
  call.self.list().items.swap(items);
  return Value::none();
}

Result<Value> sequence_items(Runtime& runtime, const Value& self) {
  if (self.is(Kind::kList) || self.is(Kind::kTuple)) return self;
  NIBBLE_TRY(std::vector<Value> items, to_vector(runtime, self));
  return runtime.list(std::move(items));
}

Result<Value> count(Runtime& runtime, Call& call) {
  NIBBLE_TRY(call.self, sequence_items(runtime, call.self));
  std::int64_t found = 0;
  for (std::size_t i = 0; i < call.self.list().items.size(); ++i) {
    NIBBLE_TRY(const bool same, equals(runtime, call.self.list().items[i], call[0]));
    if (same) ++found;
  }
  return Value::integer(found);
}

Result<Value> index(Runtime& runtime, Call& call) {
  NIBBLE_TRY(call.self, sequence_items(runtime, call.self));
  const auto size = static_cast<std::int64_t>(call.self.list().items.size());
  NIBBLE_TRY(std::int64_t start, integer_or(call[1], 0, "start"));
  NIBBLE_TRY(std::int64_t stop, integer_or(call[2], size, "stop"));
  if (start < 0) start = std::max<std::int64_t>(start + size, 0);
  if (stop < 0) stop += size;
  NIBBLE_TRY(const std::size_t at, find_item(runtime, call, static_cast<std::size_t>(std::min(start, size))));
  if (static_cast<std::int64_t>(at) >= std::min(stop, size))
    return fail(ErrorCode::kInvalidArgument, "the value is not in the list");
  return Value::integer(static_cast<std::int64_t>(at));
}

// ---------------------------------------------------------------- dictionaries

/// The entry of a key, or npos; fails for keys that cannot be.
Result<std::size_t> entry_of(Runtime& runtime, const Value& dict, const Value& key) {
  if (!is_hashable(key)) return unhashable(key);
  if (key.is_string()) NIBBLE_TRY_STATUS(runtime.work_bytes(key.text().size()));
  return dict.dict().find(key);
}

Result<Value> get(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::size_t at, entry_of(runtime, call.self, call[0]));
  if (at != DictObject::npos) return call.self.dict().entries[at].second;
  return call.has(1) ? call[1] : Value::none();
}

template <ViewObject::Part kPart>
Result<Value> view(Runtime& runtime, Call& call) {
  return runtime.view(call.self, kPart);
}

Result<Value> dict_pop(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::size_t at, entry_of(runtime, call.self, call[0]));
  if (at == DictObject::npos) {
    if (call.has(1)) return call[1];
    return fail(ErrorCode::kInvalidArgument, "pop(): the dictionary has no such key");
  }
  NIBBLE_TRY_STATUS(runtime.work(call.self.dict().entries.size() / 4));
  Value value = call.self.dict().entries[at].second;
  call.self.dict().erase(at);
  return value;
}

Result<Value> popitem(Runtime& runtime, Call& call) {
  auto& entries = call.self.dict().entries;
  if (entries.empty()) return fail(ErrorCode::kInvalidArgument, "popitem(): dictionary is empty");
  NIBBLE_TRY_STATUS(runtime.work(entries.size() / 4));
  NIBBLE_TRY(Value item, runtime.tuple({entries.back().first, entries.back().second}));
  call.self.dict().erase(entries.size() - 1);
  return item;
}

Result<Value> setdefault(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::size_t at, entry_of(runtime, call.self, call[0]));
  if (at != DictObject::npos) return call.self.dict().entries[at].second;
  Value value = call.has(1) ? call[1] : Value::none();
  NIBBLE_TRY_STATUS(runtime.set(call.self, call[0], value));
  return value;
}

/// Copies the entries of a dictionary, or of a list of pairs, into `target`.
Status copy_entries(Runtime& runtime, const Value& target, const Value& source) {
  if (source.is_dict()) {
    const auto entries = source.dict().entries;  // a copy: the source may be the target
    for (const auto& [key, value] : entries) NIBBLE_TRY_STATUS(runtime.set(target, key, value));
    return {};
  }
  NIBBLE_TRY(const std::vector<Value> pairs, to_vector(runtime, source));
  for (const Value& pair : pairs) {
    NIBBLE_TRY(const std::vector<Value> parts, to_vector(runtime, pair));
    if (parts.size() != 2)
      return fail(ErrorCode::kInvalidArgument, "a dictionary is made of pairs, not of {} items", parts.size());
    if (!is_hashable(parts[0])) return unhashable(parts[0]);
    NIBBLE_TRY_STATUS(runtime.set(target, parts[0], parts[1]));
  }
  return {};
}

Result<Value> update(Runtime& runtime, Call& call) {
  if (call.has(0)) NIBBLE_TRY_STATUS(copy_entries(runtime, call.self, call[0]));
  for (const auto& [key, value] : call.rest.keywords) NIBBLE_TRY_STATUS(runtime.set(call.self, key, value));
  return Value::none();
}

Result<Value> dict_clear(Runtime&, Call& call) {
  call.self.dict().clear();
  return Value::none();
}

Result<Value> dict_copy(Runtime& runtime, Call& call) {
  NIBBLE_TRY(Value copy, runtime.dict());
  NIBBLE_TRY_STATUS(copy_entries(runtime, copy, call.self));
  return copy;
}

// ---------------------------------------------------------------- numbers

Result<Value> is_integer(Runtime&, Call& call) {
  const double value = call.self.as_real();
  return Value::boolean(value - value == 0 &&
                        static_cast<long double>(value) == __builtin_floorl(static_cast<long double>(value)));
}

Result<Value> bit_length(Runtime&, Call& call) {
  if (!call.self.is_integral())
    return fail(ErrorCode::kInvalidArgument, "'float' object has no attribute 'bit_length'");
  const std::int64_t value = call.self.as_int();
  auto magnitude = value < 0 ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  std::int64_t bits = 0;
  for (; magnitude != 0; magnitude >>= 1) ++bits;
  return Value::integer(bits);
}

}  // namespace

Result<Value> make_dict(Runtime& runtime, Call& call) {
  NIBBLE_TRY(Value result, runtime.dict());
  if (call.has(0)) NIBBLE_TRY_STATUS(copy_entries(runtime, result, call[0]));
  for (const auto& [key, value] : call.rest.keywords) NIBBLE_TRY_STATUS(runtime.set(result, key, value));
  return result;
}

Result<Value> make_namespace(Runtime& runtime, Call& call) {
  NIBBLE_TRY(Value result, runtime.empty_dict(Kind::kNamespace));
  if (call.has(0)) NIBBLE_TRY_STATUS(copy_entries(runtime, result, call[0]));
  for (const auto& [key, value] : call.rest.keywords) NIBBLE_TRY_STATUS(runtime.set(result, key, value));
  for (const auto& [key, value] : result.dict().entries) {
    if (key.is_string() && key.text().substr(0, 1) == "_") {
      return fail(ErrorCode::kInvalidArgument, "a namespace may not have attributes that begin with an underscore");
    }
  }
  return result;
}

namespace {

constexpr Function kListMethods[] = {
    {"append", "object", append},       {"clear", "", list_clear},       {"copy", "", list_copy},
    {"count", "value", count},          {"extend", "iterable", extend},  {"index", "value start? stop?", index},
    {"insert", "index object", insert}, {"pop", "index?", list_pop},     {"remove", "value", remove},
    {"reverse", "", reverse},           {"sort", "key? reverse?", sort},
};

constexpr Function kTupleMethods[] = {
    {"count", "value", count},
    {"index", "value start? stop?", index},
};

constexpr Function kDictMethods[] = {
    {"clear", "", dict_clear},
    {"copy", "", dict_copy},
    {"fromkeys", "* **", unsupported},
    {"get", "key default?", get},
    {"items", "", view<ViewObject::Part::kItems>},
    {"keys", "", view<ViewObject::Part::kKeys>},
    {"pop", "key default?", dict_pop},
    {"popitem", "", popitem},
    {"setdefault", "key default?", setdefault},
    {"update", "other? **", update},
    {"values", "", view<ViewObject::Part::kValues>},
};

constexpr Function kNumberMethods[] = {
    {"bit_length", "", bit_length},
    {"is_integer", "", is_integer},
};

}  // namespace

FunctionTable list_methods() { return table_of(kListMethods); }
FunctionTable tuple_methods() { return table_of(kTupleMethods); }
FunctionTable dict_methods() { return table_of(kDictMethods); }
FunctionTable number_methods() { return table_of(kNumberMethods); }

}  // namespace nibble::jinja
