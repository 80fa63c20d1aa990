#include "text/grammar/grammar_builder.h"

#include <algorithm>

#include "base/check.h"
#include "base/utf8.h"
#include "text/grammar/automaton_builder.h"

namespace nibble {
namespace {

constexpr char32_t kLastCodePoint = 0x10FFFF;
constexpr char32_t kFirstSurrogate = 0xD800;
constexpr char32_t kLastSurrogate = 0xDFFF;

void add_range(std::vector<CodePointRange>& out, char32_t first, char32_t last) {
  if (first > last) return;
  if (!out.empty() && first <= out.back().last + 1) {
    out.back().last = std::max(out.back().last, last);
  } else {
    out.push_back({first, last});
  }
}

/// The last code point that has as many bytes as `code`, and shares all of them but the last `free` (as bits).
char32_t last_with_prefix(char32_t code, int free_bits) { return code | ((char32_t{1} << free_bits) - 1); }

}  // namespace

std::vector<CodePointRange> normalized_ranges(std::vector<CodePointRange> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const CodePointRange& a, const CodePointRange& b) { return a.first < b.first; });
  std::vector<CodePointRange> joined;
  for (const CodePointRange& range : ranges)
    add_range(joined, range.first, std::min<char32_t>(range.last, kLastCodePoint));
  std::vector<CodePointRange> out;
  for (const CodePointRange& range : joined) {  // no joining: U+D7FF and U+E000 do not touch
    if (range.first < kFirstSurrogate)
      out.push_back({range.first, std::min<char32_t>(range.last, kFirstSurrogate - 1)});
    if (range.last > kLastSurrogate) out.push_back({std::max<char32_t>(range.first, kLastSurrogate + 1), range.last});
  }
  return out;
}

std::vector<CodePointRange> complement(std::vector<CodePointRange> ranges) {
  std::vector<CodePointRange> out;
  char32_t next = 0;
  for (const CodePointRange& range : normalized_ranges(std::move(ranges))) {
    if (range.first > next) out.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastCodePoint) out.push_back({next, kLastCodePoint});
  return normalized_ranges(std::move(out));
}

GrammarBuilder::GrammarBuilder(const GrammarLimits& limits) : limits_(limits) {
  nodes_.emplace_back();
  nodes_.emplace_back();
  nodes_.back().kind = Kind::kNothing;
}

GrammarBuilder::Expression GrammarBuilder::add(Node node) {
  if (error_) return kNothingExpression;
  for (const Expression part : node.parts) node.depth = std::max(node.depth, nodes_[part].depth + 1);
  if (node.depth > limits_.max_expression_depth) {
    error_ = fail(ErrorCode::kUnsupported, "expressions nested deeper than {} levels", limits_.max_expression_depth);
    return kNothingExpression;
  }
  if (nodes_.size() >= limits_.max_expressions) {
    error_ = fail(ErrorCode::kUnsupported, "more than {} expressions", limits_.max_expressions);
    return kNothingExpression;
  }
  nodes_.push_back(std::move(node));
  return static_cast<Expression>(nodes_.size() - 1);
}

GrammarBuilder::Expression GrammarBuilder::text(std::string_view bytes) {
  if (bytes.empty()) return kEmptyExpression;
  Node node;
  node.kind = Kind::kText;
  node.text = bytes;
  return add(std::move(node));
}

GrammarBuilder::Expression GrammarBuilder::bytes(std::uint8_t low, std::uint8_t high) {
  Node node;
  node.kind = Kind::kBytes;
  node.low = low;
  node.high = high;
  return add(std::move(node));
}

// A range of code points falls into few sequences of byte ranges: it is cut where the number of bytes changes and, from
// both ends, where a leading byte would not be followed by all continuations.
GrammarBuilder::Expression GrammarBuilder::characters(std::vector<CodePointRange> ranges) {
  std::vector<Expression> choices;
  for (CodePointRange range : normalized_ranges(std::move(ranges))) {
    while (range.first <= range.last) {
      char32_t last = range.last;
      for (const char32_t longest : {0x7FU, 0x7FFU, 0xFFFFU})
        if (range.first <= longest) last = std::min<char32_t>(last, longest);
      for (const int free_bits : {18, 12, 6}) {
        const char32_t mask = (char32_t{1} << free_bits) - 1;
        if ((range.first & ~mask) == (last & ~mask)) continue;  // these leading bytes are the same
        if ((range.first & mask) != 0) {
          last = last_with_prefix(range.first, free_bits);
        } else if ((last & mask) != mask) {
          last = (last & ~mask) - 1;
        }
      }
      std::string low;
      std::string high;
      append_utf8(low, range.first);
      append_utf8(high, last);
      std::vector<Expression> parts;
      for (std::size_t i = 0; i < low.size(); ++i)
        parts.push_back(bytes(static_cast<std::uint8_t>(low[i]), static_cast<std::uint8_t>(high[i])));
      choices.push_back(sequence(std::move(parts)));
      range.first = last + 1;
    }
  }
  return choice(std::move(choices));
}

GrammarBuilder::Expression GrammarBuilder::sequence(std::vector<Expression> parts) {
  parts.erase(std::remove(parts.begin(), parts.end(), kEmptyExpression), parts.end());
  if (parts.empty()) return kEmptyExpression;
  if (parts.size() == 1) return parts.front();
  Node node;
  node.kind = Kind::kSequence;
  node.parts = std::move(parts);
  return add(std::move(node));
}

GrammarBuilder::Expression GrammarBuilder::choice(std::vector<Expression> parts) {
  parts.erase(std::remove(parts.begin(), parts.end(), kNothingExpression), parts.end());
  if (parts.empty()) return kNothingExpression;
  if (parts.size() == 1) return parts.front();
  Node node;
  node.kind = Kind::kChoice;
  node.parts = std::move(parts);
  return add(std::move(node));
}

GrammarBuilder::Expression GrammarBuilder::repeat(Expression part, std::uint64_t min,
                                                  std::optional<std::uint64_t> max) {
  if (max && *max < min) return kNothingExpression;
  if (max && *max == 0) return kEmptyExpression;
  if (min == 1 && max && *max == 1) return part;
  Node node;
  node.kind = Kind::kRepeat;
  node.min = min;
  node.max = max.value_or(kUnbounded);
  node.parts = {part};
  return add(std::move(node));
}

GrammarBuilder::Expression GrammarBuilder::separated(std::vector<Item> items, Expression separator, Expression after) {
  Node node;
  node.kind = Kind::kSeparated;
  node.parts = {separator, after};
  for (const Item& item : items) node.parts.push_back(item.expression);
  node.items = std::move(items);
  return add(std::move(node));
}

GrammarBuilder::RuleId GrammarBuilder::declare(std::string name) {
  if (rules_.size() >= limits_.max_rules && !error_)
    error_ = fail(ErrorCode::kUnsupported, "more than {} rules", limits_.max_rules);
  if (error_ && !rules_.empty()) return 0;
  rules_.push_back({std::move(name), std::nullopt});
  return static_cast<RuleId>(rules_.size() - 1);
}

void GrammarBuilder::define(RuleId rule, Expression expression) {
  NIBBLE_CHECK(rule < rules_.size());
  rules_[rule].expression = expression;
}

GrammarBuilder::Expression GrammarBuilder::call(RuleId rule) {
  Node node;
  node.kind = Kind::kCall;
  node.rule = rule;
  return add(std::move(node));
}

GrammarBuilder::Expression GrammarBuilder::as_rule(std::string name, Expression expression) {
  const RuleId rule = declare(std::move(name));
  define(rule, expression);
  return call(rule);
}

Result<std::shared_ptr<const Grammar>> GrammarBuilder::build(RuleId root) const {
  if (error_) return *error_;
  NIBBLE_CHECK(root < rules_.size());
  AutomatonBuilder builder(*this);
  NIBBLE_TRY(grammar::Automaton automaton, builder.build(root));
  return std::shared_ptr<const Grammar>(new Grammar(std::move(automaton), limits_.max_stack_depth));
}

}  // namespace nibble
