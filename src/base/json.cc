// The one place where untrusted JSON is parsed: bounded in size and depth, strict about duplicates and UTF-8.
#include "base/json.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/utf8.h"

namespace nibble {
namespace {

/// Builds the document from the parser's events. Unlike the library's own builder it appends keys without looking for
/// them first (ordered_map searches linearly, which makes an object of n keys cost n^2), and looks for duplicates once,
/// by sorting, when an object ends.
class DocumentBuilder final : public nlohmann::json_sax<Json> {
 public:
  DocumentBuilder(Json& document, int max_depth) : document_(document), max_depth_(max_depth) {}

  bool null() override { return put(Json()); }
  bool boolean(bool value) override { return put(Json(value)); }
  bool number_integer(number_integer_t value) override { return put(Json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return put(Json(value)); }
  bool number_float(number_float_t value, const string_t&) override { return put(Json(value)); }
  bool string(string_t& value) override { return put(Json(std::move(value))); }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool key(string_t& name) override {
    auto& members = static_cast<Json::object_t::Container&>(stack_.back()->get_ref<Json::object_t&>());
    members.emplace_back(std::move(name), Json());
    slot_ = &members.back().second;
    return true;
  }
  bool end_object() override {
    if (!unique_keys(stack_.back()->get_ref<const Json::object_t&>())) return false;
    stack_.pop_back();
    return true;
  }
  bool end_array() override {
    stack_.pop_back();
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    problem = fmt::format("byte {}: {}", position, printable(e.what()));
    return false;
  }

  std::string problem;

 private:
  /// Stores a value where the parser stands: the document itself, the next element, or the key just read.
  Json* place(Json&& value) {
    if (stack_.empty()) {
      document_ = std::move(value);
      return &document_;
    }
    if (stack_.back()->is_array()) {
      auto& elements = stack_.back()->get_ref<Json::array_t&>();
      elements.push_back(std::move(value));
      return &elements.back();
    }
    *slot_ = std::move(value);
    return slot_;
  }

  bool put(Json&& value) {
    place(std::move(value));
    return true;
  }

  bool open(Json&& container) {
    if (stack_.size() >= static_cast<std::size_t>(max_depth_)) {
      problem = fmt::format("nested deeper than {} levels", max_depth_);
      return false;
    }
    stack_.push_back(place(std::move(container)));
    return true;
  }

  bool unique_keys(const Json::object_t& object) {
    if (object.size() < 2) return true;
    keys_.clear();
    for (const auto& member : object) keys_.push_back(&member.first);
    std::sort(keys_.begin(), keys_.end(), [](const auto* a, const auto* b) { return *a < *b; });
    const auto twice =
        std::adjacent_find(keys_.begin(), keys_.end(), [](const auto* a, const auto* b) { return *a == *b; });
    if (twice == keys_.end()) return true;
    problem = fmt::format("the key \"{}\" appears twice", printable(**twice));
    return false;
  }

  Json& document_;
  int max_depth_;
  std::vector<Json*> stack_;  ///< open containers; each is the last of its parent, so that none moves while open
  Json* slot_ = nullptr;      ///< the value of the key just read
  std::vector<const std::string*> keys_;
};

}  // namespace

Result<Json> parse_untrusted(std::string_view text, std::string_view what, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes)
    return fail(ErrorCode::kCorrupt, "{}: {} bytes of JSON, the limit is {}", what, text.size(), limits.max_bytes);
  Json document;
  DocumentBuilder builder(document, limits.max_depth);
  if (!Json::sax_parse(text.begin(), text.end(), &builder))
    return fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", what, builder.problem);
  return document;
}

namespace {

/// A field that may be absent may be null as well.
Status check_object(const Json& value, const std::string& what) {
  if (value.is_object() || value.is_null()) return {};
  return fail(ErrorCode::kCorrupt, "{}: is {}, expected an object", what, value.type_name());
}

}  // namespace

bool JsonFields::has(std::string_view key) const { return child(key) != nullptr; }

const Json* JsonFields::child(std::string_view key) const {
  if (!object_.is_object()) return nullptr;
  auto it = object_.find(std::string(key));
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

Error JsonFields::wrong_type(std::string_view key, const Json& found, std::string_view expected) const {
  return fail(ErrorCode::kCorrupt, "{}: \"{}\" is {}, expected {}", what_, key, found.type_name(), expected);
}

Result<std::optional<std::int64_t>> JsonFields::integer(std::string_view key) const {
  NIBBLE_TRY_STATUS(check_object(object_, what_));
  const Json* value = child(key);
  if (value == nullptr) return std::optional<std::int64_t>{};
  if (value->is_number_unsigned()) {
    const auto number = value->get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(INT64_MAX)) return wrong_type(key, *value, "an integer below 2^63");
    return std::optional<std::int64_t>(static_cast<std::int64_t>(number));
  }
  if (value->is_number_integer()) return std::optional<std::int64_t>(value->get<std::int64_t>());
  if (value->is_number_float()) {  // 4096.0, as some writers print whole numbers
    const auto number = value->get<double>();
    if (number > -9.0e15 && number < 9.0e15 && number == static_cast<double>(static_cast<std::int64_t>(number)))
      return std::optional<std::int64_t>(static_cast<std::int64_t>(number));
  }
  return wrong_type(key, *value, "an integer");
}

Result<std::optional<double>> JsonFields::number(std::string_view key) const {
  NIBBLE_TRY_STATUS(check_object(object_, what_));
  const Json* value = child(key);
  if (value == nullptr) return std::optional<double>{};
  if (!value->is_number()) return wrong_type(key, *value, "a number");
  return std::optional<double>(value->get<double>());
}

Result<std::optional<bool>> JsonFields::boolean(std::string_view key) const {
  NIBBLE_TRY_STATUS(check_object(object_, what_));
  const Json* value = child(key);
  if (value == nullptr) return std::optional<bool>{};
  if (!value->is_boolean()) return wrong_type(key, *value, "true or false");
  return std::optional<bool>(value->get<bool>());
}

Result<std::optional<std::string>> JsonFields::string(std::string_view key) const {
  NIBBLE_TRY_STATUS(check_object(object_, what_));
  const Json* value = child(key);
  if (value == nullptr) return std::optional<std::string>{};
  if (!value->is_string()) return wrong_type(key, *value, "a string");
  return std::optional<std::string>(value->get<std::string>());
}

Result<std::optional<std::vector<std::string>>> JsonFields::strings(std::string_view key) const {
  NIBBLE_TRY_STATUS(check_object(object_, what_));
  const Json* value = child(key);
  if (value == nullptr) return std::optional<std::vector<std::string>>{};
  std::vector<std::string> out;
  if (value->is_string()) {
    out.push_back(value->get<std::string>());
    return std::optional(std::move(out));
  }
  if (!value->is_array()) return wrong_type(key, *value, "a list of strings");
  for (const Json& item : *value) {
    if (!item.is_string()) return wrong_type(key, item, "a list of strings");
    out.push_back(item.get<std::string>());
  }
  return std::optional(std::move(out));
}

}  // namespace nibble
