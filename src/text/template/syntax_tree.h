// A parsed template. Nodes live in the tree's deques and refer to each other by pointer; nothing recurses when they
// die.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "text/template/operations.h"
#include "text/template/token.h"

namespace nibble::jinja {

enum class ExpressionKind : std::uint8_t {
  kName,     ///< `name`
  kText,     ///< `text`
  kInteger,  ///< `integer`
  kReal,     ///< `real`
  kBoolean,  ///< `integer`
  kNone,
  kTuple,               ///< parts
  kList,                ///< parts
  kDict,                ///< parts: key, value, key, value ...
  kUnary,               ///< `sign` is '-', '+' or '!' (not); parts[0]
  kBinary,              ///< `binary_operator`; parts[0], parts[1]
  kConcatenate,         ///< a ~ b ~ ...: parts
  kCompare,             ///< a < b < ...: parts, and `comparisons` between them
  kAnd,                 ///< parts[0], parts[1]
  kOr,                  ///< parts[0], parts[1]
  kConditional,         ///< parts[0] if parts[1] else parts[2], which may be null
  kAttribute,           ///< parts[0] . text
  kSubscript,           ///< parts[0] [ parts[1] ]
  kSlice,               ///< parts[0] [ parts[1] : parts[2] : parts[3] ], bounds may be null
  kCall,                ///< parts[0] ( arguments )
  kFilter,              ///< parts[0] | text ( arguments ); parts[0] is null in filter and set blocks
  kTest,                ///< parts[0] is text ( arguments )
  kNamespaceAttribute,  ///< `name` . text, as the target of set
};

struct Expression;

struct CallArguments {
  std::vector<const Expression*> positional;
  std::vector<std::pair<std::string, const Expression*>> keywords;
  const Expression* spread = nullptr;           ///< *spread
  const Expression* spread_keywords = nullptr;  ///< **spread_keywords
};

struct Expression {
  ExpressionKind kind = ExpressionKind::kNone;
  char sign = 0;
  BinaryOperator binary_operator = BinaryOperator::kAdd;
  std::uint16_t height = 1;
  Position at;
  int name = -1;      ///< index into SyntaxTree::names
  int constant = -1;  ///< of kText: where a rendering keeps the string
  std::int64_t integer = 0;
  double real = 0;
  std::string text;
  std::vector<const Expression*> parts;
  std::vector<Comparison> comparisons;
  std::unique_ptr<CallArguments> arguments;
};

enum class StatementKind : std::uint8_t {
  kText,         ///< text
  kPrint,        ///< expressions
  kIf,           ///< expressions are the conditions; one body for each, and one more for else
  kFor,          ///< target in expressions[0] if expressions[1], which may be null; bodies: loop, else
  kSet,          ///< target = expressions[0]
  kSetBlock,     ///< target, bodies[0], expressions[0] is a filter or null
  kMacro,        ///< name, signature, bodies[0]
  kCallBlock,    ///< signature, bodies[0], expressions[0] is the call
  kFilterBlock,  ///< expressions[0] is the filter, bodies[0]
  kWith,         ///< targets = expressions, bodies[0]
  kGeneration,   ///< bodies[0], in a scope of its own
  kBreak,
  kContinue,
};

struct Statement;
using Block = std::vector<const Statement*>;

/// Which of its special variables a macro mentions; only then may it be given what they hold.
struct SpecialNames {
  bool caller = false;
  bool varargs = false;
  bool kwargs = false;
};

struct Signature {
  SpecialNames uses;
  std::vector<int> parameters;
  std::vector<const Expression*> defaults;  ///< of the last parameters
};

struct Statement {
  StatementKind kind = StatementKind::kText;
  bool recursive = false;
  Position at;
  int name = -1;
  std::string text;
  std::vector<const Expression*> expressions;
  std::vector<const Expression*> targets;
  std::vector<Block> bodies;
  std::unique_ptr<Signature> signature;
};

struct SyntaxTree {
  std::string template_name;
  std::vector<std::string> names;  ///< of variables
  int num_constants = 0;
  std::deque<Expression> expressions;
  std::deque<Statement> statements;
  Block root;
  // Names the evaluator needs to know; always present.
  int loop_name = -1;
  int caller_name = -1;
  int varargs_name = -1;
  int kwargs_name = -1;
};

/// Parses a template. Errors name the template, line and column and say what was expected.
Result<std::unique_ptr<const SyntaxTree>> parse_template(std::string_view source, std::string name, int max_nesting);

}  // namespace nibble::jinja
