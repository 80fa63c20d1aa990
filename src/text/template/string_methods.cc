// Methods of str. Positions count code points, as in Python.
#include <algorithm>
#include <limits>

#include "text/template/builtin.h"
#include "text/template/operations.h"
#include "text/template/printing.h"
#include "text/template/python_text.h"
#include "text/template/splitting.h"

namespace nibble::jinja {
namespace {

constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

Result<Value> same_markup(const Call& call, Result<Value> result) {
  if (result.ok() && result->is_string() && call.self.string().markup) result->string().markup = true;
  return result;
}

template <std::string (*Change)(std::string_view)>
Result<Value> change_case(Runtime& runtime, Call& call) {
  NIBBLE_TRY_STATUS(runtime.work_bytes(call.self.text().size() * 8));
  NIBBLE_TRY_STATUS(runtime.reserve(call.self.text().size(), 3));
  return same_markup(call, runtime.string(Change(call.self.text())));
}

template <bool kLeft, bool kRight>
Result<Value> strip_method(Runtime& runtime, Call& call) {
  std::optional<std::string_view> chars;
  if (call.has(0) && !call[0].is_none()) {
    NIBBLE_TRY(chars, as_text(call[0], "the characters to strip"));
    NIBBLE_TRY_STATUS(runtime.work_bytes(chars->size() * 8));
  }
  NIBBLE_TRY_STATUS(runtime.work_bytes(call.self.text().size()));
  return same_markup(call, runtime.string(strip(call.self.text(), kLeft, kRight, chars)));
}

template <bool kFromRight>
Result<Value> split_method(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::int64_t limit, integer_or(call[1], -1, "maxsplit"));
  std::optional<std::string_view> separator;
  if (call.has(0) && !call[0].is_none()) {
    NIBBLE_TRY(separator, as_text(call[0], "the separator"));
  }
  return split_text(runtime, call.self.text(), separator, limit < 0 ? kNoLimit : limit, kFromRight);
}

Result<Value> splitlines(Runtime& runtime, Call& call) {
  const bool keep_ends = call.has(0) && is_true(call[0]);
  return split_lines(runtime, call.self.text(), keep_ends);
}

template <bool kFromRight>
Result<Value> partition(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::string_view separator, as_text(call[0], "the separator"));
  if (separator.empty()) return fail(ErrorCode::kInvalidArgument, "empty separator");
  const std::string_view text = call.self.text();
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.size() + separator.size()));
  const std::size_t at = kFromRight ? rfind_text(text, separator, text.size()) : find_text(text, separator, 0);
  std::string_view parts[3] = {text, "", ""};
  if (at != text.npos) {
    parts[0] = text.substr(0, at);
    parts[1] = separator;
    parts[2] = text.substr(at + separator.size());
  } else if (kFromRight) {
    std::swap(parts[0], parts[2]);
  }
  std::vector<Value> items;
  for (const std::string_view part : parts) {
    NIBBLE_TRY(Value item, runtime.string(part));
    items.push_back(std::move(item));
  }
  return runtime.tuple(std::move(items));
}

/// The bytes of text[start:end] in code points, as find, count, startswith and endswith take them.
struct Window {
  std::size_t begin, end;
  bool possible;  ///< false when start lies beyond the end of the text or of the window
};

Result<Window> window_of(Runtime& runtime, const Call& call) {
  const auto length = static_cast<std::int64_t>(call.self.string().length);
  NIBBLE_TRY(std::int64_t start, integer_or(call[1], 0, "start"));
  NIBBLE_TRY(std::int64_t end, integer_or(call[2], length, "end"));
  if (start < 0) start = std::max<std::int64_t>(start + length, 0);
  if (end < 0) end = std::max<std::int64_t>(end + length, 0);
  end = std::min(end, length);
  if (start > end) return Window{0, 0, false};
  const std::string_view text = call.self.text();
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.size()));
  return Window{byte_offset(text, static_cast<std::size_t>(start)), byte_offset(text, static_cast<std::size_t>(end)),
                true};
}

template <bool kPrefix>
Result<Value> has_affix(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const Window window, window_of(runtime, call));
  const std::string_view text = call.self.text().substr(window.begin, window.end - window.begin);
  std::vector<Value> candidates = {call[0]};
  if (call[0].is(Kind::kTuple)) candidates = call[0].list().items;
  for (const Value& candidate : candidates) {
    if (!candidate.is_string()) {
      return fail(ErrorCode::kInvalidArgument, "{} first arg must be str or a tuple of str, not {}",
                  kPrefix ? "startswith" : "endswith", type_name(candidate));
    }
    const std::string_view wanted = candidate.text();
    NIBBLE_TRY_STATUS(runtime.work_bytes(wanted.size()));
    if (!window.possible || wanted.size() > text.size()) continue;
    if (text.substr(kPrefix ? 0 : text.size() - wanted.size(), wanted.size()) == wanted) return Value::boolean(true);
  }
  return Value::boolean(false);
}

template <bool kFromRight>
Result<std::int64_t> position_of(Runtime& runtime, const Call& call) {
  NIBBLE_TRY(const std::string_view wanted, as_text(call[0], "the text to find"));
  NIBBLE_TRY(const Window window, window_of(runtime, call));
  if (!window.possible) return -1;
  const std::string_view text = call.self.text().substr(window.begin, window.end - window.begin);
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.size() + wanted.size()));
  const std::size_t found = kFromRight ? rfind_text(text, wanted, text.size()) : find_text(text, wanted, 0);
  if (found == text.npos) return -1;
  return static_cast<std::int64_t>(*count_code_points(call.self.text().substr(0, window.begin + found)));
}

template <bool kFromRight>
Result<Value> find(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::int64_t position, position_of<kFromRight>(runtime, call));
  return Value::integer(position);
}

template <bool kFromRight>
Result<Value> index(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::int64_t position, position_of<kFromRight>(runtime, call));
  if (position < 0) return fail(ErrorCode::kInvalidArgument, "substring not found");
  return Value::integer(position);
}

Result<Value> count(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::string_view wanted, as_text(call[0], "the text to count"));
  NIBBLE_TRY(const Window window, window_of(runtime, call));
  if (!window.possible) return Value::integer(0);
  const std::string_view text = call.self.text().substr(window.begin, window.end - window.begin);
  if (wanted.empty()) return Value::integer(static_cast<std::int64_t>(*count_code_points(text)) + 1);
  NIBBLE_TRY(const std::size_t found, count_text(runtime, text, wanted));
  return Value::integer(static_cast<std::int64_t>(found));
}

Result<Value> replace(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::string_view from, as_text(call[0], "the text to replace"));
  NIBBLE_TRY(const std::string_view to, as_text(call[1], "the replacement"));
  NIBBLE_TRY(const std::int64_t limit, integer_or(call[2], -1, "count"));
  return same_markup(call, replace_text(runtime, call.self.text(), from, to, limit < 0 ? kNoLimit : limit));
}

Result<Value> join(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::vector<Value> items, to_vector(runtime, call[0]));
  TextBuilder out(runtime);
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_string()) {
      return fail(ErrorCode::kInvalidArgument, "sequence item {}: expected str instance, {} found", i,
                  type_name(items[i]));
    }
    if (i > 0) out.append(call.self.text());
    out.append(items[i].text());
  }
  return out.finish();
}

template <bool kPrefix>
Result<Value> remove_affix(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::string_view affix, as_text(call[0], "the affix"));
  std::string_view text = call.self.text();
  if (affix.size() <= text.size()) {
    if (kPrefix && text.substr(0, affix.size()) == affix) {
      text.remove_prefix(affix.size());
    } else if (!kPrefix && text.substr(text.size() - affix.size()) == affix) {
      text.remove_suffix(affix.size());
    }
  }
  return runtime.string(text);
}

enum class Side { kLeft, kRight, kCenter };

/// `Side` is where the text ends up.
template <Side kSide>
Result<Value> justify(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::int64_t width, as_integer(call[0], "the width"));
  std::string_view fill = " ";
  if (call.has(1)) {
    NIBBLE_TRY(fill, as_text(call[1], "the fill character"));
    if (count_code_points(fill) != std::size_t{1}) {
      return fail(ErrorCode::kInvalidArgument, "The fill character must be exactly one character long");
    }
  }
  return justify_text(runtime, call.self, width, fill, kSide == Side::kCenter ? 0 : (kSide == Side::kLeft ? -1 : 1));
}

Result<Value> zfill(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::int64_t width, as_integer(call[0], "the width"));
  const std::string_view text = call.self.text();
  const bool sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  const auto length = static_cast<std::int64_t>(call.self.string().length);
  TextBuilder out(runtime);
  if (sign) out.append(text[0]);
  out.append(width > length ? static_cast<std::size_t>(width - length) : 0, "0");
  out.append(text.substr(sign ? 1 : 0));
  return out.finish();
}

Result<Value> expandtabs(Runtime& runtime, Call& call) {
  NIBBLE_TRY(const std::int64_t width, integer_or(call[0], 8, "the tab size"));
  TextBuilder out(runtime);
  std::int64_t column = 0;
  const std::string_view text = call.self.text();
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.size()));
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t start = i;
    const char32_t c = next_code_point(text, i);
    if (c == '\t') {
      const std::int64_t blanks = width > 0 ? width - column % width : 0;
      out.append(static_cast<std::size_t>(blanks), " ");
      column = width > 0 ? 0 : column;
    } else {
      out.append(text.substr(start, i - start));
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
  }
  return out.finish();
}

/// Whether the text is not empty and every code point passes.
template <bool (*Test)(char32_t)>
Result<Value> all_are(Runtime& runtime, Call& call) {
  const std::string_view text = call.self.text();
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.size()));
  for (std::size_t i = 0; i < text.size();) {
    if (!Test(next_code_point(text, i))) return Value::boolean(false);
  }
  return Value::boolean(!text.empty());
}

bool is_letter_or_digit(char32_t c) { return is_word(c) && c != '_'; }
bool is_ascii(char32_t c) { return c < 0x80; }

Result<Value> isascii(Runtime&, Call& call) {
  const std::string_view text = call.self.text();
  return Value::boolean(
      std::all_of(text.begin(), text.end(), [](char c) { return is_ascii(static_cast<unsigned char>(c)); }));
}

Result<Value> isprintable(Runtime& runtime, Call& call) {
  if (call.self.text().empty()) return Value::boolean(true);
  return all_are<is_printable>(runtime, call);
}

Result<Value> isidentifier(Runtime& runtime, Call& call) {
  const std::string_view text = call.self.text();
  std::size_t first = 0;
  if (text.empty() || !is_identifier_start(next_code_point(text, first))) return Value::boolean(false);
  return all_are<is_identifier_part>(runtime, call);
}

/// Some cased letter, and none of the other case.
template <bool (*Wanted)(char32_t)>
Result<Value> is_case(Runtime& runtime, Call& call) {
  const std::string_view text = call.self.text();
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.size()));
  bool any = false;
  for (std::size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    if (!is_cased(c)) continue;
    if (!Wanted(c)) return Value::boolean(false);
    any = true;
  }
  return Value::boolean(any);
}

Result<Value> istitle(Runtime& runtime, Call& call) {
  const std::string_view text = call.self.text();
  NIBBLE_TRY_STATUS(runtime.work_bytes(text.size()));
  bool any = false;
  bool in_word = false;
  for (std::size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    if (is_cased(c) && in_word == !is_lower(c)) return Value::boolean(false);
    in_word = is_cased(c);
    any = any || in_word;
  }
  return Value::boolean(any);
}

Result<Value> format(Runtime& runtime, Call& call) { return brace_format(runtime, call.self.text(), call.rest); }

Result<Value> format_map(Runtime& runtime, Call& call) {
  if (!call[0].is_dict())
    return fail(ErrorCode::kInvalidArgument, "format_map() takes a mapping, not {}", type_name(call[0]));
  Arguments arguments;
  for (const auto& entry : call[0].dict().entries) {
    if (entry.first.is_string()) arguments.keywords.push_back(entry);
  }
  return brace_format(runtime, call.self.text(), arguments);
}

Result<Value> unsupported(Runtime&, Call&) {
  return fail(ErrorCode::kUnsupported, "this method of str is not supported in chat templates");
}

constexpr Function kMethods[] = {
    {"capitalize", "", change_case<nibble::jinja::capitalize>},
    {"casefold", "", change_case<to_lower>},
    {"center", "width fillchar?", justify<Side::kCenter>},
    {"count", "sub start? end?", count},
    {"encode", "* **", unsupported},
    {"endswith", "suffix start? end?", has_affix<false>},
    {"expandtabs", "tabsize?", expandtabs},
    {"find", "sub start? end?", find<false>},
    {"format", "* **", format},
    {"format_map", "mapping", format_map},
    {"index", "sub start? end?", index<false>},
    {"isalnum", "", all_are<is_letter_or_digit>},
    {"isalpha", "", all_are<is_letter>},
    {"isascii", "", isascii},
    {"isdecimal", "", all_are<is_decimal>},
    {"isdigit", "", all_are<is_digit>},
    {"isidentifier", "", isidentifier},
    {"islower", "", is_case<is_lower>},
    {"isnumeric", "", all_are<is_numeric>},
    {"isprintable", "", isprintable},
    {"isspace", "", all_are<is_space>},
    {"istitle", "", istitle},
    {"isupper", "", is_case<is_upper>},
    {"join", "iterable", join},
    {"ljust", "width fillchar?", justify<Side::kLeft>},
    {"lower", "", change_case<to_lower>},
    {"lstrip", "chars?", strip_method<true, false>},
    {"maketrans", "* **", unsupported},
    {"partition", "sep", partition<false>},
    {"removeprefix", "prefix", remove_affix<true>},
    {"removesuffix", "suffix", remove_affix<false>},
    {"replace", "old new count?", replace},
    {"rfind", "sub start? end?", find<true>},
    {"rindex", "sub start? end?", index<true>},
    {"rjust", "width fillchar?", justify<Side::kRight>},
    {"rpartition", "sep", partition<true>},
    {"rsplit", "sep? maxsplit?", split_method<true>},
    {"rstrip", "chars?", strip_method<false, true>},
    {"split", "sep? maxsplit?", split_method<false>},
    {"splitlines", "keepends?", splitlines},
    {"startswith", "prefix start? end?", has_affix<true>},
    {"strip", "chars?", strip_method<true, true>},
    {"swapcase", "", change_case<swap_case>},
    {"title", "", change_case<title_case>},
    {"translate", "* **", unsupported},
    {"upper", "", change_case<to_upper>},
    {"zfill", "width", zfill},
};

}  // namespace

FunctionTable string_methods() { return table_of(kMethods); }

}  // namespace nibble::jinja
