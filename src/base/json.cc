// The one place where untrusted JSON is parsed: bounded in size and depth, strict about duplicates and UTF-8.
#include "base/json.h"

#include <set>

namespace nibble {
namespace {

/// Follows the parse events: refuses depth beyond the limit and keys that repeat within one object.
class Guard {
 public:
  explicit Guard(int max_depth) : max_depth_(max_depth) {}

  bool on_event(int depth, Json::parse_event_t event, const Json& value) {
    if (!problem.empty()) return false;
    switch (event) {
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
        if (depth >= max_depth_) {
          problem = fmt::format("nested deeper than {} levels", max_depth_);
          return false;
        }
        keys_.emplace_back();
        break;
      case Json::parse_event_t::object_end:
      case Json::parse_event_t::array_end:
        if (!keys_.empty()) keys_.pop_back();
        break;
      case Json::parse_event_t::key:
        if (!keys_.empty() && value.is_string() && !keys_.back().insert(value.get_ref<const std::string&>()).second) {
          problem = fmt::format("the key \"{}\" appears twice", value.get_ref<const std::string&>());
          return false;
        }
        break;
      default:
        break;
    }
    return true;
  }

  std::string problem;

 private:
  int max_depth_;
  std::vector<std::set<std::string>> keys_;
};

}  // namespace

Result<Json> parse_untrusted(std::string_view text, std::string_view what, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes)
    return fail(ErrorCode::kCorrupt, "{}: {} bytes of JSON, the limit is {}", what, text.size(), limits.max_bytes);
  Guard guard(limits.max_depth);
  // A first pass over the events without building values, so that depth and duplicates are refused before memory grows.
  struct Events : nlohmann::json_sax<Json> {
    Guard& guard;
    int depth = 0;
    std::string error;
    explicit Events(Guard& g) : guard(g) {}
    bool null() override { return true; }
    bool boolean(bool) override { return true; }
    bool number_integer(number_integer_t) override { return true; }
    bool number_unsigned(number_unsigned_t) override { return true; }
    bool number_float(number_float_t, const string_t&) override { return true; }
    bool string(string_t&) override { return true; }
    bool binary(binary_t&) override { return true; }
    bool start_object(std::size_t) override { return guard.on_event(depth++, Json::parse_event_t::object_start, {}); }
    bool key(string_t& name) override { return guard.on_event(depth, Json::parse_event_t::key, Json(name)); }
    bool end_object() override { return guard.on_event(--depth, Json::parse_event_t::object_end, {}); }
    bool start_array(std::size_t) override { return guard.on_event(depth++, Json::parse_event_t::array_start, {}); }
    bool end_array() override { return guard.on_event(--depth, Json::parse_event_t::array_end, {}); }
    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
      error = fmt::format("byte {}: {}", position, e.what());
      return false;
    }
  } events(guard);
  if (!Json::sax_parse(text.begin(), text.end(), &events)) {
    const std::string& why = guard.problem.empty() ? events.error : guard.problem;
    return fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", what, why);
  }
  Json document = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) return fail(ErrorCode::kCorrupt, "{}: not valid JSON", what);
  return document;
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
