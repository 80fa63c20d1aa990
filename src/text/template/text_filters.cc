// Filters that make text of their value.
#include <algorithm>

#include "text/template/builtin.h"
#include "text/template/operations.h"
#include "text/template/printing.h"
#include "text/template/python_text.h"
#include "text/template/splitting.h"

namespace nibble::jinja {
namespace {

template <std::string (*Change)(std::string_view)>
Result<Value> change_case(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const Value text, to_string(runtime, call.self));
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.text().size() * 8));
  NIBBLE_TRY_STATUS(runtime.reserve(text.text().size(), 3));
  return runtime.string(Change(text.text()));
}

/// The filter's own rule, unlike str.title: words begin after blanks, '-' and opening brackets only.
std::string title_words(std::string_view text) {
  std::string out;
  std::size_t start = 0;
  const auto is_break = [](char32_t c) {
    return is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  while (start < text.size()) {
    std::size_t i = start;
    const bool breaks = is_break(next_code_point(text, i));
    const std::size_t first_end = i;
    while (i < text.size()) {
      std::size_t after = i;
      if (is_break(next_code_point(text, after)) != breaks) break;
      i = after;
    }
    out += to_upper(text.substr(start, first_end - start));
    out += to_lower(text.substr(first_end, i - first_end));
    start = i;
  }
  return out;
}

Result<Value> center(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const Value text, to_string(runtime, call.self));
  NIBBLE_TRY(const std::int64_t width, integer_or(call[0], 80, "the width"));
  return justify_text(runtime, text, width, " ", 0);
}

Result<Value> escape(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const Value text, to_string(runtime, call.self));
  if (text.string().markup) return text;
  NIBBLE_TRY_STATUS(runtime.reserve(text.text().size(), 5));
  return runtime.markup(escape_html(text.text()));
}

Result<Value> safe(Runtime& runtime, Call& call) {
  NIBBLE_TRY(std::string text, to_text(runtime, call.self));
  return runtime.markup(std::move(text));
}

Result<Value> string(Runtime& runtime, Call& call) { return to_string(runtime, call.self); }

Result<Value> trim(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const Value text, to_string(runtime, call.self));
  std::optional<std::string_view> chars;
  if (call.has(0) && !call[0].is_none()) {
    NIBBLE_TRY(chars, as_text(call[0], "the characters to trim"));
    NIBBLE_TRY_STATUS(runtime.work_bytes(chars->size() * 8));
  }
  NIBBLE_TRY(Value result, runtime.string(strip(text.text(), true, true, chars)));
  result.string().markup = text.string().markup;
  return result;
}

Result<Value> replace(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const Value text, to_string(runtime, call.self));
  NIBBLE_TRY(const Value from, to_string(runtime, call[0]));
  NIBBLE_TRY(const Value to, to_string(runtime, call[1]));
  NIBBLE_TRY(const std::int64_t count, integer_or(call[2], -1, "count"));
  return replace_text(runtime, text.text(), from.text(), to.text(), count < 0 ? INT64_MAX : count);
}

Result<Value> indent(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::string_view text, as_text(call.self, "what indent is applied to"));
  TextBuilder indention(runtime);
  if (call.has(0) && call[0].is_string()) {
    indention.append(call[0].text());
  } else {
    NIBBLE_TRY(const std::int64_t width, integer_or(call[0], 4, "the width"));
    indention.append(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), " ");
  }
  NIBBLE_TRY(const std::string margin, indention.take());
  const bool first = call.has(1) && is_true(call[1]);
  const bool blank = call.has(2) && is_true(call[2]);
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.size() * 2));
  TextBuilder out(runtime);
  if (first) out.append(margin);
  // A line end after the text does not begin a line; an empty text is one empty line.
  for (std::size_t start = 0; start < text.size() && !out.overflowed();) {
    std::size_t next = 0;
    const std::size_t end = line_end(text, start, next);
    if (start > 0) out.append('\n');
    if (start > 0 && (blank || end > start)) out.append(margin);
    out.append(text.substr(start, end - start));
    // A text that ends in a line end has one more, empty line.
    if (next == text.size() && end < text.size()) {
      out.append('\n');
      if (blank) out.append(margin);
    }
    start = next;
  }
  return out.finish();
}

Result<Value> truncate(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::string_view text, as_text(call.self, "what truncate is applied to"));
  NIBBLE_TRY(const std::int64_t length, integer_or(call[0], 255, "the length"));
  std::string_view end = "...";
  if (call.has(2)) {
    NIBBLE_TRY(end, as_text(call[2], "the end"));
  }
  NIBBLE_TRY(const std::int64_t leeway, integer_or(call[3], 5, "the leeway"));
  const auto end_length = static_cast<std::int64_t>(*count_code_points(end));
  if (length < end_length)
    return fail(ErrorCode::kInvalidArgument, "truncate: expected length >= {}, got {}", end_length, length);
  if (leeway < 0) return fail(ErrorCode::kInvalidArgument, "truncate: expected leeway >= 0, got {}", leeway);
  const auto size = static_cast<std::int64_t>(call.self.string().length);
  if (size <= length || size - length <= leeway) return call.self;
  std::string_view kept = text.substr(0, byte_offset(text, static_cast<std::size_t>(length - end_length)));
  if (!call.has(1) || !is_true(call[1])) kept = kept.substr(0, kept.rfind(' '));
  TextBuilder out(runtime);
  out.append(kept);
  out.append(end);
  return out.finish();
}

Result<Value> wordcount(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const Value text, to_string(runtime, call.self));
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.text().size() * 4));
  std::int64_t count = 0;
  bool in_word = false;
  for (std::size_t i = 0; i < text.text().size();) {
    const bool word = is_word(next_code_point(text.text(), i));
    if (word && !in_word) ++count;
    in_word = word;
  }
  return Value::integer(count);
}

Result<Value> format(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const Value text, to_string(runtime, call.self));
  if (call.rest.keywords.empty()) {
    NIBBLE_TRY(const Value arguments, runtime.tuple(std::move(call.rest.positional)));
    return percent_format(runtime, text.text(), arguments);
  }
  if (!call.rest.positional.empty()) {
    return fail(ErrorCode::kInvalidArgument, "can't handle positional and keyword arguments at the same time");
  }
  NIBBLE_TRY(const Value arguments, runtime.dict());
  for (const auto& [key, value] : call.rest.keywords) NIBBLE_TRY_STATUS(runtime.set(arguments, key, value));
  return percent_format(runtime, text.text(), arguments);
}

constexpr Function kFilters[] = {
    {"capitalize", "", change_case<nibble::jinja::capitalize>},
    {"center", "width?", center},
    {"e", "", escape},
    {"escape", "", escape},
    {"format", "* **", format},
    {"indent", "width? first? blank?", indent},
    {"lower", "", change_case<to_lower>},
    {"replace", "old new count?", replace},
    {"safe", "", safe},
    {"string", "", string},
    {"title", "", change_case<title_words>},
    {"trim", "chars?", trim},
    {"truncate", "length? killwords? end? leeway?", truncate},
    {"upper", "", change_case<to_upper>},
    {"wordcount", "", wordcount},
};

}  // namespace

FunctionTable text_filters() { return table_of(kFilters); }

}  // namespace nibble::jinja
