// A recursive-descent parser; statements in parser.cc, expressions in expression_parser.cc.
#pragma once

#include <unordered_map>

#include "text/template/syntax_tree.h"

namespace nibble::jinja {

class Parser {
 public:
  Parser(std::vector<Token> tokens, SyntaxTree& tree, int max_nesting);

  Status parse();

 private:
  using ExpressionResult = Result<Expression*>;
  using StatementResult = Result<Statement*>;

  // ---- tokens
  const Token& current() const { return tokens_[position_]; }
  const Token& following() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  Token take();
  bool skip_operator(std::string_view symbol);
  bool skip_name(std::string_view word);
  Status expect_operator(std::string_view symbol);
  Status expect_name(std::string_view word);
  Status expect(TokenKind kind, std::string_view what);
  Result<int> variable_name();
  int intern(const std::string& name);
  Error error(Position at, std::string_view message) const;
  Error unexpected(std::string_view expected) const;

  // ---- statements
  /// Reads statements up to a tag whose word is one of `ends`, and stops at that word. No ends: up to the end.
  Result<Block> block(std::initializer_list<std::string_view> ends, Position opened, std::string_view opener);
  /// The body of a tag: its end, statements, and the first of the words that closes them, which is consumed if there is
  /// only one.
  Result<Block> body(std::initializer_list<std::string_view> ends, Position opened, std::string_view opener);
  StatementResult print_statement();
  StatementResult statement();
  StatementResult if_statement();
  StatementResult for_statement();
  StatementResult set_statement();
  StatementResult macro_statement();
  StatementResult call_statement();
  StatementResult filter_statement();
  StatementResult with_statement();
  StatementResult generation_statement();
  StatementResult loop_control();
  Status signature(Statement& into);
  /// The body of a macro, call or generation block.
  Status function_body(Statement& into, std::string_view end, std::string_view opener);
  Statement& new_statement(StatementKind kind, Position at);

  // ---- expressions
  enum class Condition { kAllowed, kNotAllowed };
  ExpressionResult expression(Condition inline_if = Condition::kAllowed);
  ExpressionResult conditional();
  ExpressionResult or_expression();
  ExpressionResult and_expression();
  ExpressionResult not_expression();
  ExpressionResult comparison();
  ExpressionResult additive();
  ExpressionResult concatenation();
  ExpressionResult multiplicative();
  ExpressionResult power();
  ExpressionResult unary(bool with_filters);
  ExpressionResult primary();
  ExpressionResult name_or_literal();
  ExpressionResult string_literal();
  ExpressionResult list_literal();
  ExpressionResult dict_literal();
  ExpressionResult postfix(Expression* value);
  ExpressionResult filters_and_tests(Expression* value);
  ExpressionResult subscript(Expression* value);
  ExpressionResult slice(Expression* value);
  ExpressionResult call(Expression* value);
  ExpressionResult filter(Expression* value);
  ExpressionResult test(Expression* value);
  Status arguments(CallArguments& into, Expression& owner);
  /// One argument of a call: positional, name=value, *list or **dict.
  Status argument(CallArguments& into, Expression& owner);
  /// One expression, or a tuple when commas follow. `parenthesized` allows the empty tuple.
  ExpressionResult tuple(Condition inline_if, bool parenthesized, std::string_view end_word = "");
  /// What may be assigned to: a name, names with commas or brackets, and with `namespaces` name.attribute.
  ExpressionResult target(bool namespaces, std::string_view end_word = "");
  ExpressionResult target_item(bool namespaces);
  bool at_tuple_end(std::string_view end_word) const;
  Result<Expression*> new_expression(ExpressionKind kind, Position at, std::vector<const Expression*> parts = {});
  /// Adds a part, and fails when the expression grows too high.
  Status add_part(Expression& parent, const Expression* part);

  /// Raises a counter while it lives.
  class Nested {
   public:
    explicit Nested(int& counter) : counter_(counter) { ++counter_; }
    ~Nested() { --counter_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    int& counter_;
  };

  std::vector<Token> tokens_;
  std::size_t position_ = 0;
  SyntaxTree& tree_;
  std::unordered_map<std::string, int> name_indices_;
  const int max_nesting_;
  int nesting_ = 0;
  int open_loops_ = 0;
  SpecialNames uses_;  ///< in the macro that is being read
};

}  // namespace nibble::jinja
