// The parts that grammars of JSON are made of. White space is bounded, so that a model cannot write it for ever: a
// space, or a line end and up to 20 spaces or tabs, and only after "{", "[", "," and ":" and before "}" and "]".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/grammar/grammar_builder.h"

namespace nibble {

/// Makes each part once, when first asked for.
class JsonGrammar {
 public:
  using Expression = GrammarBuilder::Expression;

  explicit JsonGrammar(GrammarBuilder& builder) : builder_(builder) {}
  GrammarBuilder& builder() { return builder_; }

  Expression white_space();
  Expression any_value();
  Expression any_object();
  Expression any_array();
  /// Any string, with all escapes but those of lone surrogates.
  Expression any_string();
  /// A string of min to max characters; an escape counts as the character that it stands for.
  Expression string(std::uint64_t min, std::optional<std::uint64_t> max);
  /// The inside of a string that is exactly `text`, as json.dumps(ensure_ascii=False) spells it.
  Expression string_content(std::string_view text);
  /// The inside of a string: one character of the ranges, spelled as by string_content.
  Expression string_characters(std::vector<CodePointRange> ranges);
  /// A string without escapes that is none of `names`; for keys beside those that a schema lists.
  Expression key_besides(std::vector<std::string_view> names);
  /// At most 16 digits before the point, 16 behind it, 2 in the exponent.
  Expression any_number();
  /// At most 18 digits.
  Expression any_integer();
  /// Exactly the integers from min to max.
  Expression integer(std::int64_t min, std::int64_t max);
  /// The decimal numbers from min to max, without exponent and with at most 10 digits behind the point. The bounds are
  /// compared in their shortest decimal form; nothing when one has an exponent there.
  std::optional<Expression> number(const std::optional<double>& min, const std::optional<double>& max, bool above_min,
                                   bool below_max);
  /// "[", min to max items, "]".
  Expression array(std::vector<Expression> first, std::optional<Expression> rest, std::uint64_t min,
                   std::optional<std::uint64_t> max);
  Expression literal(std::string_view text) { return builder_.text(text); }

 private:
  Expression digits(std::uint64_t min, std::uint64_t max);
  Expression string_character();
  Expression free_key_end();
  Expression other_key_end(std::vector<CodePointRange> taken);
  Expression key_rest(const std::vector<std::u32string>& names, std::size_t begin, std::size_t end, std::size_t at);

  GrammarBuilder& builder_;
  std::optional<GrammarBuilder::RuleId> white_space_, value_, object_, array_, string_, rare_character_, number_,
      free_key_end_, wide_key_end_;
};

/// Any JSON object, for response_format json_object.
Result<std::shared_ptr<const Grammar>> json_object_grammar(const GrammarLimits& limits = {});

}  // namespace nibble
