#include "text/template/value.h"

#include <cmath>

namespace nibble::jinja {
namespace {

constexpr std::size_t kLinearSearchEntries = 8;

int order_of(bool less, bool greater) { return less ? -1 : (greater ? 1 : 0); }

/// None, numbers, strings, tuples, then everything that is its own identity.
int key_rank(const Value& key) {
  if (key.is_none()) return 0;
  if (key.is_undefined()) return 1;
  if (key.is_number()) return 2;
  if (key.is_string()) return 3;
  if (key.is(Kind::kTuple)) return 4;
  return 5;
}

int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return order_of(a.as_int() < b.as_int(), a.as_int() > b.as_int());
  // long double holds both types exactly where it has 64 bits of mantissa; not-a-number sorts first.
  const auto widen = [](const Value& v) {
    return v.is_integral() ? static_cast<long double>(v.as_int()) : static_cast<long double>(v.as_real());
  };
  const long double x = widen(a);
  const long double y = widen(b);
  if (std::isnan(x) || std::isnan(y)) return order_of(std::isnan(x) && !std::isnan(y), !std::isnan(x));
  return order_of(x<y, x> y);
}

// Recursion is bounded: is_hashable() refuses deeply nested tuples.
int compare_keys(const Value& a, const Value& b) {
  const int rank = key_rank(a);
  if (rank != key_rank(b)) return rank < key_rank(b) ? -1 : 1;
  switch (rank) {
    case 0:
    case 1:
      return 0;
    case 2:
      return compare_numbers(a, b);
    case 3:
      return a.text().compare(b.text());
    case 4: {
      const auto& left = a.list().items;
      const auto& right = b.list().items;
      for (std::size_t i = 0; i < left.size() && i < right.size(); ++i) {
        if (const int order = compare_keys(left[i], right[i]); order != 0) return order;
      }
      return order_of(left.size() < right.size(), left.size() > right.size());
    }
    default:
      return order_of(std::less<>()(a.object(), b.object()), std::less<>()(b.object(), a.object()));
  }
}

}  // namespace

bool KeyOrder::operator()(const Value& a, const Value& b) const noexcept { return compare_keys(a, b) < 0; }

void DictObject::clear() noexcept {
  index_.clear();
  entries.clear();
}

void DictObject::build_index() const {
  for (std::size_t i = 0; i < entries.size(); ++i) index_.emplace(entries[i].first, i);
}

std::size_t DictObject::find(const Value& key) const {
  if (entries.size() <= kLinearSearchEntries) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (compare_keys(entries[i].first, key) == 0) return i;
    }
    return npos;
  }
  if (index_.empty()) build_index();
  const auto found = index_.find(key);
  return found == index_.end() ? npos : found->second;
}

std::size_t DictObject::find(std::string_view key) const {
  if (entries.size() > kLinearSearchEntries) {
    StringObject probe(std::string(key), key.size());
    probe.references = 1;  // the probe lives on this stack frame: its Value must not free it
    return find(Value(&probe));
  }
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].first.is_string() && entries[i].first.text() == key) return i;
  }
  return npos;
}

void DictObject::set(Value key, Value value) {
  const std::size_t position = find(key);
  if (position != npos) {
    entries[position].second = std::move(value);
    return;
  }
  if (!index_.empty()) index_.emplace(key, entries.size());
  entries.emplace_back(std::move(key), std::move(value));
}

void DictObject::erase(std::size_t position) {
  index_.clear();
  entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(position));
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return value.string().markup ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kView: {
      constexpr std::string_view kNames[] = {"dict_keys", "dict_values", "dict_items"};
      return kNames[static_cast<int>(value.view().part)];
    }
    case Kind::kRange:
      return "range";
    case Kind::kIterator:
      return value.iterator().name;
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kFunction:
      return "function";
    case Kind::kMacro:
      return "Macro";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kScope:
      return "scope";
  }
  return "object";
}

}  // namespace nibble::jinja
