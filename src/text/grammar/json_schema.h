// JSON schemas to grammars: every text of the grammar is a document that the schema accepts. What cannot be promised is
// refused, by the path of the keyword; docs/constrained-decoding.md lists what is supported.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/grammar/json_grammar.h"

namespace nibble {

struct SchemaLimits {
  GrammarLimits grammar;
  std::size_t max_schemas = 10'000;                     ///< those within the schema, and those that allOf makes
  int max_depth = 64;                                   ///< schemas within each other
  std::size_t max_alternatives = 512;                   ///< of one anyOf or oneOf, also multiplied out with others
  std::size_t max_properties = 512;                     ///< of one object
  std::size_t max_merged_bytes = std::size_t{4} << 20;  ///< of schemas that allOf and $ref beside others make
};

/// The grammar of the documents that `schema` accepts. `what` names the schema in messages, which read
/// "what: #/properties/a: keyword \"not\" is not supported". Fails with kUnsupported for what is beyond us or a limit,
/// with kInvalidArgument for what is no schema or accepts nothing.
Result<std::shared_ptr<const Grammar>> json_schema_grammar(const Json& schema, std::string_view what,
                                                           const SchemaLimits& limits = {});

/// Compiles one schema into a builder that others share.
class SchemaCompiler {
 public:
  using Expression = JsonGrammar::Expression;

  /// `root` is what "#" refers to; it must outlive the compiler.
  SchemaCompiler(JsonGrammar& json, const Json& root, std::string what, const SchemaLimits& limits = {});
  /// The documents of the root.
  Result<Expression> compile();

 private:
  /// A schema that stands somewhere: the path is for messages.
  struct Place {
    std::string path;
    int depth = 0;
    Place at(std::string_view step) const;
    Place at(std::string_view keyword, std::size_t index) const { return at(keyword).at(std::to_string(index)); }
  };
  /// A rule to be defined: by the schema that a reference names, or by one that is merged from several.
  struct Pending {
    GrammarBuilder::RuleId rule;
    const Json* schema;
    std::string path;
    bool is_merged;
  };

  Result<Expression> compile(const Json& schema, const Place& place);
  Result<Expression> compile_choice(const Json& list, const Place& place);
  Result<Expression> compile_merged(const Json& schema, const Place& place);
  Result<Expression> compile_reference(const Json& reference, const Place& place);
  Result<Expression> compile_plain(const Json& schema, const Place& place);
  Result<Expression> compile_enum(const Json& schema, const Place& place);
  Result<Expression> compile_type(const std::string& type, const Json& schema, const Place& place);
  Result<Expression> compile_string(const Json& schema, const Place& place);
  Result<Expression> compile_integer(const Json& schema, const Place& place);
  Result<Expression> compile_number(const Json& schema, const Place& place);
  Result<Expression> compile_array(const Json& schema, const Place& place);
  Result<Expression> compile_object(const Json& schema, const Place& place);

  Status check_keywords(const Json& schema, const Place& place);
  Result<const Json*> resolve(const Json& reference, const Place& place) const;
  Result<std::optional<std::uint64_t>> count(const Json& schema, std::string_view keyword, const Place& place) const;
  Result<std::optional<double>> bound(const Json& schema, std::string_view keyword, const Place& place) const;
  Result<std::vector<std::string>> types_of(const Json& schema, const Place& place) const;

  // json_schema_merge.cc
  Result<std::vector<Json>> alternatives(const Json& schema, const Place& place);
  Result<std::vector<Json>> alternatives_of_list(const Json& list, const Place& place);
  Status multiply(std::vector<Json>& left, const std::vector<Json>& right, const Place& place);
  Result<std::optional<Json>> merge(const Json& left, const Json& right, const Place& place) const;
  Status merge_objects(const Json& left, const Json& right, Json& out) const;

  Error wrong(const Place& place, std::string_view finding) const;
  Error unsupported(const Place& place, std::string_view finding) const;

  JsonGrammar& json_;
  GrammarBuilder& builder_;
  const Json& root_;
  std::string what_;
  SchemaLimits limits_;
  std::size_t schemas_ = 0;
  std::size_t merged_bytes_ = 0;
  std::map<std::string, GrammarBuilder::RuleId> references_;  ///< by the text of $ref
  std::map<std::string, GrammarBuilder::RuleId> merged_;      ///< by the text of the schema
  std::vector<Pending> pending_;
  std::vector<std::unique_ptr<const Json>> owned_;  ///< what pending_ refers to outside of the root
};

}  // namespace nibble
