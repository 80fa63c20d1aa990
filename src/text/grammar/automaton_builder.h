// From a builder's expressions to an automaton without dead ends. Used by GrammarBuilder::build only.
#pragma once

#include <vector>

#include "base/result.h"
#include "text/grammar/grammar.h"
#include "text/grammar/grammar_builder.h"

namespace nibble {

class AutomatonBuilder {
 public:
  explicit AutomatonBuilder(const GrammarBuilder& builder) : builder_(builder) {}
  Result<grammar::Automaton> build(grammar::RuleId root);

 private:
  using StateId = grammar::StateId;
  using RuleId = grammar::RuleId;
  using Edge = grammar::Edge;

  StateId add_state();
  void add_edge(StateId from, Edge edge);
  void add_empty(StateId from, StateId to) { add_edge(from, {Edge::Kind::kEmpty, 0, 0, to, 0}); }
  void add_bytes(StateId from, std::uint8_t low, std::uint8_t high, StateId to) {
    add_edge(from, {Edge::Kind::kBytes, low, high, to, 0});
  }

  void emit(GrammarBuilder::Expression expression, StateId from, StateId to);
  void emit_text(std::string_view text, StateId from, StateId to);
  void emit_choice(const std::vector<GrammarBuilder::Expression>& parts, StateId from, StateId to);
  void emit_texts(const std::vector<std::string_view>& texts, StateId from, StateId to);
  void emit_repeat(const GrammarBuilder::Node& node, StateId from, StateId to);
  void emit_separated(const GrammarBuilder::Node& node, StateId from, StateId to);

  void skip_chains_of_empty_edges();
  /// Per state: whether its rule's end can be reached, over bytes too or only over nothing.
  std::vector<std::uint8_t> reaches_end(bool over_bytes) const;
  Result<grammar::Automaton> assemble(RuleId root, const std::vector<std::uint8_t>& useful) const;
  static void find_what_goes_on(grammar::Automaton& automaton);
  Status order_calls(grammar::Automaton& automaton, const std::vector<RuleId>& names) const;

  const GrammarBuilder& builder_;
  bool too_large_ = false;
  std::size_t edge_count_ = 0;
  std::vector<std::vector<Edge>> edges_;  ///< per state
  std::vector<StateId> start_;            ///< per rule
  std::vector<StateId> end_;
};

}  // namespace nibble
