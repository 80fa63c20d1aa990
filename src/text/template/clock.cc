#include "text/template/clock.h"

namespace nibble::jinja {
namespace {

constexpr std::string_view kDays[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
constexpr std::string_view kMonths[] = {"January", "February", "March",     "April",   "May",      "June",
                                        "July",    "August",   "September", "October", "November", "December"};

/// Day and month as indices that are always valid.
std::string_view day_name(const std::tm& t) { return kDays[static_cast<unsigned>(t.tm_wday) % 7]; }
std::string_view month_name(const std::tm& t) { return kMonths[static_cast<unsigned>(t.tm_mon) % 12]; }

/// ISO 8601 week number and its year.
std::pair<int, int> iso_week(const std::tm& t) {
  const int monday_based = (t.tm_wday + 6) % 7;
  const int week = (t.tm_yday - monday_based + 10) / 7;
  const int year = t.tm_year + 1900;
  const auto weeks_in = [](int y) {
    const auto december_31 = [](int n) { return (n + n / 4 - n / 100 + n / 400) % 7; };
    return december_31(y) == 4 || december_31(y - 1) == 3 ? 53 : 52;
  };
  if (week < 1) return {weeks_in(year - 1), year - 1};
  if (week > weeks_in(year)) return {1, year + 1};
  return {week, year};
}

/// The text of one directive; empty when it is unknown. `pad` is '0', '_' or '-' (none).
std::string directive(const std::tm& t, char letter, char pad) {
  const auto number = [&](int value, int width, char own_pad = '0') {
    const char fill = pad == 0 ? own_pad : (pad == '_' ? ' ' : pad);
    if (fill == '-') return fmt::format("{}", value);
    return fill == ' ' ? fmt::format("{:>{}}", value, width) : fmt::format("{:0{}}", value, width);
  };
  const int hour12 = t.tm_hour % 12 == 0 ? 12 : t.tm_hour % 12;
  switch (letter) {
    case 'a':
      return std::string(day_name(t).substr(0, 3));
    case 'A':
      return std::string(day_name(t));
    case 'b':
    case 'h':
      return std::string(month_name(t).substr(0, 3));
    case 'B':
      return std::string(month_name(t));
    case 'C':
      return number((t.tm_year + 1900) / 100, 2);
    case 'd':
      return number(t.tm_mday, 2);
    case 'e':
      return number(t.tm_mday, 2, '_' == pad || pad == 0 ? ' ' : pad);
    case 'f':
      return "000000";
    case 'g':
      return number(iso_week(t).second % 100, 2);
    case 'G':
      return number(iso_week(t).second, 4);
    case 'H':
      return number(t.tm_hour, 2);
    case 'I':
      return number(hour12, 2);
    case 'j':
      return number(t.tm_yday + 1, 3);
    case 'k':
      return number(t.tm_hour, 2, ' ');
    case 'l':
      return number(hour12, 2, ' ');
    case 'm':
      return number(t.tm_mon + 1, 2);
    case 'M':
      return number(t.tm_min, 2);
    case 'n':
      return "\n";
    case 'p':
      return t.tm_hour < 12 ? "AM" : "PM";
    case 'P':
      return t.tm_hour < 12 ? "am" : "pm";
    case 'S':
      return number(t.tm_sec, 2);
    case 't':
      return "\t";
    case 'u':
      return number((t.tm_wday + 6) % 7 + 1, 1);
    case 'U':
      return number((t.tm_yday + 7 - t.tm_wday) / 7, 2);
    case 'V':
      return number(iso_week(t).first, 2);
    case 'w':
      return number(t.tm_wday, 1);
    case 'W':
      return number((t.tm_yday + 7 - (t.tm_wday + 6) % 7) / 7, 2);
    case 'y':
      return number((t.tm_year + 1900) % 100, 2);
    case 'Y':
      return number(t.tm_year + 1900, 1);
    case '%':
      return "%";
    default:
      return "";
  }
}

/// Directives that stand for several.
std::string_view composite(char letter) {
  switch (letter) {
    case 'c':
      return "%a %b %e %H:%M:%S %Y";
    case 'D':
    case 'x':
      return "%m/%d/%y";
    case 'F':
      return "%Y-%m-%d";
    case 'r':
      return "%I:%M:%S %p";
    case 'R':
      return "%H:%M";
    case 'T':
    case 'X':
      return "%H:%M:%S";
    default:
      return "";
  }
}

void append_time(TextBuilder& out, const std::tm& time, std::string_view format) {
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out.append(format[i]);
      continue;
    }
    const std::size_t start = i++;
    char pad = 0;
    if ((format[i] == '-' || format[i] == '_' || format[i] == '0') && i + 1 < format.size()) pad = format[i++];
    if (format[i] == 'z' || format[i] == 'Z') continue;  // a time without a zone prints nothing
    if (const std::string_view parts = composite(format[i]); !parts.empty()) {
      append_time(out, time, parts);
    } else if (const std::string text = directive(time, format[i], pad); !text.empty()) {
      out.append(text);
    } else {
      out.append(format.substr(start, i + 1 - start));
    }
  }
}

}  // namespace

Result<Value> format_time(Runtime& runtime, const std::tm& time, std::string_view format) {
  NIBBLE_TRY_STATUS(runtime.work_bytes(format.size() * 64));
  TextBuilder out(runtime);
  append_time(out, time, format);
  return out.finish();
}

}  // namespace nibble::jinja
