// json.dumps, with the arguments that templates pass to the tojson filter.
#include <algorithm>

#include "text/template/number_text.h"
#include "text/template/operations.h"
#include "text/template/printing.h"
#include "text/template/python_text.h"

namespace nibble::jinja {
namespace {

constexpr int kMaxJsonDepth = 200;

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style), out_(runtime) {}

  Status write(const Value& value, int depth = 0) {
    NIBBLE_TRY_STATUS(runtime_.work(0));
    if (depth > kMaxJsonDepth) {
      return fail(ErrorCode::kInvalidArgument, "a value nested deeper than {} levels is written as JSON",
                  kMaxJsonDepth);
    }
    if (out_.overflowed()) return {};
    switch (value.kind()) {
      case Kind::kNone:
        out_.append("null");
        return {};
      case Kind::kBool:
        out_.append(value.as_bool() ? "true" : "false");
        return {};
      case Kind::kInt:
        out_.append(std::to_string(value.as_int()));
        return {};
      case Kind::kFloat:
        out_.append(float_text(value.as_real()));
        return {};
      case Kind::kString:
        return write_string(value.text());
      case Kind::kList:
      case Kind::kTuple:
        return write_array(value.list().items, depth);
      case Kind::kDict:
        return write_object(value, depth);
      default:
        return fail(ErrorCode::kInvalidArgument, "Object of type {} is not JSON serializable", type_name(value));
    }
  }

  Result<std::string> take() { return out_.take(); }

 private:
  static std::string float_text(double value) {
    const std::string text = float_repr(value);
    if (text == "inf") return "Infinity";
    if (text == "-inf") return "-Infinity";
    return text == "nan" ? "NaN" : text;
  }

  void append_escaped(char32_t c) {
    const auto unit = [&](std::uint32_t value) { out_.append(fmt::format("\\u{:04x}", value)); };
    const auto code = static_cast<std::uint32_t>(c);
    if (code < 0x10000) return unit(code);
    unit(0xD800 + ((code - 0x10000) >> 10));
    unit(0xDC00 + ((code - 0x10000) & 0x3FF));
  }

  Status write_string(std::string_view text) {
    NIBBLE_TRY_STATUS(runtime_.work_bytes(text.size()));
    out_.append('"');
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t start = i;
      const char32_t c = next_code_point(text, i);
      constexpr std::string_view kShort = "\"\\\n\r\t\b\f";
      constexpr std::string_view kLetters = "\"\\nrtbf";
      const std::size_t place = c < 0x80 ? kShort.find(static_cast<char>(c)) : kShort.npos;
      if (place != kShort.npos) {
        out_.append('\\');
        out_.append(kLetters[place]);
      } else if (c < 0x20 || (style_.escape_non_ascii && c > 0x7E)) {
        append_escaped(c);
      } else {
        out_.append(text.substr(start, i - start));
      }
    }
    out_.append('"');
    return {};
  }

  void new_line(int depth) {
    if (!style_.indented) return;
    out_.append('\n');
    out_.append(static_cast<std::size_t>(depth), style_.indent);
  }

  Status write_array(const std::vector<Value>& items, int depth) {
    if (items.empty()) {
      out_.append("[]");
      return {};
    }
    out_.append('[');
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.append(style_.item_separator);
      new_line(depth + 1);
      NIBBLE_TRY_STATUS(write(items[i], depth + 1));
    }
    new_line(depth);
    out_.append(']');
    return {};
  }

  Result<Value> key_text(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        return key;
      case Kind::kNone:
        return runtime_.string("null");
      case Kind::kBool:
        return runtime_.string(key.as_bool() ? "true" : "false");
      case Kind::kInt:
        return runtime_.string(std::to_string(key.as_int()));
      case Kind::kFloat:
        return runtime_.string(float_text(key.as_real()));
      default:
        return fail(ErrorCode::kInvalidArgument, "keys must be str, int, float, bool or None, not {}", type_name(key));
    }
  }

  Status write_object(const Value& value, int depth) {
    const auto& entries = value.dict().entries;
    if (entries.empty()) {
      out_.append("{}");
      return {};
    }
    std::vector<Value> places;
    std::vector<Value> keys;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      places.push_back(Value::integer(static_cast<std::int64_t>(i)));
      if (style_.sort_keys) keys.push_back(entries[i].first);
    }
    if (style_.sort_keys) NIBBLE_TRY_STATUS(sort_by_keys(runtime_, places, keys, false));
    out_.append('{');
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (i > 0) out_.append(style_.item_separator);
      new_line(depth + 1);
      const auto& [key, item] = entries[static_cast<std::size_t>(places[i].as_int())];
      NIBBLE_TRY(const Value name, key_text(key));
      NIBBLE_TRY_STATUS(write_string(name.text()));
      out_.append(style_.key_separator);
      NIBBLE_TRY_STATUS(write(item, depth + 1));
    }
    new_line(depth);
    out_.append('}');
    return {};
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  TextBuilder out_;
};

}  // namespace

Result<std::string> to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  NIBBLE_TRY_STATUS(writer.write(value));
  return writer.take();
}

}  // namespace nibble::jinja
