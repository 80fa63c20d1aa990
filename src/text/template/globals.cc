// Functions that every template can call.
#include "text/template/builtin.h"
#include "text/template/clock.h"
#include "text/template/operations.h"
#include "text/template/printing.h"

namespace nibble::jinja {
namespace {

Result<Value> raise_exception(Runtime& runtime, Call& call) {
  NIBBLE_TRY(std::string message, to_text(runtime, call[0]));
  return Error{ErrorCode::kInvalidArgument, std::move(message)};
}

Result<Value> strftime_now(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::string_view format, as_text(call[0], "the format of strftime_now()"));
  return format_time(runtime, runtime.clock(), format);
}

Result<Value> range(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::int64_t first, as_integer(call[0], "range() argument"));
  NIBBLE_TRY(const std::int64_t second, call.has(1) ? as_integer(call[1], "range() argument") : first);
  NIBBLE_TRY(const std::int64_t step, call.has(2) ? as_integer(call[2], "range() argument") : Result<std::int64_t>(1));
  return runtime.range(call.has(1) ? first : 0, second, step);
}

constexpr Function kGlobals[] = {
    {"dict", "other? **", make_dict},
    {"namespace", "other? **", make_namespace},
    {"raise_exception", "message", raise_exception},
    {"range", "start stop? step?", range},
    {"strftime_now", "format", strftime_now},
};

}  // namespace

FunctionTable global_functions() { return table_of(kGlobals); }

}  // namespace nibble::jinja
