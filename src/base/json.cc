// The one place where untrusted JSON is parsed: bounded in size and depth, strict about duplicates and UTF-8.
#include "base/json.h"

#include <unordered_set>

namespace nibble {
namespace {

/// Builds the document from the parse events in one pass: refuses depth beyond the limit and keys that repeat within one
/// object before memory grows. A repeated key is found in a hash set, because the ordered map's own search is linear: a
/// vocabulary of 100 000 keys would take minutes.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(int max_depth) : max_depth_(max_depth) {}

  bool null() override { return add(Json(nullptr)); }
  bool boolean(bool value) override { return add(Json(value)); }
  bool number_integer(number_integer_t value) override { return add(Json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return add(Json(value)); }
  bool number_float(number_float_t value, const string_t&) override { return add(Json(value)); }
  bool string(string_t& value) override { return add(Json(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (!open_.back().keys.insert(name).second) {
      problem = fmt::format("the key \"{}\" appears twice", name);
      return false;
    }
    open_.back().key = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    problem = fmt::format("byte {}: {}", position, e.what());
    return false;
  }

  Json document;
  std::string problem;

 private:
  struct Open {
    Json value;
    std::string key;  // of the member being read, when value is an object
    std::unordered_set<std::string> keys;
  };

  bool add(Json value) {
    if (open_.empty()) {
      document = std::move(value);
    } else if (Open& parent = open_.back(); parent.value.is_object()) {
      auto& members = parent.value.get_ref<Json::object_t&>();  // a vector of pairs; the key is known to be new
      static_cast<Json::object_t::Container&>(members).emplace_back(std::move(parent.key), std::move(value));
    } else {
      parent.value.get_ref<Json::array_t&>().push_back(std::move(value));
    }
    return true;
  }
  bool open(Json value) {
    if (open_.size() >= static_cast<std::size_t>(max_depth_)) {
      problem = fmt::format("nested deeper than {} levels", max_depth_);
      return false;
    }
    open_.push_back({std::move(value), {}, {}});
    return true;
  }
  bool close() {
    Json value = std::move(open_.back().value);
    open_.pop_back();
    return add(std::move(value));
  }

  int max_depth_;
  std::vector<Open> open_;
};

}  // namespace

Result<Json> parse_untrusted(std::string_view text, std::string_view what, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes)
    return fail(ErrorCode::kCorrupt, "{}: {} bytes of JSON, the limit is {}", what, text.size(), limits.max_bytes);
  Builder builder(limits.max_depth);
  if (!Json::sax_parse(text.begin(), text.end(), &builder))
    return fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", what, builder.problem);
  return std::move(builder.document);
}

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
  const Json* value = child(key);
  if (value == nullptr) return std::optional<double>{};
  if (!value->is_number()) return wrong_type(key, *value, "a number");
  return std::optional<double>(value->get<double>());
}

Result<std::optional<bool>> JsonFields::boolean(std::string_view key) const {
  const Json* value = child(key);
  if (value == nullptr) return std::optional<bool>{};
  if (!value->is_boolean()) return wrong_type(key, *value, "true or false");
  return std::optional<bool>(value->get<bool>());
}

Result<std::optional<std::string>> JsonFields::string(std::string_view key) const {
  const Json* value = child(key);
  if (value == nullptr) return std::optional<std::string>{};
  if (!value->is_string()) return wrong_type(key, *value, "a string");
  return std::optional<std::string>(value->get<std::string>());
}

Result<std::optional<std::vector<std::string>>> JsonFields::strings(std::string_view key) const {
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
