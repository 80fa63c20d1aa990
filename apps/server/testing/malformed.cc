#include "malformed.h"

#include <fstream>
#include <stdexcept>

namespace nibble::server {
namespace {

/// Reads the notation of the files, up to "}" if it is inside of a repetition.
class Notation {
 public:
  explicit Notation(std::string_view text) : text_(text) {}

  std::string read(bool is_inside = false) {
    std::string out;
    while (at_ < text_.size() && !(is_inside && text_[at_] == '}')) {
      const char c = text_[at_++];
      if (c == '|') {
        out += "\r\n";
      } else if (c == '\\') {
        out += escaped();
      } else if (c == '{' && text_.substr(at_, 2) == "H}") {
        at_ += 2;
        out += "Host: localhost\r\n";
      } else if (c != '{' || !repeated(out)) {
        out += c;
      }
    }
    return out;
  }

 private:
  char escaped() {
    if (at_ >= text_.size()) throw std::runtime_error("a backslash at the end");
    if (text_[at_] != 'x') return text_[at_++];
    const std::string digits(text_.substr(at_ + 1, 2));
    at_ += 3;
    return static_cast<char>(std::stoi(digits, nullptr, 16));
  }

  bool repeated(std::string& out) {
    const std::size_t star = text_.find_first_not_of("0123456789", at_);
    if (star == at_ || star == std::string_view::npos || text_[star] != '*') return false;
    const int count = std::stoi(std::string(text_.substr(at_, star - at_)));
    at_ = star + 1;
    const std::string one = read(true);
    ++at_;
    for (int i = 0; i < count; ++i) out += one;
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::vector<MalformedRequest> read_file(const std::string& path, bool has_expected) {
  std::ifstream file(path);
  std::vector<MalformedRequest> all;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t tab = line.find('\t');
    const std::size_t second = has_expected ? line.find('\t', tab + 1) : tab;
    if (second == std::string::npos) throw std::runtime_error(path + ": a line without tabs: " + line);
    MalformedRequest one;
    one.name = line.substr(0, tab);
    if (has_expected) one.expected = line.substr(tab + 1, second - tab - 1);
    one.bytes = Notation(std::string_view(line).substr(second + 1)).read();
    all.push_back(std::move(one));
  }
  if (all.empty()) throw std::runtime_error(path + ": cannot be read, or is empty");
  return all;
}

enum class Kind { kCount, kWhole, kReal, kBool, kText, kTexts, kList, kMap, kIds };

struct Field {
  const char* name;
  Kind kind;
};

const std::vector<Field>& text_fields() {
  static const std::vector<Field> kFields = {
      {"model", Kind::kText},
      {"n", Kind::kCount},
      {"stream", Kind::kBool},
      {"stream_options", Kind::kMap},
      {"max_tokens", Kind::kCount},
      {"temperature", Kind::kReal},
      {"top_p", Kind::kReal},
      {"min_p", Kind::kReal},
      {"top_k", Kind::kCount},
      {"presence_penalty", Kind::kReal},
      {"frequency_penalty", Kind::kReal},
      {"repeat_penalty", Kind::kReal},
      {"repetition_penalty", Kind::kReal},
      {"repeat_last_n", Kind::kCount},
      {"logit_bias", Kind::kMap},
      {"stop", Kind::kTexts},
      {"ignore_eos", Kind::kBool},
      {"min_tokens", Kind::kCount},
      {"seed", Kind::kWhole},
      {"response_format", Kind::kMap},
      {"json_schema", Kind::kMap},
      {"structured_outputs", Kind::kMap},
      {"n_predict", Kind::kCount},
      {"stop_token_ids", Kind::kIds},
  };
  return kFields;
}

std::vector<Field> fields_of(const std::string& path) {
  if (path == "/tokenize")
    return {{"content", Kind::kText},       {"prompt", Kind::kText},      {"add_special", Kind::kBool},
            {"parse_special", Kind::kBool}, {"with_pieces", Kind::kBool}, {"model", Kind::kText},
            {"messages", Kind::kList}};
  if (path == "/detokenize") return {{"tokens", Kind::kIds}, {"model", Kind::kText}};
  if (path == "/v1/embeddings")
    return {{"input", Kind::kIds}, {"encoding_format", Kind::kText}, {"model", Kind::kText}};
  std::vector<Field> fields = text_fields();
  if (path == "/v1/completions") {
    for (const Field& more : std::vector<Field>{{"prompt", Kind::kIds},
                                                {"logprobs", Kind::kCount},
                                                {"echo", Kind::kBool},
                                                {"suffix", Kind::kText},
                                                {"best_of", Kind::kCount}})
      fields.push_back(more);
  } else {
    for (const Field& more : std::vector<Field>{{"messages", Kind::kList},
                                                {"max_completion_tokens", Kind::kCount},
                                                {"logprobs", Kind::kBool},
                                                {"top_logprobs", Kind::kCount},
                                                {"tools", Kind::kList},
                                                {"tool_choice", Kind::kMap},
                                                {"parallel_tool_calls", Kind::kBool},
                                                {"chat_template_kwargs", Kind::kMap}})
      fields.push_back(more);
  }
  return fields;
}

/// Values that no field of a kind may have.
std::vector<const char*> wrong_values(Kind kind) {
  std::vector<const char*> values;
  if (kind == Kind::kCount)
    values = {"-3", "-9223372036854775808", "9223372036854775807", "9223372036854775808", "1e300", "2.5"};
  if (kind == Kind::kWhole)
    values = {"-9223372036854775809", "9223372036854775808", "18446744073709551616", "1e300", "2.5"};
  if (kind == Kind::kReal) values = {"-1e300", "-3", "9223372036854775808", "1e308", "NaN", "Infinity", "1e999"};
  if (kind == Kind::kCount || kind == Kind::kWhole || kind == Kind::kReal)
    for (const char* other : {"\"7\"", "true", "[7]", "{}", "\"NaN\""}) values.push_back(other);
  if (kind == Kind::kBool) values = {"0", "1", "\"true\"", "[]", "{}", "-1.5"};
  if (kind == Kind::kText) values = {"7", "true", "[\"a\"]", "{}", "-1e300", "\"\\ud800\""};
  if (kind == Kind::kTexts) values = {"7", "true", "{}", "[7]", "[null]", "[\"a\", []]", "\"\\udc00\""};
  if (kind == Kind::kList) values = {"7", "true", "{}", "\"a\"", "[7]", "[null]", "[[]]", "[{}]"};
  if (kind == Kind::kMap) values = {"7", "true", "[]", "[{}]", "-1", "\"\\ud800\""};
  if (kind == Kind::kIds)
    values = {"7",          "true",    "{}",     "[-1]", "[257]",      "[9223372036854775808]",
              "[1.5]",      "[1e300]", "[null]", "[{}]", "[1, \"a\"]", "[[1], [-1]]",
              "[\"a\", 1]", "[[]]"};
  return values;
}

/// The body with a field of that value, in place of the one it has.
std::string with_field(const std::string& body, const std::string& name, const std::string& value) {
  std::string out = body;
  const std::string key = "\"" + name + "\": ";
  const std::size_t at = out.find(key);
  // In the bodies below, values that are replaced end before ", \"" or at the last brace.
  if (at != std::string::npos) {
    const std::size_t end = std::min(out.find(", \"", at), out.size() - 1);
    return out.replace(at + key.size(), end - at - key.size(), value);
  }
  return out.insert(out.size() - 1, ", " + key + value);
}

}  // namespace

std::vector<MalformedRequest> read_requests(const std::string& path) { return read_file(path, true); }
std::vector<MalformedRequest> read_bodies(const std::string& path) { return read_file(path, false); }

const std::vector<Endpoint>& endpoints() {
  static const std::vector<Endpoint> kEndpoints = {
      {"/v1/chat/completions", R"({"messages": [{"role": "user","content": "so it goes"}], "max_tokens": 5})"},
      {"/v1/completions", R"({"prompt": "so it goes", "max_tokens": 5})"},
      {"/v1/embeddings", R"({"input": "so it goes"})"},
      {"/tokenize", R"({"content": "so it goes"})"},
      {"/detokenize", R"({"tokens": [97]})"},
  };
  return kEndpoints;
}

std::vector<MalformedRequest> wrong_fields(const Endpoint& endpoint) {
  std::vector<MalformedRequest> all;
  for (const Field& field : fields_of(endpoint.path))
    for (const char* value : wrong_values(field.kind))
      all.push_back({std::string(field.name) + " = " + value, "400", with_field(endpoint.body, field.name, value)});
  return all;
}

std::string mutated(const Endpoint& endpoint, std::mt19937_64& random) {
  static const std::vector<std::string> kValues = {
      "null",
      "true",
      "0",
      "-1",
      "1",
      "20",
      "-0.0",
      "1e-320",
      "9223372036854775807",
      "-9223372036854775808",
      "1.0",
      "\"\"",
      "\"a\"",
      "[]",
      "{}",
      "[[]]",
      "[1, 2, 3]",
      "[\"a\", \"b\"]",
      "[97]",
      "[256]",
      "\"none\"",
      "\"required\"",
      "{\"97\": 100}",
      "{\"include_usage\": true}",
      "{\"type\": \"json_object\"}",
      "[{\"role\": \"user\", \"content\": \"\"}]",
      "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {}}}]",
      "\"\\ud83d\\ude00\"",
      "\"\\ud800\"",
      "\"\\u0000\"",
      "\"base64\"",
      "\"so\""};
  const auto pick = [&random](std::size_t count) { return static_cast<std::size_t>(random() % count); };
  const std::vector<Field> fields = fields_of(endpoint.path);
  std::string body = endpoint.body;
  for (std::size_t i = pick(4) + 1; i > 0; --i) {
    const Field& field = fields[pick(fields.size())];
    const std::vector<const char*> wrong = wrong_values(field.kind);
    const std::string value = pick(4) == 0 ? wrong[pick(wrong.size())] : kValues[pick(kValues.size())];
    if (pick(12) != 0 || body.empty()) {
      if (body.size() > 1) body = with_field(body, field.name, value);
      continue;
    }
    const std::size_t at = pick(body.size());
    switch (pick(4)) {
      case 0:
        body[at] = static_cast<char>(random());
        break;
      case 1:
        body.erase(at, pick(8));
        break;
      case 2:
        body.insert(at, value);
        break;
      default:
        body.insert(at, std::string(pick(80), "[{\"\\ "[pick(5)]));
    }
  }
  return body;
}

}  // namespace nibble::server
