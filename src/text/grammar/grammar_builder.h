// GrammarBuilder: rules made of literals, bytes, characters, sequences, choices, repetitions and calls of rules.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/grammar/grammar.h"

namespace nibble {

/// Code points [first, last].
struct CodePointRange {
  char32_t first = 0;
  char32_t last = 0;
};

/// Sorts ranges, joins those that touch, takes out surrogates and what is past U+10FFFF.
std::vector<CodePointRange> normalized_ranges(std::vector<CodePointRange> ranges);
/// All code points that are in none of the ranges.
std::vector<CodePointRange> complement(std::vector<CodePointRange> ranges);

/// Makes expressions, then rules of them, then the grammar. An expression may be used in several others. Nothing fails
/// before build(), which reports the first limit that was exceeded.
class GrammarBuilder {
 public:
  using Expression = std::uint32_t;
  using RuleId = grammar::RuleId;

  explicit GrammarBuilder(const GrammarLimits& limits = {});

  Expression empty() const { return kEmptyExpression; }      ///< the empty text
  Expression nothing() const { return kNothingExpression; }  ///< no text at all
  Expression text(std::string_view bytes);
  Expression bytes(std::uint8_t low, std::uint8_t high);
  /// One character of the ranges, in UTF-8.
  Expression characters(std::vector<CodePointRange> ranges);
  Expression sequence(std::vector<Expression> parts);
  Expression choice(std::vector<Expression> parts);
  /// `part` min to max times; without max, as often as wanted.
  Expression repeat(Expression part, std::uint64_t min, std::optional<std::uint64_t> max);
  Expression optional(Expression part) { return choice({part, kEmptyExpression}); }

  struct Item {
    Expression expression = 0;  ///< does not match the empty text
    bool required = false;
    bool repeated = false;  ///< may come again; for the last of a list
  };
  /// The items in their order, without those that are not required and left out, `separator` between them; where there
  /// are any, then `after`.
  Expression separated(std::vector<Item> items, Expression separator, Expression after);

  /// A rule to be defined later, so that rules can refer to each other. The name is for messages.
  RuleId declare(std::string name);
  void define(RuleId rule, Expression expression);
  Expression call(RuleId rule);
  /// A rule of its own for the expression; a call of it.
  Expression as_rule(std::string name, Expression expression);

  /// Fails with kUnsupported when a limit is exceeded, with kInvalidArgument when a rule refers to itself before it has
  /// consumed anything or when no text satisfies the grammar.
  Result<std::shared_ptr<const Grammar>> build(RuleId root) const;

 private:
  friend class AutomatonBuilder;
  enum class Kind : std::uint8_t { kEmpty, kNothing, kText, kBytes, kSequence, kChoice, kRepeat, kSeparated, kCall };
  struct Node {
    Kind kind = Kind::kEmpty;
    std::uint8_t low = 0;
    std::uint8_t high = 0;
    int depth = 1;
    std::uint64_t min = 0;
    std::uint64_t max = 0;  ///< of kRepeat; kUnbounded
    RuleId rule = 0;
    std::string text;
    std::vector<Expression> parts;  ///< of kSeparated: separator, after, then the items
    std::vector<Item> items;        ///< of kSeparated
  };
  static constexpr std::uint64_t kUnbounded = UINT64_MAX;
  static constexpr Expression kEmptyExpression = 0;
  static constexpr Expression kNothingExpression = 1;
  struct Rule {
    std::string name;
    std::optional<Expression> expression;
  };

  Expression add(Node node);

  GrammarLimits limits_;
  std::vector<Node> nodes_;
  std::vector<Rule> rules_;
  std::optional<Error> error_;
};

}  // namespace nibble
