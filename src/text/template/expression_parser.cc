// Expressions, from the loosest binding operator to the tightest:
//   x if c else y, or, and, not, comparisons, + -, ~, * / // %, **, unary - +, then . [] () | is
#include <algorithm>
#include <limits>

#include "text/template/parser.h"

namespace nibble::jinja {
Status Parser::add_part(Expression& parent, const Expression* part) {
  parent.parts.push_back(part);
  if (part == nullptr) return {};
  if (part->height >= max_nesting_)
    return error(part->at, fmt::format("the expression nests deeper than {} levels", max_nesting_));
  parent.height = std::max(parent.height, static_cast<std::uint16_t>(part->height + 1));
  return {};
}

Result<Expression*> Parser::new_expression(ExpressionKind kind, Position at, std::vector<const Expression*> parts) {
  Expression& made = tree_.expressions.emplace_back();
  made.kind = kind;
  made.at = at;
  for (const Expression* part : parts) NIBBLE_TRY_STATUS(add_part(made, part));
  return &made;
}

// ---------------------------------------------------------------- operators

Result<Expression*> Parser::expression(Condition inline_if) {
  const Nested nested(nesting_);
  if (nesting_ > max_nesting_)
    return error(current().at, fmt::format("brackets nest deeper than {} levels", max_nesting_));
  return inline_if == Condition::kAllowed ? conditional() : or_expression();
}

Result<Expression*> Parser::conditional() {
  NIBBLE_TRY(Expression * value, or_expression());
  while (current().is_name("if")) {
    const Position at = take().at;
    NIBBLE_TRY(const Expression* condition, or_expression());
    Expression* otherwise = nullptr;
    if (skip_name("else")) {
      NIBBLE_TRY(otherwise, expression());
    }
    NIBBLE_TRY(value, new_expression(ExpressionKind::kConditional, at, {value, condition, otherwise}));
  }
  return value;
}

Result<Expression*> Parser::or_expression() {
  NIBBLE_TRY(Expression * left, and_expression());
  while (current().is_name("or")) {
    const Position at = take().at;
    NIBBLE_TRY(const Expression* right, and_expression());
    NIBBLE_TRY(left, new_expression(ExpressionKind::kOr, at, {left, right}));
  }
  return left;
}

Result<Expression*> Parser::and_expression() {
  NIBBLE_TRY(Expression * left, not_expression());
  while (current().is_name("and")) {
    const Position at = take().at;
    NIBBLE_TRY(const Expression* right, not_expression());
    NIBBLE_TRY(left, new_expression(ExpressionKind::kAnd, at, {left, right}));
  }
  return left;
}

Result<Expression*> Parser::not_expression() {
  if (!current().is_name("not")) return comparison();
  const Nested nested(nesting_);
  if (nesting_ > max_nesting_)
    return error(current().at, fmt::format("brackets nest deeper than {} levels", max_nesting_));
  const Position at = take().at;
  NIBBLE_TRY(const Expression* operand, not_expression());
  NIBBLE_TRY(Expression * made, new_expression(ExpressionKind::kUnary, at, {operand}));
  made->sign = '!';
  return made;
}

Result<Expression*> Parser::comparison() {
  constexpr std::pair<std::string_view, Comparison> kSymbols[] = {
      {"==", Comparison::kEqual},  {"!=", Comparison::kNotEqual},  {"<", Comparison::kLess},
      {">", Comparison::kGreater}, {"<=", Comparison::kLessEqual}, {">=", Comparison::kGreaterEqual}};
  NIBBLE_TRY(Expression * value, additive());
  Expression* chain = nullptr;
  while (true) {
    const Position at = current().at;
    const auto* symbol = std::find_if(std::begin(kSymbols), std::end(kSymbols),
                                      [&](const auto& entry) { return current().is_operator(entry.first); });
    Comparison found = Comparison::kIn;
    if (symbol != std::end(kSymbols)) {
      found = symbol->second;
    } else if (current().is_name("not") && following().is_name("in")) {
      found = Comparison::kNotIn;
      ++position_;
    } else if (!current().is_name("in")) {
      return chain != nullptr ? chain : value;
    }
    ++position_;
    NIBBLE_TRY(const Expression* operand, additive());
    if (chain == nullptr) {
      NIBBLE_TRY(chain, new_expression(ExpressionKind::kCompare, at, {value}));
    }
    chain->comparisons.push_back(found);
    NIBBLE_TRY_STATUS(add_part(*chain, operand));
  }
}

Result<Expression*> Parser::additive() {
  NIBBLE_TRY(Expression * left, concatenation());
  while (current().is_operator("+") || current().is_operator("-")) {
    const Token symbol = take();
    NIBBLE_TRY(const Expression* right, concatenation());
    NIBBLE_TRY(left, new_expression(ExpressionKind::kBinary, symbol.at, {left, right}));
    left->binary_operator = symbol.text == "+" ? BinaryOperator::kAdd : BinaryOperator::kSubtract;
  }
  return left;
}

Result<Expression*> Parser::concatenation() {
  NIBBLE_TRY(Expression * first, multiplicative());
  if (!current().is_operator("~")) return first;
  NIBBLE_TRY(Expression * made, new_expression(ExpressionKind::kConcatenate, current().at, {first}));
  while (skip_operator("~")) {
    NIBBLE_TRY(const Expression* part, multiplicative());
    NIBBLE_TRY_STATUS(add_part(*made, part));
  }
  return made;
}

Result<Expression*> Parser::multiplicative() {
  constexpr std::pair<std::string_view, BinaryOperator> kSymbols[] = {{"*", BinaryOperator::kMultiply},
                                                                      {"/", BinaryOperator::kDivide},
                                                                      {"//", BinaryOperator::kFloorDivide},
                                                                      {"%", BinaryOperator::kModulo}};
  NIBBLE_TRY(Expression * left, power());
  while (true) {
    const auto* symbol = std::find_if(std::begin(kSymbols), std::end(kSymbols),
                                      [&](const auto& entry) { return current().is_operator(entry.first); });
    if (symbol == std::end(kSymbols)) return left;
    const Position at = take().at;
    NIBBLE_TRY(const Expression* right, power());
    NIBBLE_TRY(left, new_expression(ExpressionKind::kBinary, at, {left, right}));
    left->binary_operator = symbol->second;
  }
}

Result<Expression*> Parser::power() {
  NIBBLE_TRY(Expression * left, unary(true));
  while (current().is_operator("**")) {
    const Position at = take().at;
    NIBBLE_TRY(const Expression* right, unary(true));
    NIBBLE_TRY(left, new_expression(ExpressionKind::kBinary, at, {left, right}));
    left->binary_operator = BinaryOperator::kPower;
  }
  return left;
}

Result<Expression*> Parser::unary(bool with_filters) {
  const Nested nested(nesting_);
  if (nesting_ > max_nesting_)
    return error(current().at, fmt::format("brackets nest deeper than {} levels", max_nesting_));
  Expression* value = nullptr;
  if (current().is_operator("-") || current().is_operator("+")) {
    const Token symbol = take();
    NIBBLE_TRY(const Expression* operand, unary(false));
    NIBBLE_TRY(value, new_expression(ExpressionKind::kUnary, symbol.at, {operand}));
    value->sign = symbol.text[0];
  } else {
    NIBBLE_TRY(value, primary());
  }
  NIBBLE_TRY(value, postfix(value));
  if (with_filters) return filters_and_tests(value);
  return value;
}

// ---------------------------------------------------------------- operands

Result<Expression*> Parser::primary() {
  const Position at = current().at;
  switch (current().kind) {
    case TokenKind::kName:
      return name_or_literal();
    case TokenKind::kString:
      return string_literal();
    case TokenKind::kInteger: {
      NIBBLE_TRY(Expression * made, new_expression(ExpressionKind::kInteger, at));
      made->integer = take().integer;
      return made;
    }
    case TokenKind::kFloat: {
      NIBBLE_TRY(Expression * made, new_expression(ExpressionKind::kReal, at));
      made->real = take().real;
      return made;
    }
    default:
      break;
  }
  if (skip_operator("(")) {
    NIBBLE_TRY(Expression * inner, tuple(Condition::kAllowed, true));
    NIBBLE_TRY_STATUS(expect_operator(")"));
    return inner;
  }
  if (current().is_operator("[")) return list_literal();
  if (current().is_operator("{")) return dict_literal();
  return unexpected("an expression");
}

Result<Expression*> Parser::name_or_literal() {
  Token token = take();
  NIBBLE_TRY(Expression * made, new_expression(ExpressionKind::kName, token.at));
  if (token.text == "true" || token.text == "True" || token.text == "false" || token.text == "False") {
    made->kind = ExpressionKind::kBoolean;
    made->integer = token.text[0] == 't' || token.text[0] == 'T' ? 1 : 0;
  } else if (token.text == "none" || token.text == "None") {
    made->kind = ExpressionKind::kNone;
  } else {
    made->name = intern(token.text);
    if (made->name == tree_.caller_name) uses_.caller = true;
    if (made->name == tree_.varargs_name) uses_.varargs = true;
    if (made->name == tree_.kwargs_name) uses_.kwargs = true;
  }
  return made;
}

Result<Expression*> Parser::string_literal() {
  NIBBLE_TRY(Expression * made, new_expression(ExpressionKind::kText, current().at));
  made->constant = tree_.num_constants++;
  while (current().is(TokenKind::kString)) made->text += take().text;
  return made;
}

Result<Expression*> Parser::list_literal() {
  NIBBLE_TRY(Expression * made, new_expression(ExpressionKind::kList, take().at));
  while (!current().is_operator("]")) {
    if (!made->parts.empty()) NIBBLE_TRY_STATUS(expect_operator(","));
    if (current().is_operator("]")) break;
    NIBBLE_TRY(const Expression* item, expression());
    NIBBLE_TRY_STATUS(add_part(*made, item));
  }
  NIBBLE_TRY_STATUS(expect_operator("]"));
  return made;
}

Result<Expression*> Parser::dict_literal() {
  NIBBLE_TRY(Expression * made, new_expression(ExpressionKind::kDict, take().at));
  while (!current().is_operator("}")) {
    if (!made->parts.empty()) NIBBLE_TRY_STATUS(expect_operator(","));
    if (current().is_operator("}")) break;
    NIBBLE_TRY(const Expression* key, expression());
    NIBBLE_TRY_STATUS(add_part(*made, key));
    NIBBLE_TRY_STATUS(expect_operator(":"));
    NIBBLE_TRY(const Expression* value, expression());
    NIBBLE_TRY_STATUS(add_part(*made, value));
  }
  NIBBLE_TRY_STATUS(expect_operator("}"));
  return made;
}

bool Parser::at_tuple_end(std::string_view end_word) const {
  return current().is(TokenKind::kVariableEnd) || current().is(TokenKind::kBlockEnd) || current().is_operator(")") ||
         (!end_word.empty() && current().is_name(end_word));
}

Result<Expression*> Parser::tuple(Condition inline_if, bool parenthesized, std::string_view end_word) {
  const Position at = current().at;
  Expression* made = nullptr;
  if (!at_tuple_end(end_word)) {
    NIBBLE_TRY(Expression * first, expression(inline_if));
    if (!current().is_operator(",")) return first;
    NIBBLE_TRY(made, new_expression(ExpressionKind::kTuple, at, {first}));
  } else {
    if (!parenthesized) return unexpected("an expression");
    return new_expression(ExpressionKind::kTuple, at);
  }
  while (skip_operator(",")) {
    if (at_tuple_end(end_word)) break;
    NIBBLE_TRY(const Expression* item, expression(inline_if));
    NIBBLE_TRY_STATUS(add_part(*made, item));
  }
  return made;
}

// ---------------------------------------------------------------- assignment

Result<Expression*> Parser::target_item(bool namespaces) {
  const Nested nested(nesting_);
  if (nesting_ > max_nesting_)
    return error(current().at, fmt::format("brackets nest deeper than {} levels", max_nesting_));
  const Position at = current().at;
  if (skip_operator("(")) {
    NIBBLE_TRY(Expression * inner, target(namespaces));
    NIBBLE_TRY_STATUS(expect_operator(")"));
    return inner;
  }
  NIBBLE_TRY(const int name, variable_name());
  NIBBLE_TRY(Expression * made, new_expression(ExpressionKind::kName, at));
  made->name = name;
  if (namespaces && skip_operator(".")) {
    if (!current().is(TokenKind::kName)) return unexpected("a name");
    made->kind = ExpressionKind::kNamespaceAttribute;
    made->text = take().text;
  }
  return made;
}

Result<Expression*> Parser::target(bool namespaces, std::string_view end_word) {
  const Position at = current().at;
  NIBBLE_TRY(Expression * first, target_item(namespaces));
  if (!current().is_operator(",")) return first;
  NIBBLE_TRY(Expression * made, new_expression(ExpressionKind::kTuple, at, {first}));
  while (skip_operator(",")) {
    if (at_tuple_end(end_word) || current().is_operator("=")) break;
    NIBBLE_TRY(const Expression* item, target_item(namespaces));
    NIBBLE_TRY_STATUS(add_part(*made, item));
  }
  return made;
}

// ---------------------------------------------------------------- what follows an operand

Result<Expression*> Parser::postfix(Expression* value) {
  while (true) {
    if (current().is_operator(".") || current().is_operator("[")) {
      NIBBLE_TRY(value, subscript(value));
    } else if (current().is_operator("(")) {
      NIBBLE_TRY(value, call(value));
    } else {
      return value;
    }
  }
}

Result<Expression*> Parser::filters_and_tests(Expression* value) {
  while (true) {
    if (skip_operator("|")) {
      NIBBLE_TRY(value, filter(value));
    } else if (current().is_name("is")) {
      NIBBLE_TRY(value, test(value));
    } else if (current().is_operator("(")) {
      NIBBLE_TRY(value, call(value));
    } else {
      return value;
    }
  }
}

Result<Expression*> Parser::subscript(Expression* value) {
  const Token opening = take();
  if (opening.text == "[") {
    NIBBLE_TRY(Expression * made, slice(value));
    NIBBLE_TRY_STATUS(expect_operator("]"));
    return made;
  }
  if (current().is(TokenKind::kInteger)) {
    NIBBLE_TRY(Expression * index, new_expression(ExpressionKind::kInteger, current().at));
    index->integer = take().integer;
    return new_expression(ExpressionKind::kSubscript, opening.at, {value, index});
  }
  if (!current().is(TokenKind::kName)) return unexpected("a name or a number");
  NIBBLE_TRY(Expression * made, new_expression(ExpressionKind::kAttribute, opening.at, {value}));
  made->text = take().text;
  return made;
}

Result<Expression*> Parser::slice(Expression* value) {
  const Position at = current().at;
  const auto at_end = [&] { return current().is_operator("]") || current().is_operator(","); };
  Expression* start = nullptr;
  if (!current().is_operator(":")) {
    NIBBLE_TRY(start, tuple(Condition::kAllowed, false));
    if (!current().is_operator(":")) return new_expression(ExpressionKind::kSubscript, at, {value, start});
  }
  ++position_;
  Expression* stop = nullptr;
  Expression* step = nullptr;
  if (!current().is_operator(":") && !at_end()) {
    NIBBLE_TRY(stop, expression());
  }
  if (skip_operator(":") && !at_end()) {
    NIBBLE_TRY(step, expression());
  }
  return new_expression(ExpressionKind::kSlice, at, {value, start, stop, step});
}

Result<Expression*> Parser::call(Expression* value) {
  NIBBLE_TRY(Expression * made, new_expression(ExpressionKind::kCall, current().at, {value}));
  made->arguments = std::make_unique<CallArguments>();
  NIBBLE_TRY_STATUS(arguments(*made->arguments, *made));
  return made;
}

Status Parser::arguments(CallArguments& into, Expression& owner) {
  NIBBLE_TRY_STATUS(expect_operator("("));
  while (!current().is_operator(")")) {
    NIBBLE_TRY_STATUS(argument(into, owner));
    if (!current().is_operator(")")) NIBBLE_TRY_STATUS(expect_operator(","));
  }
  return expect_operator(")");
}

Status Parser::argument(CallArguments& into, Expression& owner) {
  const Position at = current().at;
  const auto grow = [&](const Expression* part) -> Status {
    if (part->height >= max_nesting_)
      return error(at, fmt::format("the expression nests deeper than {} levels", max_nesting_));
    owner.height = std::max(owner.height, static_cast<std::uint16_t>(part->height + 1));
    return {};
  };
  Expression* value = nullptr;
  if (skip_operator("*")) {
    if (into.spread != nullptr || into.spread_keywords != nullptr)
      return error(at, "only one *argument is allowed, before **arguments");
    NIBBLE_TRY(value, expression());
    into.spread = value;
  } else if (skip_operator("**")) {
    if (into.spread_keywords != nullptr) return error(at, "only one **argument is allowed");
    NIBBLE_TRY(value, expression());
    into.spread_keywords = value;
  } else if (current().is(TokenKind::kName) && following().is_operator("=")) {
    if (into.spread_keywords != nullptr) return error(at, "a keyword argument follows **arguments");
    if (into.keywords.size() >= 255) return error(at, "more than 255 keyword arguments");
    std::string name = take().text;
    const bool repeated =
        std::any_of(into.keywords.begin(), into.keywords.end(), [&](const auto& entry) { return entry.first == name; });
    if (repeated) return error(at, fmt::format("keyword argument repeated: '{}'", name.substr(0, 80)));
    ++position_;
    NIBBLE_TRY(value, expression());
    into.keywords.emplace_back(std::move(name), value);
  } else {
    if (into.spread != nullptr || into.spread_keywords != nullptr || !into.keywords.empty()) {
      return error(at, "a positional argument follows keyword arguments");
    }
    NIBBLE_TRY(value, expression());
    into.positional.push_back(value);
  }
  return grow(value);
}

Result<Expression*> Parser::filter(Expression* value) {
  if (!current().is(TokenKind::kName)) return unexpected("the name of a filter");
  NIBBLE_TRY(Expression * made, new_expression(ExpressionKind::kFilter, current().at, {value}));
  made->text = take().text;
  while (skip_operator(".")) {
    if (!current().is(TokenKind::kName)) return unexpected("a name");
    made->text += "." + take().text;
  }
  made->arguments = std::make_unique<CallArguments>();
  if (current().is_operator("(")) NIBBLE_TRY_STATUS(arguments(*made->arguments, *made));
  return made;
}

Result<Expression*> Parser::test(Expression* value) {
  const Position at = take().at;
  const bool negated = skip_name("not");
  if (!current().is(TokenKind::kName)) return unexpected("the name of a test");
  NIBBLE_TRY(Expression * made, new_expression(ExpressionKind::kTest, at, {value}));
  made->text = take().text;
  made->arguments = std::make_unique<CallArguments>();
  const Token& next = current();
  const bool operand = next.is(TokenKind::kName) || next.is(TokenKind::kString) || next.is(TokenKind::kInteger) ||
                       next.is(TokenKind::kFloat) || next.is_operator("[") || next.is_operator("{");
  if (next.is_operator("(")) {
    NIBBLE_TRY_STATUS(arguments(*made->arguments, *made));
  } else if (operand && !next.is_name("else") && !next.is_name("if") && !next.is_name("or") && !next.is_name("and")) {
    if (next.is_name("is")) return error(next.at, "tests cannot be chained with 'is'; expected 'and'");
    NIBBLE_TRY(Expression * argument_value, primary());
    NIBBLE_TRY(argument_value, postfix(argument_value));
    made->arguments->positional.push_back(argument_value);
    if (argument_value->height >= max_nesting_)
      return error(at, fmt::format("the expression nests deeper than {} levels", max_nesting_));
    made->height = std::max(made->height, static_cast<std::uint16_t>(argument_value->height + 1));
  }
  if (!negated) return made;
  NIBBLE_TRY(Expression * inverse, new_expression(ExpressionKind::kUnary, at, {made}));
  inverse->sign = '!';
  return inverse;
}

}  // namespace nibble::jinja
