#include "text/template/printing.h"

#include "text/template/builtin.h"
#include "text/template/number_text.h"
#include "text/template/operations.h"
#include "text/template/python_text.h"

namespace nibble::jinja {
namespace {

/// Deeper values, and values that contain themselves, are refused.
constexpr int kMaxPrintDepth = 200;

class ReprWriter {
 public:
  explicit ReprWriter(Runtime& runtime) : runtime_(runtime), out_(runtime) {}

  Status write(const Value& value, int depth = 0) {
    NIBBLE_TRY_STATUS(runtime_.work(0));
    if (depth > kMaxPrintDepth) {
      return fail(ErrorCode::kInvalidArgument, "a value nested deeper than {} levels is printed", kMaxPrintDepth);
    }
    if (out_.overflowed()) return {};
    switch (value.kind()) {
      case Kind::kList:
      case Kind::kTuple:
        return write_items(value, depth);
      case Kind::kDict:
      case Kind::kNamespace:
        return write_entries(value, depth);
      case Kind::kView:
        return write_view(value, depth);
      default:
        return write_plain(value);
    }
  }

  Result<std::string> take() { return out_.take(); }

 private:
  Status write_plain(const Value& value) {
    switch (value.kind()) {
      case Kind::kNone:
        out_.append("None");
        return {};
      case Kind::kBool:
        out_.append(value.as_bool() ? "True" : "False");
        return {};
      case Kind::kInt:
        out_.append(std::to_string(value.as_int()));
        return {};
      case Kind::kFloat:
        out_.append(float_repr(value.as_real()));
        return {};
      case Kind::kString:
        return write_string(value);
      case Kind::kRange: {
        const RangeObject& range = value.range();
        out_.append(range.step == 1 ? fmt::format("range({}, {})", range.start, range.stop)
                                    : fmt::format("range({}, {}, {})", range.start, range.stop, range.step));
        return {};
      }
      case Kind::kMacro:
      case Kind::kLoop:
        out_.append(value.special().repr());
        return {};
      case Kind::kFunction:
        out_.append(fmt::format("<function {}>", value.function().function->name));
        return {};
      case Kind::kIterator:
        out_.append(fmt::format("<{} object>", value.iterator().name));
        return {};
      default:
        out_.append("Undefined");
        return {};
    }
  }

  Status write_string(const Value& value) {
    // An escape has at most ten characters for a byte of text.
    NIBBLE_TRY_STATUS(runtime_.work_bytes(value.text().size()));
    NIBBLE_TRY_STATUS(runtime_.reserve(out_.text().size() + value.text().size() * 10));
    if (value.string().markup) out_.append("Markup(");
    append_repr(out_.text(), value.text());
    if (value.string().markup) out_.append(")");
    return {};
  }

  Status write_items(const Value& value, int depth) {
    const bool tuple = value.is(Kind::kTuple);
    out_.append(tuple ? '(' : '[');
    const auto& items = value.list().items;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.append(", ");
      NIBBLE_TRY_STATUS(write(items[i], depth + 1));
    }
    if (tuple && items.size() == 1) out_.append(",");
    out_.append(tuple ? ')' : ']');
    return {};
  }

  Status write_entries(const Value& value, int depth) {
    if (value.is(Kind::kNamespace)) out_.append("<Namespace ");
    out_.append('{');
    bool first = true;
    for (const auto& [key, item] : value.dict().entries) {
      if (!first) out_.append(", ");
      first = false;
      NIBBLE_TRY_STATUS(write(key, depth + 1));
      out_.append(": ");
      NIBBLE_TRY_STATUS(write(item, depth + 1));
    }
    out_.append('}');
    if (value.is(Kind::kNamespace)) out_.append('>');
    return {};
  }

  Status write_view(const Value& value, int depth) {
    out_.append(type_name(value));
    out_.append('(');
    NIBBLE_TRY(std::vector<Value> items, to_vector(runtime_, value));
    NIBBLE_TRY(const Value list, runtime_.list(std::move(items)));
    NIBBLE_TRY_STATUS(write(list, depth + 1));
    out_.append(')');
    return {};
  }

  Runtime& runtime_;
  TextBuilder out_;
};

}  // namespace

Result<std::string> to_repr(Runtime& runtime, const Value& value) {
  ReprWriter writer(runtime);
  NIBBLE_TRY_STATUS(writer.write(value));
  return writer.take();
}

Result<std::string> to_text(Runtime& runtime, const Value& value) {
  if (value.is_string()) {
    NIBBLE_TRY_STATUS(runtime.work_bytes(value.text().size()));
    NIBBLE_TRY_STATUS(runtime.reserve(value.text().size()));
    return std::string(value.text());
  }
  if (value.is_undefined()) return std::string();
  return to_repr(runtime, value);
}

Result<Value> to_string(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value;
  NIBBLE_TRY(std::string text, to_text(runtime, value));
  return runtime.string(std::move(text));
}

}  // namespace nibble::jinja
