#include "text/template/builtin.h"

#include <algorithm>

#include "text/template/operations.h"

namespace nibble::jinja {
namespace {

/// Takes the next blank-separated word off `text`.
std::string_view next_word(std::string_view& text) {
  const std::size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

/// Moves the keyword called `name` out of `keywords`; missing when it was not given.
Value take_keyword(std::vector<std::pair<Value, Value>>& keywords, std::string_view name) {
  const auto found =
      std::find_if(keywords.begin(), keywords.end(), [&](const auto& entry) { return entry.first.text() == name; });
  if (found == keywords.end()) return Value();
  Value value = found->second;
  keywords.erase(found);
  return value;
}

}  // namespace

Result<Value> invoke(Runtime& runtime, const Function& function, Value self, Arguments arguments) {
  const DepthGuard guard(runtime);  // filters such as map call others
  if (!guard.status.ok()) return guard.status.error();
  NIBBLE_TRY_STATUS(runtime.work(arguments.positional.size() + 2 * arguments.keywords.size()));
  Call call;
  call.self = std::move(self);
  bool more_positional = false;
  bool more_keywords = false;
  std::size_t used = 0;
  for (std::string_view parameters = function.parameters; !parameters.empty();) {
    std::string_view name = next_word(parameters);
    if (name == "*" || name == "**") {
      (name == "*" ? more_positional : more_keywords) = true;
      continue;
    }
    const bool optional = name.back() == '?';
    if (optional) name.remove_suffix(1);
    Value value = take_keyword(arguments.keywords, name);
    if (used < arguments.positional.size()) {
      if (!value.is_missing()) {
        return fail(ErrorCode::kInvalidArgument, "{}() got two values for argument '{}'", function.name, name);
      }
      value = arguments.positional[used++];
    } else if (value.is_missing() && !optional) {
      return fail(ErrorCode::kInvalidArgument, "{}() misses its argument '{}'", function.name, name);
    }
    call.values.push_back(std::move(value));
  }
  if (used < arguments.positional.size() && !more_positional) {
    return fail(ErrorCode::kInvalidArgument, "{}() takes at most {} arguments, {} were given", function.name, used,
                arguments.positional.size());
  }
  if (!arguments.keywords.empty() && !more_keywords) {
    return fail(ErrorCode::kInvalidArgument, "{}() takes no argument called '{}'", function.name,
                arguments.keywords[0].first.text().substr(0, 80));
  }
  arguments.positional.erase(arguments.positional.begin(),
                             arguments.positional.begin() + static_cast<std::ptrdiff_t>(used));
  call.rest = std::move(arguments);
  return function.run(runtime, call);
}

const Function* FunctionTable::find(std::string_view name) const {
  const Function* found = std::find_if(begin_row, end_row, [&](const Function& row) { return row.name == name; });
  return found == end_row ? nullptr : found;
}

const Function* find_global(std::string_view name) { return global_functions().find(name); }

const Function* find_filter(std::string_view name) {
  for (const FunctionTable& table : {text_filters(), sequence_filters(), selection_filters(), value_filters()}) {
    if (const Function* found = table.find(name)) return found;
  }
  return nullptr;
}

const Function* find_test(std::string_view name) { return value_tests().find(name); }

const Function* find_method(const Value& value, std::string_view name) {
  switch (value.kind()) {
    case Kind::kString:
      return string_methods().find(name);
    case Kind::kList:
      return list_methods().find(name);
    case Kind::kTuple:
    case Kind::kRange:
      return tuple_methods().find(name);
    case Kind::kDict:
      return dict_methods().find(name);
    case Kind::kInt:
    case Kind::kBool:
    case Kind::kFloat:
      return number_methods().find(name);
    default:
      return nullptr;
  }
}

Result<std::int64_t> as_integer(const Value& value, std::string_view what) {
  if (value.is_undefined()) return use_of_undefined(value);
  if (value.is_integral()) return value.as_int();
  return fail(ErrorCode::kInvalidArgument, "{} must be an integer, not {}", what, type_name(value));
}

Result<std::int64_t> integer_or(const Value& value, std::int64_t fallback, std::string_view what) {
  if (value.is_missing() || value.is_none()) return fallback;
  return as_integer(value, what);
}

Result<std::string_view> as_text(const Value& value, std::string_view what) {
  if (value.is_string()) return value.text();
  if (value.is_undefined()) return use_of_undefined(value);
  return fail(ErrorCode::kInvalidArgument, "{} must be a string, not {}", what, type_name(value));
}

}  // namespace nibble::jinja
