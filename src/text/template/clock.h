// Dates for strftime_now(), in the C locale whatever the process has set.
#pragma once

#include <ctime>
#include <string_view>

#include "text/template/runtime.h"

namespace nibble::jinja {

/// datetime.strftime(format) of a local time without a zone.
Result<Value> format_time(Runtime& runtime, const std::tm& time, std::string_view format);

}  // namespace nibble::jinja
