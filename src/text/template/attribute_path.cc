#include "text/template/attribute_path.h"

#include <algorithm>

#include "text/template/builtin.h"
#include "text/template/number_text.h"
#include "text/template/operations.h"
#include "text/template/python_text.h"

namespace nibble::jinja {

Result<AttributePath> AttributePath::parse(Runtime& runtime, std::string_view dotted) {
  AttributePath path;
  while (true) {
    const std::size_t end = std::min(dotted.find('.'), dotted.size());
    const std::string_view part = dotted.substr(0, end);
    const bool digits = !part.empty() && part.find_first_not_of("0123456789") == part.npos;
    const auto index = digits ? parse_int(part, 10) : std::nullopt;
    NIBBLE_TRY(Value value, index ? Result<Value>(Value::integer(*index)) : runtime.string(part));
    path.parts_.push_back(std::move(value));
    if (end == dotted.size()) return path;
    dotted.remove_prefix(end + 1);
  }
}

Result<AttributePath> AttributePath::parse(Runtime& runtime, const Value& attribute) {
  if (attribute.is_string()) return parse(runtime, attribute.text());
  AttributePath path;
  if (!attribute.is_missing() && !attribute.is_none()) path.parts_.push_back(attribute);
  return path;
}

Result<Value> AttributePath::get(Runtime& runtime, Value item, const Value& fallback) const {
  for (const Value& part : parts_) {
    NIBBLE_TRY_STATUS(runtime.work(0));
    NIBBLE_TRY(item, get_item(runtime, item, part));
    if (item.is_undefined() && !fallback.is_missing() && !fallback.is_none()) item = fallback;
  }
  return item;
}

Result<Value> comparison_key(Runtime& runtime, const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.is_string()) return value;
  NIBBLE_TRY_STATUS(runtime.work_bytes(value.text().size() * 8));
  return runtime.string(to_lower(value.text()));
}

}  // namespace nibble::jinja
