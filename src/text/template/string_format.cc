// Python's two string formattings: "%d of %s" % (a, b), and "{} of {name}".format(a, name=b).
#include <algorithm>
#include <cmath>
#include <limits>

#include "text/template/builtin.h"
#include "text/template/number_text.h"
#include "text/template/operations.h"
#include "text/template/printing.h"
#include "text/template/python_text.h"

namespace nibble::jinja {
namespace {

/// How a converted value is laid out, in both formattings.
struct FormatSpec {
  std::string fill = " ";
  char align = 0;      ///< '<', '>', '^' or '='; 0 for the type's own
  bool zeros = false;  ///< the '0' flag of str.format, which gave fill and align
  char sign = '-';
  bool alternate = false;
  char grouping = 0;  ///< ',' or '_'
  std::int64_t width = 0;
  std::int64_t precision = -1;
  char type = 0;
};

Error bad_format(std::string_view what) { return fail(ErrorCode::kInvalidArgument, "string formatting: {}", what); }

/// Reads decimal digits; more than nine are refused by the caller's limit on the value.
Result<std::int64_t> read_count(std::string_view text, std::size_t& position) {
  std::int64_t value = 0;
  for (; position < text.size() && text[position] >= '0' && text[position] <= '9'; ++position) {
    value = value * 10 + (text[position] - '0');
    if (value > 1'000'000'000) return bad_format("a width or precision is too large");
  }
  return value;
}

/// Pads `body` (with `prefix`: sign and base, before any zeros) to the width.
Status pad(Runtime& runtime, TextBuilder& out, const FormatSpec& spec, std::string_view prefix, std::string_view body,
           char own_align) {
  const auto length = static_cast<std::int64_t>(*count_code_points(body)) + static_cast<std::int64_t>(prefix.size());
  const auto missing = static_cast<std::size_t>(std::max<std::int64_t>(spec.width - length, 0));
  NIBBLE_TRY_STATUS(runtime.work_bytes(missing + body.size()));
  const char align = spec.align != 0 ? spec.align : own_align;
  const std::size_t left = align == '<' ? 0 : (align == '^' ? missing / 2 : missing);
  if (align == '=') {
    out.append(prefix);
    out.append(missing, spec.fill);
  } else {
    out.append(left, spec.fill);
    out.append(prefix);
  }
  out.append(body);
  if (align != '=') out.append(missing - left, spec.fill);
  return {};
}

/// Puts separators between groups of digits in the whole part.
std::string grouped(const std::string& digits, char separator, std::size_t group) {
  const std::size_t whole = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
  std::string out;
  for (std::size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % group == 0) out += separator;
    out += digits[i];
  }
  return out + digits.substr(whole);
}

std::string sign_of(bool negative, char mode) {
  if (negative) return "-";
  return mode == '+' ? "+" : (mode == ' ' ? " " : "");
}

Status format_real(Runtime& runtime, TextBuilder& out, double value, const FormatSpec& spec) {
  if (spec.precision > kMaxPrecision) return bad_format(fmt::format("precisions go up to {}", kMaxPrecision));
  const bool negative = std::signbit(value) && !std::isnan(value);
  const double magnitude = std::fabs(value);
  std::string body;
  if (spec.type == 0) {
    body = spec.precision < 0 ? float_repr(magnitude)
                              : format_float(magnitude, 'g', static_cast<int>(spec.precision), spec.alternate);
    if (spec.precision >= 0 && body.find_first_not_of("0123456789") == body.npos) body += ".0";
  } else if (spec.type == '%') {
    body =
        format_float(magnitude * 100, 'f', spec.precision < 0 ? 6 : static_cast<int>(spec.precision), spec.alternate) +
        "%";
  } else {
    body =
        format_float(magnitude, spec.type, spec.precision < 0 ? 6 : static_cast<int>(spec.precision), spec.alternate);
  }
  if (spec.grouping != 0) body = grouped(body, spec.grouping, 3);
  return pad(runtime, out, spec, sign_of(negative, spec.sign), body, '>');
}

Status format_integer(Runtime& runtime, TextBuilder& out, std::int64_t value, const FormatSpec& spec) {
  const bool negative = value < 0;
  const auto magnitude = negative ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  const bool upper = spec.type == 'X';
  const int base = spec.type == 'b' ? 2 : (spec.type == 'o' ? 8 : (spec.type == 'x' || upper ? 16 : 10));
  std::string body = format_unsigned(magnitude, base, upper);
  if (spec.grouping != 0) body = grouped(body, spec.grouping, base == 10 ? 3 : 4);
  std::string prefix = sign_of(negative, spec.sign);
  if (spec.alternate && base != 10) prefix += std::string("0") + spec.type;
  return pad(runtime, out, spec, prefix, body, '>');
}

Status format_text(Runtime& runtime, TextBuilder& out, std::string_view text, const FormatSpec& spec, char own_align) {
  if (spec.precision >= 0) {
    std::size_t end = 0;
    for (std::int64_t i = 0; i < spec.precision && end < text.size(); ++i) end += code_point_bytes(text[end]);
    text = text.substr(0, end);
  }
  return pad(runtime, out, spec, "", text, own_align);
}

// ---------------------------------------------------------------- % formatting

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, std::string_view format, const Value& arguments)
      : runtime_(runtime), format_(format), arguments_(arguments), out_(runtime) {}

  Result<Value> run() {
    NIBBLE_TRY_STATUS(runtime_.work_bytes(format_.size()));
    while (position_ < format_.size()) {
      const std::size_t percent = std::min(format_.find('%', position_), format_.size());
      out_.append(format_.substr(position_, percent - position_));
      position_ = percent + 1;
      if (percent < format_.size()) NIBBLE_TRY_STATUS(convert());
    }
    const bool tuple = arguments_.is(Kind::kTuple);
    if (tuple && next_ < arguments_.list().items.size()) return unused();
    if (!tuple && !arguments_.is_dict() && !arguments_.is(Kind::kList) && next_ == 0) return unused();
    return out_.finish();
  }

 private:
  static Error unused() { return bad_format("not all arguments converted"); }

  Result<Value> next_argument() {
    if (arguments_.is(Kind::kTuple)) {
      if (next_ < arguments_.list().items.size()) return arguments_.list().items[next_++];
    } else if (next_++ == 0) {
      return arguments_;
    }
    return bad_format("not enough arguments for format string");
  }

  Result<Value> named_argument() {
    int depth = 1;
    const std::size_t start = ++position_;
    for (; position_ < format_.size() && depth > 0; ++position_) {
      depth += format_[position_] == '(' ? 1 : (format_[position_] == ')' ? -1 : 0);
    }
    if (depth > 0) return bad_format("incomplete format key");
    if (!arguments_.is_dict()) return bad_format("format requires a mapping");
    const std::string_view name = format_.substr(start, position_ - 1 - start);
    const std::size_t found = arguments_.dict().find(name);
    if (found == DictObject::npos) return bad_format(fmt::format("no value for '{}'", name.substr(0, 80)));
    return arguments_.dict().entries[found].second;
  }

  Result<std::int64_t> count() {
    if (position_ >= format_.size() || format_[position_] != '*') return read_count(format_, position_);
    ++position_;
    NIBBLE_TRY(const Value value, next_argument());
    if (!value.is_integral()) return bad_format("* wants int");
    if (value.as_int() > 1'000'000'000) return bad_format("a width or precision is too large");
    return std::max<std::int64_t>(value.as_int(), -1'000'000'000);
  }

  Status convert() {
    Value value;
    FormatSpec spec;
    if (position_ < format_.size() && format_[position_] == '(') {
      NIBBLE_TRY(value, named_argument());
    }
    bool left = false;
    bool zeros = false;
    for (; position_ < format_.size() && std::string_view("-+ #0").find(format_[position_]) != std::string_view::npos;
         ++position_) {
      const char flag = format_[position_];
      if (flag == '-') left = true;
      if (flag == '0') zeros = true;
      if (flag == '#') spec.alternate = true;
      if (flag == '+' || (flag == ' ' && spec.sign != '+')) spec.sign = flag;
    }
    NIBBLE_TRY(spec.width, count());
    if (spec.width < 0) {
      left = true;
      spec.width = -spec.width;
    }
    if (position_ < format_.size() && format_[position_] == '.') {
      ++position_;
      NIBBLE_TRY(spec.precision, count());
      spec.precision = std::max<std::int64_t>(spec.precision, 0);
    }
    while (position_ < format_.size() && std::string_view("hlL").find(format_[position_]) != std::string_view::npos)
      ++position_;
    if (position_ >= format_.size()) return bad_format("incomplete format");
    const char type = format_[position_++];
    spec.align = left ? '<' : '>';
    if (type == '%') {
      out_.append('%');
      return {};
    }
    if (value.is_missing()) {
      NIBBLE_TRY(value, next_argument());
    }
    return write(value, type, zeros && !left, spec);
  }

  Status write(const Value& value, char type, bool zeros, FormatSpec spec) {
    if (type == 's' || type == 'r' || type == 'a') {
      NIBBLE_TRY(const std::string text, type == 's' ? to_text(runtime_, value) : to_repr(runtime_, value));
      return format_text(runtime_, out_, text, spec, '<');
    }
    if (zeros) {
      spec.fill = "0";
      spec.align = '=';
    }
    if (type == 'c') return write_character(value, spec);
    const bool integer = std::string_view("diuxXo").find(type) != std::string_view::npos;
    const bool real = std::string_view("eEfFgG").find(type) != std::string_view::npos;
    if (!integer && !real)
      return bad_format(fmt::format("unsupported format character 0x{:02x}", static_cast<unsigned char>(type)));
    if (value.is_undefined()) return use_of_undefined(value);
    if (!value.is_number())
      return bad_format(fmt::format("%{} format: a number is required, not {}", type, type_name(value)));
    spec.type = type;
    if (real) return format_real(runtime_, out_, value.as_real(), spec);
    if (spec.precision >= 0) return bad_format("a precision for integers is not supported");
    if (value.is_integral()) return format_integer(runtime_, out_, value.as_int(), spec);
    if (type == 'x' || type == 'X' || type == 'o')
      return bad_format(fmt::format("%{} format: an integer is required", type));
    const double whole = std::trunc(value.as_real());
    if (!(std::fabs(whole) < 9.2e18)) return bad_format("a float does not fit 64 bits");
    return format_integer(runtime_, out_, static_cast<std::int64_t>(whole), spec);
  }

  Status write_character(const Value& value, const FormatSpec& spec) {
    std::string text;
    if (value.is_string() && value.string().length == 1) {
      text = value.text();
    } else if (value.is_integral() && value.as_int() >= 0 && value.as_int() < 0x110000 &&
               (value.as_int() < 0xD800 || value.as_int() > 0xDFFF)) {
      append_code_point(text, static_cast<char32_t>(value.as_int()));
    } else {
      return bad_format("%c requires int or char");
    }
    return format_text(runtime_, out_, text, spec, '>');
  }

  Runtime& runtime_;
  std::string_view format_;
  const Value& arguments_;
  TextBuilder out_;
  std::size_t position_ = 0;
  std::size_t next_ = 0;
};

// ---------------------------------------------------------------- str.format

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Arguments& arguments) : runtime_(runtime), arguments_(arguments) {}

  Result<std::string> run(std::string_view format, int depth) {
    if (depth > 2) return bad_format("Max string recursion exceeded");
    NIBBLE_TRY_STATUS(runtime_.work_bytes(format.size()));
    TextBuilder out(runtime_);
    for (std::size_t i = 0; i < format.size();) {
      const char c = format[i];
      if (c != '{' && c != '}') {
        const std::size_t end = std::min(format.find_first_of("{}", i), format.size());
        out.append(format.substr(i, end - i));
        i = end;
      } else if (i + 1 < format.size() && format[i + 1] == c) {
        out.append(c);
        i += 2;
      } else if (c == '}') {
        return bad_format("Single '}' encountered in format string");
      } else {
        NIBBLE_TRY(const std::size_t end, field_end(format, i));
        NIBBLE_TRY_STATUS(write_field(out, format.substr(i + 1, end - i - 1), depth));
        i = end + 1;
      }
    }
    return out.take();
  }

 private:
  static Result<std::size_t> field_end(std::string_view format, std::size_t open) {
    int depth = 0;
    for (std::size_t i = open; i < format.size(); ++i) {
      depth += format[i] == '{' ? 1 : (format[i] == '}' ? -1 : 0);
      if (depth == 0) return i;
    }
    return bad_format("Single '{' encountered in format string");
  }

  /// name[.attribute | [key]]... [!conversion] [:spec]
  Status write_field(TextBuilder& out, std::string_view field, int depth) {
    std::size_t name_end = 0;
    for (bool bracket = false; name_end < field.size(); ++name_end) {
      const char c = field[name_end];
      if (c == '[') bracket = true;
      if (c == ']') bracket = false;
      if (!bracket && (c == '!' || c == ':')) break;
    }
    NIBBLE_TRY(Value value, lookup(field.substr(0, name_end)));
    std::string_view rest = field.substr(name_end);
    if (!rest.empty() && rest[0] == '!') {
      if (rest.size() < 2 || (rest.size() > 2 && rest[2] != ':'))
        return bad_format("expected ':' after conversion specifier");
      NIBBLE_TRY(value, converted(value, rest[1]));
      rest.remove_prefix(2);
    }
    if (!rest.empty()) rest.remove_prefix(1);
    NIBBLE_TRY(const std::string spec_text, run(rest, depth + 1));
    return write_value(out, value, spec_text);
  }

  Result<Value> converted(const Value& value, char conversion) {
    if (conversion == 's') return to_string(runtime_, value);
    if (conversion != 'r' && conversion != 'a') return bad_format("unknown conversion specifier");
    NIBBLE_TRY(std::string text, to_repr(runtime_, value));
    return runtime_.string(std::move(text));
  }

  Result<Value> lookup(std::string_view field) {
    std::size_t end = std::min(field.find_first_of(".["), field.size());
    NIBBLE_TRY(Value value, first_value(field.substr(0, end)));
    while (end < field.size()) {
      const std::size_t start = end + 1;
      if (field[end] == '.') {
        end = std::min(field.find_first_of(".[", start), field.size());
        if (end == start) return bad_format("Empty attribute in format string");
        NIBBLE_TRY(value, get_attribute(runtime_, value, field.substr(start, end - start)));
      } else {
        const std::size_t close = field.find(']', start);
        if (close == field.npos) return bad_format("Missing ']' in format string");
        if (close + 1 < field.size() && field[close + 1] != '.' && field[close + 1] != '[') {
          return bad_format("Only '.' or '[' may follow ']' in format field specifier");
        }
        const std::string_view key = field.substr(start, close - start);
        const auto index = key.find_first_not_of("0123456789") == key.npos ? parse_int(key, 10) : std::nullopt;
        NIBBLE_TRY(const Value subscript, index ? Result<Value>(Value::integer(*index)) : runtime_.string(key));
        NIBBLE_TRY(value, get_item(runtime_, value, subscript));
        end = close + 1;
      }
    }
    return value;
  }

  Result<Value> first_value(std::string_view name) {
    std::int64_t index = -1;
    if (name.empty()) {
      if (numbering_ == Numbering::kManual)
        return bad_format("cannot switch from manual field specification to automatic field numbering");
      numbering_ = Numbering::kAutomatic;
      index = next_++;
    } else if (name.find_first_not_of("0123456789") == name.npos) {
      if (numbering_ == Numbering::kAutomatic)
        return bad_format("cannot switch from automatic field numbering to manual field specification");
      numbering_ = Numbering::kManual;
      index = parse_int(name, 10).value_or(std::numeric_limits<std::int64_t>::max());
    }
    if (index >= 0) {
      if (static_cast<std::uint64_t>(index) < arguments_.positional.size())
        return arguments_.positional[static_cast<std::size_t>(index)];
      return bad_format("Replacement index out of range for positional args tuple");
    }
    for (const auto& [key, value] : arguments_.keywords) {
      if (key.text() == name) return value;
    }
    return bad_format(fmt::format("no argument is called '{}'", name.substr(0, 80)));
  }

  static Result<FormatSpec> parse_spec(std::string_view text) {
    FormatSpec spec;
    std::size_t i = 0;
    const auto at = [&](std::size_t place) { return place < text.size() ? text[place] : '\0'; };
    const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
    const std::size_t fill_bytes = text.empty() ? 0 : code_point_bytes(text[0]);
    if (!text.empty() && is_align(at(fill_bytes))) {
      spec.fill = text.substr(0, fill_bytes);
      spec.align = text[fill_bytes];
      i = fill_bytes + 1;
    } else if (is_align(at(0))) {
      spec.align = text[i++];
    }
    if (at(i) == '+' || at(i) == '-' || at(i) == ' ') spec.sign = text[i++];
    if (at(i) == '#') {
      spec.alternate = true;
      ++i;
    }
    if (at(i) == '0') {
      if (spec.align == 0) {
        spec.fill = "0";
        spec.align = '=';
        spec.zeros = true;
      }
      ++i;
    }
    NIBBLE_TRY(spec.width, read_count(text, i));
    if (at(i) == ',' || at(i) == '_') spec.grouping = text[i++];
    if (at(i) == '.') {
      const std::size_t digits = ++i;
      NIBBLE_TRY(spec.precision, read_count(text, i));
      if (i == digits) return bad_format("Format specifier missing precision");
    }
    if (i < text.size()) spec.type = text[i++];
    if (i < text.size()) return bad_format("Invalid format specifier");
    return spec;
  }

  Status write_value(TextBuilder& out, const Value& value, std::string_view spec_text) {
    NIBBLE_TRY(FormatSpec spec, parse_spec(spec_text));
    const auto bad_type = [&] {
      return bad_format(fmt::format("Unknown format code '{}' for object of type '{}'", spec.type, type_name(value)));
    };
    const bool plain_bool = value.is(Kind::kBool) && spec_text.empty();
    if (value.is_number() && !plain_bool) {
      if (std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos || value.is(Kind::kFloat)) {
        if (spec.type != 0 && std::string_view("eEfFgG%").find(spec.type) == std::string_view::npos) return bad_type();
        return format_real(runtime_, out, value.as_real(), spec);
      }
      if (spec.precision >= 0) return bad_format("Precision not allowed in integer format specifier");
      if (spec.type != 0 && std::string_view("bdoxX").find(spec.type) == std::string_view::npos) return bad_type();
      return format_integer(runtime_, out, value.as_int(), spec);
    }
    if (!value.is_string() && !spec_text.empty()) {
      return bad_format(fmt::format("unsupported format string passed to {}.__format__", type_name(value)));
    }
    if (spec.type != 0 && spec.type != 's') return bad_type();
    if (spec.zeros) spec.align = '<';
    if (spec.align == '=') return bad_format("'=' alignment not allowed in string format specifier");
    NIBBLE_TRY(const std::string text, to_text(runtime_, value));
    return format_text(runtime_, out, text, spec, '<');
  }

  enum class Numbering { kUnknown, kAutomatic, kManual };
  Runtime& runtime_;
  const Arguments& arguments_;
  Numbering numbering_ = Numbering::kUnknown;
  std::int64_t next_ = 0;
};

}  // namespace

Result<Value> percent_format(Runtime& runtime, std::string_view format, const Value& arguments) {
  return PercentFormatter(runtime, format, arguments).run();
}

Result<Value> brace_format(Runtime& runtime, std::string_view format, const Arguments& arguments) {
  NIBBLE_TRY(std::string text, BraceFormatter(runtime, arguments).run(format, 0));
  return runtime.string(std::move(text));
}

}  // namespace nibble::jinja
