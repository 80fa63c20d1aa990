// map, select, reject and their attribute forms, which apply other filters and tests to each item. Python's are lazy
// generators; these do the work at once, and hand the results out once.
#include "text/template/attribute_path.h"
#include "text/template/builtin.h"
#include "text/template/operations.h"

namespace nibble::jinja {
namespace {

/// Takes the first positional argument off; missing when there is none.
Value take_first(Arguments& arguments) {
  if (arguments.positional.empty()) return Value();
  Value first = arguments.positional.front();
  arguments.positional.erase(arguments.positional.begin());
  return first;
}

Result<Value> map_attribute(Runtime& runtime, const std::vector<Value>& values, const Arguments& arguments) {
  Value attribute;
  Value fallback;
  for (const auto& [name, value] : arguments.keywords) {
    if (name.text() == "attribute") {
      attribute = value;
    } else if (name.text() == "default") {
      fallback = value;
    } else {
      return fail(ErrorCode::kInvalidArgument, "Unexpected keyword argument '{}'", name.text().substr(0, 80));
    }
  }
  if (attribute.is_missing()) return fail(ErrorCode::kInvalidArgument, "map requires a filter argument");
  NIBBLE_TRY(const AttributePath path, AttributePath::parse(runtime, attribute));
  std::vector<Value> results;
  for (const Value& value : values) {
    NIBBLE_TRY(Value result, path.get(runtime, value, fallback));
    results.push_back(std::move(result));
  }
  return runtime.iterator(std::move(results));
}

Result<Value> map(Runtime& runtime, Call& call) {
  if (!is_true(call.self)) return runtime.iterator({});
  NIBBLE_TRY(const std::vector<Value> values, to_vector(runtime, call.self));
  const Value name = take_first(call.rest);
  if (name.is_missing()) return map_attribute(runtime, values, call.rest);
  NIBBLE_TRY(const std::string_view filter_name, as_text(name, "the name of the filter"));
  const Function* filter = find_filter(filter_name);
  if (filter == nullptr) return fail(ErrorCode::kUnsupported, "No filter named '{}'.", filter_name.substr(0, 80));
  std::vector<Value> results;
  for (const Value& value : values) {
    NIBBLE_TRY(Value result, invoke(runtime, *filter, value, call.rest));
    results.push_back(std::move(result));
  }
  return runtime.iterator(std::move(results));
}

template <bool kWanted, bool kAttribute>
Result<Value> choose(Runtime& runtime, Call& call) {
  if (!is_true(call.self)) return runtime.iterator({});
  NIBBLE_TRY(const std::vector<Value> values, to_vector(runtime, call.self));
  AttributePath path;
  if (kAttribute) {
    const Value attribute = take_first(call.rest);
    if (attribute.is_missing()) return fail(ErrorCode::kInvalidArgument, "Missing parameter for attribute name");
    NIBBLE_TRY(path, AttributePath::parse(runtime, attribute));
  }
  const Value name = take_first(call.rest);
  const Function* test = nullptr;
  if (!name.is_missing()) {
    NIBBLE_TRY(const std::string_view test_name, as_text(name, "the name of the test"));
    test = find_test(test_name);
    if (test == nullptr) return fail(ErrorCode::kUnsupported, "No test named '{}'.", test_name.substr(0, 80));
  }
  std::vector<Value> chosen;
  for (const Value& value : values) {
    NIBBLE_TRY(Value tested, path.get(runtime, value));
    if (test != nullptr) {
      NIBBLE_TRY(tested, invoke(runtime, *test, tested, call.rest));
    }
    if (is_true(tested) == kWanted) chosen.push_back(value);
  }
  return runtime.iterator(std::move(chosen));
}

// Deep chains such as map('map', 'map', ...) end where their arguments end.
constexpr Function kFilters[] = {
    {"map", "* **", map},
    {"reject", "* **", choose<false, false>},
    {"rejectattr", "* **", choose<false, true>},
    {"select", "* **", choose<true, false>},
    {"selectattr", "* **", choose<true, true>},
};

}  // namespace

FunctionTable selection_filters() { return table_of(kFilters); }

}  // namespace nibble::jinja
