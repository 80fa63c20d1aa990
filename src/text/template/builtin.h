// The tables of functions, methods, filters and tests: each row is a name, its parameters and what it does.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "text/template/runtime.h"

namespace nibble::jinja {

/// The arguments of a call as written.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<Value, Value>> keywords;  ///< names are strings, all different
};

/// The arguments of a call, sorted into the parameters of the called function.
struct Call {
  Value self;                 ///< the receiver of a method, the left side of a filter or test
  std::vector<Value> values;  ///< one per parameter, missing where not given
  Arguments rest;             ///< what a function with "*" or "**" takes besides

  const Value& operator[](std::size_t parameter) const { return values[parameter]; }
  bool has(std::size_t parameter) const { return !values[parameter].is_missing(); }
};

struct Function {
  std::string_view name;
  /// Names separated by blanks; optional ones end in '?'; "*" takes more positional arguments, "**" more keywords.
  std::string_view parameters;
  Result<Value> (*run)(Runtime& runtime, Call& call);
};

/// Sorts `arguments` into the parameters of `function` and calls it.
Result<Value> invoke(Runtime& runtime, const Function& function, Value self, Arguments arguments);

const Function* find_global(std::string_view name);
const Function* find_filter(std::string_view name);
const Function* find_test(std::string_view name);
/// A method of the value's type, e.g. str.upper.
const Function* find_method(const Value& value, std::string_view name);

/// A list of rows, for the tables below.
struct FunctionTable {
  const Function* begin_row;
  const Function* end_row;
  const Function* find(std::string_view name) const;
};
template <std::size_t N>
constexpr FunctionTable table_of(const Function (&rows)[N]) {
  return {rows, rows + N};
}
FunctionTable string_methods();
FunctionTable list_methods();
FunctionTable tuple_methods();
FunctionTable dict_methods();
FunctionTable number_methods();
FunctionTable text_filters();
FunctionTable sequence_filters();
FunctionTable selection_filters();
FunctionTable value_filters();
FunctionTable value_tests();
FunctionTable global_functions();

/// The globals dict() and namespace(): "other? **".
Result<Value> make_dict(Runtime& runtime, Call& call);
Result<Value> make_namespace(Runtime& runtime, Call& call);

/// Readers of arguments; `what` names the parameter for the message.
Result<std::int64_t> as_integer(const Value& value, std::string_view what);
/// The text of a string argument.
Result<std::string_view> as_text(const Value& value, std::string_view what);
/// The integer, or `fallback` when missing or none.
Result<std::int64_t> integer_or(const Value& value, std::int64_t fallback, std::string_view what);

/// "%" formatting and str.format.
Result<Value> percent_format(Runtime& runtime, std::string_view format, const Value& arguments);
Result<Value> brace_format(Runtime& runtime, std::string_view format, const Arguments& arguments);

}  // namespace nibble::jinja
