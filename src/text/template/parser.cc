#include "text/template/parser.h"

#include <algorithm>

#include "text/template/python_text.h"

namespace nibble::jinja {
namespace {

/// The tags of Jinja that load other templates; a chat template stands alone.
constexpr std::string_view kForeignTags[] = {"autoescape", "block",  "do",      "extends",
                                             "from",       "import", "include", "trans"};

std::string quoted_list(std::initializer_list<std::string_view> words) {
  std::string out;
  for (const std::string_view word : words) out += fmt::format("{}'{}'", out.empty() ? "" : " or ", word);
  return out;
}

}  // namespace

Parser::Parser(std::vector<Token> tokens, SyntaxTree& tree, int max_nesting)
    : tokens_(std::move(tokens)), tree_(tree), max_nesting_(max_nesting) {
  tree_.loop_name = intern("loop");
  tree_.caller_name = intern("caller");
  tree_.varargs_name = intern("varargs");
  tree_.kwargs_name = intern("kwargs");
}

Status Parser::parse() {
  NIBBLE_TRY(tree_.root, block({}, Position(), ""));
  return {};
}

// ---------------------------------------------------------------- tokens

Token Parser::take() {
  // The end token is never passed: whoever asks for more finds it again.
  if (position_ + 1 == tokens_.size()) return tokens_.back();
  return std::move(tokens_[position_++]);
}

bool Parser::skip_operator(std::string_view symbol) {
  if (!current().is_operator(symbol)) return false;
  ++position_;
  return true;
}

bool Parser::skip_name(std::string_view word) {
  if (!current().is_name(word)) return false;
  ++position_;
  return true;
}

Status Parser::expect_operator(std::string_view symbol) {
  if (skip_operator(symbol)) return {};
  return unexpected(fmt::format("'{}'", symbol));
}

Status Parser::expect_name(std::string_view word) {
  if (skip_name(word)) return {};
  return unexpected(fmt::format("'{}'", word));
}

Status Parser::expect(TokenKind kind, std::string_view what) {
  if (!current().is(kind)) return unexpected(what);
  ++position_;
  return {};
}

Error Parser::error(Position at, std::string_view message) const {
  return error_at(ErrorCode::kCorrupt, tree_.template_name, at, message);
}

Error Parser::unexpected(std::string_view expected) const {
  return error(current().at, fmt::format("found {}, expected {}", describe(current()), expected));
}

int Parser::intern(const std::string& name) {
  const auto [entry, added] = name_indices_.emplace(name, static_cast<int>(tree_.names.size()));
  if (added) tree_.names.push_back(name);
  return entry->second;
}

Result<int> Parser::variable_name() {
  if (!current().is(TokenKind::kName)) return unexpected("a name");
  constexpr std::string_view kLiterals[] = {"true", "false", "none", "True", "False", "None"};
  if (std::find(std::begin(kLiterals), std::end(kLiterals), current().text) != std::end(kLiterals)) {
    return error(current().at, fmt::format("can't assign to '{}'", current().text));
  }
  return intern(take().text);
}

// ---------------------------------------------------------------- blocks

Statement& Parser::new_statement(StatementKind kind, Position at) {
  Statement& made = tree_.statements.emplace_back();
  made.kind = kind;
  made.at = at;
  return made;
}

Result<Block> Parser::block(std::initializer_list<std::string_view> ends, Position opened, std::string_view opener) {
  const Nested nested(nesting_);
  if (nesting_ > max_nesting_)
    return error(current().at, fmt::format("statements nest deeper than {} levels", max_nesting_));
  Block statements;
  while (true) {
    const Position at = current().at;
    if (current().is(TokenKind::kEnd)) {
      if (ends.size() == 0) return statements;
      return error(at, fmt::format("the template ends, expected {} for the '{}' of line {}", quoted_list(ends), opener,
                                   opened.line));
    }
    if (current().is(TokenKind::kData)) {
      Statement& text = new_statement(StatementKind::kText, at);
      text.text = take().text;
      statements.push_back(&text);
    } else if (current().is(TokenKind::kVariableBegin)) {
      NIBBLE_TRY(const Statement* print, print_statement());
      statements.push_back(print);
    } else {
      NIBBLE_TRY_STATUS(expect(TokenKind::kBlockBegin, "a tag"));
      const bool closes =
          current().is(TokenKind::kName) && std::find(ends.begin(), ends.end(), current().text) != ends.end();
      if (closes) return statements;
      if (current().is(TokenKind::kName) && current().text.substr(0, 3) == "end") {
        return error(current().at,
                     ends.size() == 0
                         ? fmt::format("found '{}' without its beginning", current().text.substr(0, 80))
                         : fmt::format("found '{}', expected {} for the '{}' of line {}", current().text.substr(0, 80),
                                       quoted_list(ends), opener, opened.line));
      }
      NIBBLE_TRY(const Statement* made, statement());
      statements.push_back(made);
      NIBBLE_TRY_STATUS(expect(TokenKind::kBlockEnd, "'%}'"));
    }
  }
}

Result<Block> Parser::body(std::initializer_list<std::string_view> ends, Position opened, std::string_view opener) {
  skip_operator(":");
  NIBBLE_TRY_STATUS(expect(TokenKind::kBlockEnd, "'%}'"));
  NIBBLE_TRY(Block statements, block(ends, opened, opener));
  if (ends.size() == 1) ++position_;
  return statements;
}

Result<Statement*> Parser::print_statement() {
  Statement& print = new_statement(StatementKind::kPrint, current().at);
  ++position_;
  NIBBLE_TRY(const Expression* value, tuple(Condition::kAllowed, false));
  print.expressions.push_back(value);
  NIBBLE_TRY_STATUS(expect(TokenKind::kVariableEnd, "'}}'"));
  return &print;
}

// ---------------------------------------------------------------- statements

Result<Statement*> Parser::statement() {
  if (!current().is(TokenKind::kName)) return unexpected("the name of a tag");
  const std::string& tag = current().text;
  if (tag == "if") return if_statement();
  if (tag == "for") return for_statement();
  if (tag == "set") return set_statement();
  if (tag == "macro") return macro_statement();
  if (tag == "call") return call_statement();
  if (tag == "filter") return filter_statement();
  if (tag == "with") return with_statement();
  if (tag == "generation") return generation_statement();
  if (tag == "break" || tag == "continue") return loop_control();
  if (tag == "print") {
    Statement& print = new_statement(StatementKind::kPrint, current().at);
    ++position_;
    while (!current().is(TokenKind::kBlockEnd)) {
      if (!print.expressions.empty()) NIBBLE_TRY_STATUS(expect_operator(","));
      NIBBLE_TRY(const Expression* value, expression());
      print.expressions.push_back(value);
    }
    return &print;
  }
  if (std::find(std::begin(kForeignTags), std::end(kForeignTags), tag) != std::end(kForeignTags)) {
    return error_at(ErrorCode::kUnsupported, tree_.template_name, current().at,
                    fmt::format("the tag '{}' is not supported in chat templates", tag));
  }
  return unexpected("a tag: if, for, set, macro, call, filter, with, generation, break, continue, print or raw");
}

Result<Statement*> Parser::if_statement() {
  const Position at = take().at;
  Statement& made = new_statement(StatementKind::kIf, at);
  while (true) {
    NIBBLE_TRY(const Expression* condition, tuple(Condition::kNotAllowed, false));
    made.expressions.push_back(condition);
    NIBBLE_TRY(Block then, body({"elif", "else", "endif"}, at, "if"));
    made.bodies.push_back(std::move(then));
    const std::string word = take().text;
    if (word == "elif") continue;
    if (word == "else") {
      NIBBLE_TRY(Block otherwise, body({"endif"}, at, "if"));
      made.bodies.push_back(std::move(otherwise));
    }
    return &made;
  }
}

Result<Statement*> Parser::for_statement() {
  const Position at = take().at;
  Statement& made = new_statement(StatementKind::kFor, at);
  NIBBLE_TRY(const Expression* assigned, target(false, "in"));
  made.targets.push_back(assigned);
  NIBBLE_TRY_STATUS(expect_name("in"));
  NIBBLE_TRY(const Expression* iterated, tuple(Condition::kNotAllowed, false, "recursive"));
  made.expressions = {iterated, nullptr};
  if (skip_name("if")) {
    NIBBLE_TRY(made.expressions[1], expression());
  }
  made.recursive = skip_name("recursive");
  ++open_loops_;
  NIBBLE_TRY(Block repeated, body({"endfor", "else"}, at, "for"));
  --open_loops_;
  made.bodies.push_back(std::move(repeated));
  made.bodies.emplace_back();
  if (take().text == "else") {
    NIBBLE_TRY(made.bodies[1], body({"endfor"}, at, "for"));
  }
  return &made;
}

Result<Statement*> Parser::set_statement() {
  const Position at = take().at;
  NIBBLE_TRY(const Expression* assigned, target(true));
  if (skip_operator("=")) {
    Statement& made = new_statement(StatementKind::kSet, at);
    made.targets.push_back(assigned);
    NIBBLE_TRY(const Expression* value, tuple(Condition::kAllowed, false));
    made.expressions.push_back(value);
    return &made;
  }
  Statement& made = new_statement(StatementKind::kSetBlock, at);
  made.targets.push_back(assigned);
  Expression* applied = nullptr;
  if (!current().is_operator("|") && !current().is(TokenKind::kBlockEnd)) return unexpected("'=' or '%}'");
  while (skip_operator("|")) {
    NIBBLE_TRY(applied, filter(applied));
  }
  made.expressions.push_back(applied);
  NIBBLE_TRY(Block captured, body({"endset"}, at, "set"));
  made.bodies.push_back(std::move(captured));
  return &made;
}

Status Parser::signature(Statement& into) {
  into.signature = std::make_unique<Signature>();
  NIBBLE_TRY_STATUS(expect_operator("("));
  while (!current().is_operator(")")) {
    if (!into.signature->parameters.empty()) NIBBLE_TRY_STATUS(expect_operator(","));
    if (current().is_operator(")")) break;
    const Position at = current().at;
    NIBBLE_TRY(const int parameter, variable_name());
    const auto& known = into.signature->parameters;
    if (std::find(known.begin(), known.end(), parameter) != known.end())
      return error(at, "the parameter is named twice");
    if (known.size() >= 255) return error(at, "more than 255 parameters");
    if (skip_operator("=")) {
      NIBBLE_TRY(const Expression* value, expression());
      into.signature->defaults.push_back(value);
    } else if (!into.signature->defaults.empty()) {
      return error(at, "non-default argument follows default argument");
    }
    into.signature->parameters.push_back(parameter);
  }
  return expect_operator(")");
}

Status Parser::function_body(Statement& into, std::string_view end, std::string_view opener) {
  // A macro does not see the loops around it, and what it uses its callers need not know.
  const int loops = std::exchange(open_loops_, 0);
  const SpecialNames outer = std::exchange(uses_, SpecialNames());
  NIBBLE_TRY(Block called, body({end}, into.at, opener));
  into.bodies.push_back(std::move(called));
  into.signature->uses = uses_;
  open_loops_ = loops;
  uses_ = outer;
  return {};
}

Result<Statement*> Parser::macro_statement() {
  const Position at = take().at;
  Statement& made = new_statement(StatementKind::kMacro, at);
  NIBBLE_TRY(made.name, variable_name());
  NIBBLE_TRY_STATUS(signature(made));
  NIBBLE_TRY_STATUS(function_body(made, "endmacro", "macro"));
  return &made;
}

Result<Statement*> Parser::call_statement() {
  const Position at = take().at;
  Statement& made = new_statement(StatementKind::kCallBlock, at);
  made.signature = std::make_unique<Signature>();
  if (current().is_operator("(")) NIBBLE_TRY_STATUS(signature(made));
  NIBBLE_TRY(const Expression* called, expression());
  if (called->kind != ExpressionKind::kCall)
    return error(at, "the call block has no call; expected {% call macro(...) %}");
  made.expressions.push_back(called);
  NIBBLE_TRY_STATUS(function_body(made, "endcall", "call"));
  return &made;
}

Result<Statement*> Parser::filter_statement() {
  const Position at = take().at;
  Statement& made = new_statement(StatementKind::kFilterBlock, at);
  Expression* applied = nullptr;
  do {
    NIBBLE_TRY(applied, filter(applied));
  } while (skip_operator("|"));
  made.expressions.push_back(applied);
  NIBBLE_TRY(Block filtered, body({"endfilter"}, at, "filter"));
  made.bodies.push_back(std::move(filtered));
  return &made;
}

Result<Statement*> Parser::with_statement() {
  const Position at = take().at;
  Statement& made = new_statement(StatementKind::kWith, at);
  while (!current().is(TokenKind::kBlockEnd)) {
    if (!made.targets.empty()) NIBBLE_TRY_STATUS(expect_operator(","));
    NIBBLE_TRY(const Expression* assigned, target(false));
    made.targets.push_back(assigned);
    NIBBLE_TRY_STATUS(expect_operator("="));
    NIBBLE_TRY(const Expression* value, expression());
    made.expressions.push_back(value);
  }
  NIBBLE_TRY(Block scoped, body({"endwith"}, at, "with"));
  made.bodies.push_back(std::move(scoped));
  return &made;
}

Result<Statement*> Parser::generation_statement() {
  const Position at = take().at;
  Statement& made = new_statement(StatementKind::kGeneration, at);
  made.signature = std::make_unique<Signature>();
  NIBBLE_TRY_STATUS(function_body(made, "endgeneration", "generation"));
  return &made;
}

Result<Statement*> Parser::loop_control() {
  const Token word = take();
  if (open_loops_ == 0) return error(word.at, fmt::format("'{}' stands outside of a loop", word.text));
  return &new_statement(word.text == "break" ? StatementKind::kBreak : StatementKind::kContinue, word.at);
}

// ----------------------------------------------------------------

Result<std::unique_ptr<const SyntaxTree>> parse_template(std::string_view source, std::string name, int max_nesting) {
  if (!count_code_points(source)) return fail(ErrorCode::kCorrupt, "{}: the template is not UTF-8", name);
  auto tree = std::make_unique<SyntaxTree>();
  tree->template_name = std::move(name);
  NIBBLE_TRY(std::vector<Token> tokens, tokenize_template(source, tree->template_name));
  Parser parser(std::move(tokens), *tree, max_nesting);
  NIBBLE_TRY_STATUS(parser.parse());
  return std::unique_ptr<const SyntaxTree>(std::move(tree));
}

}  // namespace nibble::jinja
