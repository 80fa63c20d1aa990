// Cutting and replacing text, shared by the methods of str and the filters.
#pragma once

#include <optional>
#include <string_view>

#include "text/template/runtime.h"

namespace nibble::jinja {

/// str.split and str.rsplit as a list; no separator means runs of white space.
Result<Value> split_text(Runtime& runtime, std::string_view text, std::optional<std::string_view> separator,
                         std::int64_t limit, bool from_right);
/// str.splitlines.
Result<Value> split_lines(Runtime& runtime, std::string_view text, bool keep_ends);
/// str.replace; an empty `from` matches between all code points.
Result<Value> replace_text(Runtime& runtime, std::string_view text, std::string_view from, std::string_view to,
                           std::int64_t limit);
/// How often a non-empty text occurs, without overlap.
Result<std::size_t> count_text(Runtime& runtime, std::string_view text, std::string_view wanted);
/// Pads to `width` code points; `side` is where the text goes: -1 left, 0 center, 1 right.
Result<Value> justify_text(Runtime& runtime, const Value& text, std::int64_t width, std::string_view fill, int side);

}  // namespace nibble::jinja
