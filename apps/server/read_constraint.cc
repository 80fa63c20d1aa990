// Fields that hold an answer to a form: OpenAI's response_format, llama-server's json_schema, vLLM's structured_outputs
// and guided_json; and those of the latter two that Nibble does not know.
#include <array>

#include "requests.h"

namespace nibble::server {
namespace {

constexpr std::array kRefused = {
    "guided_choice", "guided_regex", "guided_grammar",    "guided_whitespace_pattern",
    "grammar",       "bad_words",    "allowed_token_ids", "continue_final_message",
};
constexpr std::array kRefusedOutputs = {
    "regex",
    "choice",
    "grammar",
    "structural_tag",
    "whitespace_pattern",
    "disable_any_whitespace",
    "disable_additional_properties",
};

/// As absent: null, false, "", [] and {}.
bool says_nothing(const Json& value) {
  return value.is_boolean()  ? !value.get<bool>()
         : value.is_string() ? value.get_ref<const std::string&>().empty()
                             : value.empty();
}

/// A field that says something.
const Json* said(const RequestFields& fields, std::string_view name) {
  const Json* value = fields.find(name);
  return value == nullptr || says_nothing(*value) ? nullptr : value;
}

template <typename Names>
void refuse(RequestFields& fields, const Names& names) {
  for (const char* name : names)
    if (said(fields, name) != nullptr)
      fields.fail(name,
                  "not supported; response_format holds answers to JSON schemas, logit_bias weighs single tokens");
}

/// The constraints that a request names.
class Constraints {
 public:
  Constraints(RequestFields& fields, const ServedModel& model) : fields_(fields), model_(model) {}

  void add_object(std::string_view field) { add(field, model_.chat->json_object()); }
  /// A schema, or its text.
  void add_schema(std::string_view field, const std::string& path, const Json& schema) {
    add(field, model_.chat->json_schema(schema.is_string() ? schema.get<std::string>() : schema.dump(), path));
  }
  ConstraintMaker take() { return std::move(maker_); }

 private:
  void add(std::string_view field, Result<ConstraintMaker> maker) {
    if (!maker.ok()) {
      ApiError error = api_error_of(maker.error());
      error.param = field;
      return fields_.fail(std::move(error));
    }
    if (maker_) return fields_.fail(field, "the answer is held to a form already; give one of them");
    maker_ = std::move(*maker);
  }

  RequestFields& fields_;
  const ServedModel& model_;
  ConstraintMaker maker_;
};

void read_response_format(RequestFields& fields, Constraints& constraints) {
  static constexpr std::string_view kField = "response_format";
  const Json* format = fields.object(kField);
  if (format == nullptr) return;
  RequestFields inner(*format, "response_format.");
  const std::string type = inner.string("type").value_or("");
  if (inner.error()) return fields.fail(*inner.error());
  if (type == "text") return;
  if (type == "json_object") {  // llama-server takes a schema here
    const Json* schema = said(inner, "schema");
    if (schema == nullptr) return constraints.add_object(kField);
    return constraints.add_schema(kField, "response_format.schema", *schema);
  }
  if (type != "json_schema") return fields.fail("response_format.type", "expected text, json_object or json_schema");
  const Json* described = inner.object("json_schema");
  const Json* schema = described == nullptr ? nullptr : RequestFields(*described).find("schema");
  if (schema == nullptr) return fields.fail("response_format.json_schema.schema", "missing");
  constraints.add_schema(kField, "response_format.json_schema.schema", *schema);
}

void read_structured_outputs(RequestFields& fields, Constraints& constraints) {
  static constexpr std::string_view kField = "structured_outputs";
  const Json* outputs = fields.object(kField);
  if (outputs == nullptr) return;
  RequestFields inner(*outputs, "structured_outputs.");
  refuse(inner, kRefusedOutputs);
  const bool is_object = inner.boolean("json_object").value_or(false);
  if (inner.error()) return fields.fail(*inner.error());
  if (is_object) constraints.add_object(kField);
  if (const Json* schema = said(inner, "json")) constraints.add_schema(kField, "structured_outputs.json", *schema);
}

}  // namespace

ConstraintMaker read_constraint(RequestFields& fields, const ServedModel& model) {
  refuse(fields, kRefused);
  if (fields.error()) return {};
  Constraints constraints(fields, model);
  read_response_format(fields, constraints);
  read_structured_outputs(fields, constraints);
  fields.object("json_schema");  // of no other type
  for (const char* name : {"guided_json", "json_schema"})
    if (const Json* schema = said(fields, name)) constraints.add_schema(name, name, *schema);
  return fields.error() ? ConstraintMaker() : constraints.take();
}

}  // namespace nibble::server
