#include "text/template/runtime.h"

#include <limits>

#include "text/template/python_text.h"

namespace nibble::jinja {
namespace {

/// What an object costs besides its contents: allocation headers and the object itself.
constexpr std::size_t kObjectBytes = 96;
constexpr std::size_t kItemBytes = 2 * sizeof(Value);            // vectors grow by doubling
constexpr std::size_t kEntryBytes = 2 * 2 * sizeof(Value) + 80;  // the entry, and its node in the index
constexpr std::int64_t kMaxRange = 100000;                       // as in Jinja's sandbox

}  // namespace

Status Runtime::work(std::size_t steps) {
  steps_ += static_cast<std::int64_t>(steps) + 1;
  if (steps_ <= limits_.max_steps) return {};
  return fail(ErrorCode::kInvalidArgument, "the template needs more than {} steps; it may loop without end",
              limits_.max_steps);
}

Status Runtime::enter() {
  ++depth_;
  if (depth_ <= limits_.max_depth) return work(0);
  return fail(ErrorCode::kInvalidArgument,
              "the template nests deeper than {} evaluations; a macro may call itself without end", limits_.max_depth);
}

Status Runtime::check_memory() const { return reserve(0); }

Status Runtime::reserve(std::size_t bytes) const {
  const std::size_t live = heap_.live_bytes();
  if (live <= limits_.max_memory_bytes && bytes <= limits_.max_memory_bytes - live) return {};
  return fail(ErrorCode::kOutOfMemory, "the template's values need more than {} bytes", limits_.max_memory_bytes);
}

Status Runtime::reserve(std::size_t count, std::size_t each) const {
  if (each != 0 && count > std::numeric_limits<std::size_t>::max() / each) {
    return reserve(std::numeric_limits<std::size_t>::max());
  }
  return reserve(count * each);
}

Value Runtime::adopt(Object* object, std::size_t bytes) {
  heap_.adopt(object, kObjectBytes + bytes);
  return Value(object);
}

Result<Value> Runtime::string(std::string text) {
  const auto length = count_code_points(text);
  if (!length) return fail(ErrorCode::kInvalidArgument, "a string is not UTF-8");
  const std::size_t bytes = text.size();
  NIBBLE_TRY_STATUS(work_bytes(bytes));
  NIBBLE_TRY_STATUS(reserve(bytes));
  return adopt(new StringObject(std::move(text), *length), bytes);
}

Result<Value> Runtime::markup(std::string text) {
  NIBBLE_TRY(Value value, string(std::move(text)));
  value.string().markup = true;
  return value;
}

Result<Value> Runtime::sequence(Kind kind, std::vector<Value> items) {
  const std::size_t bytes = items.size() * kItemBytes;
  NIBBLE_TRY_STATUS(work_bytes(bytes));
  NIBBLE_TRY_STATUS(reserve(bytes));
  return adopt(new ListObject(kind, std::move(items)), bytes);
}

Result<Value> Runtime::iterator(std::vector<Value> items, std::string_view name) {
  const std::size_t bytes = items.size() * kItemBytes;
  NIBBLE_TRY_STATUS(work_bytes(bytes));
  NIBBLE_TRY_STATUS(reserve(bytes));
  return adopt(new IteratorObject(std::move(items), name), bytes);
}

Result<Value> Runtime::empty_dict(Kind dict_or_namespace) {
  NIBBLE_TRY_STATUS(check_memory());
  return adopt(new DictObject(dict_or_namespace), 0);
}

Result<Value> Runtime::range(std::int64_t start, std::int64_t stop, std::int64_t step) {
  if (step == 0) return fail(ErrorCode::kInvalidArgument, "range() arg 3 must not be zero");
  const auto distance =
      static_cast<std::uint64_t>(step > 0 ? stop : start) - static_cast<std::uint64_t>(step > 0 ? start : stop);
  const auto stride = step > 0 ? static_cast<std::uint64_t>(step) : 0 - static_cast<std::uint64_t>(step);
  const bool empty = step > 0 ? start >= stop : start <= stop;
  const std::uint64_t size = empty ? 0 : (distance - 1) / stride + 1;
  if (size > static_cast<std::uint64_t>(kMaxRange)) {
    return fail(ErrorCode::kInvalidArgument, "range() of {} items; at most {} are allowed", size, kMaxRange);
  }
  NIBBLE_TRY_STATUS(check_memory());
  return adopt(new RangeObject(start, stop, step, static_cast<std::int64_t>(size)), 0);
}

Result<Value> Runtime::view(const Value& dict, ViewObject::Part part) {
  NIBBLE_TRY_STATUS(check_memory());
  return adopt(new ViewObject(dict, part), 0);
}

Result<Value> Runtime::bind(const Function& function, Value self) {
  NIBBLE_TRY_STATUS(check_memory());
  return adopt(new FunctionObject(function, std::move(self)), 0);
}

Value Runtime::undefined(std::string message) {
  const std::size_t bytes = message.size();
  auto* object = new StringObject(std::move(message), 0);
  object->kind = Kind::kUndefined;
  return adopt(object, bytes);
}

Result<Value> Runtime::from_json(const Json& json, int depth) {
  if (depth > limits_.max_depth / 4) {
    return fail(ErrorCode::kInvalidArgument, "the variables are nested deeper than {} levels", limits_.max_depth / 4);
  }
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case Json::value_t::number_integer:
      return Value::integer(json.get<std::int64_t>());
    case Json::value_t::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      if (number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return Value::integer(static_cast<std::int64_t>(number));
      }
      return Value::real(static_cast<double>(number));
    }
    case Json::value_t::number_float:
      return Value::real(json.get<double>());
    case Json::value_t::string:
      return string(json.get_ref<const std::string&>());
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) {
        NIBBLE_TRY(Value value, from_json(item, depth + 1));
        items.push_back(std::move(value));
      }
      return list(std::move(items));
    }
    case Json::value_t::object: {
      NIBBLE_TRY(Value result, dict());
      for (const auto& [key, item] : json.items()) {
        NIBBLE_TRY(Value value, from_json(item, depth + 1));
        NIBBLE_TRY_STATUS(set(result, key, std::move(value)));
      }
      return result;
    }
    default:
      return Value::none();
  }
}

Status Runtime::append(const Value& list, Value item) {
  NIBBLE_TRY_STATUS(reserve(kItemBytes));
  heap_.charge(list.list(), kItemBytes);
  list.list().items.push_back(std::move(item));
  return {};
}

Status Runtime::set(const Value& dict, Value key, Value value) {
  const std::size_t before = dict.dict().entries.size();
  if (key.is_string()) NIBBLE_TRY_STATUS(work_bytes(key.text().size()));
  dict.dict().set(std::move(key), std::move(value));
  if (dict.dict().entries.size() == before) return {};
  heap_.charge(dict.dict(), kEntryBytes);
  return check_memory();
}

Status Runtime::set(const Value& dict, std::string_view key, Value value) {
  NIBBLE_TRY(Value name, string(key));
  return set(dict, std::move(name), std::move(value));
}

bool TextBuilder::room_for(std::size_t bytes) {
  if (overflowed_) return false;
  // Asks again only when the text has doubled, so that appending stays cheap.
  if (text_.size() + bytes <= known_room_) return true;
  const std::size_t wanted = (text_.size() + bytes) * 2 + 64;
  if (bytes > runtime_.limits().max_memory_bytes || !runtime_.reserve(text_.size() + bytes).ok()) {
    overflowed_ = true;
    return false;
  }
  if (runtime_.reserve(wanted).ok()) known_room_ = wanted;
  return true;
}

void TextBuilder::append(std::size_t count, std::string_view text) {
  if (text.empty()) return;
  if (count > runtime_.limits().max_memory_bytes / text.size() || !room_for(count * text.size())) {
    overflowed_ = true;
    return;
  }
  for (std::size_t i = 0; i < count; ++i) text_ += text;
}

Result<std::string> TextBuilder::take() {
  if (overflowed_) {
    return fail(ErrorCode::kOutOfMemory, "a string would exceed the {} bytes that the template's values may take",
                runtime_.limits().max_memory_bytes);
  }
  return std::move(text_);
}

Result<Value> TextBuilder::finish() {
  NIBBLE_TRY(std::string text, take());
  return runtime_.string(std::move(text));
}

}  // namespace nibble::jinja
