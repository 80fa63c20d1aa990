// Grammar: which texts a model may write, as an automaton over bytes with a stack. Built by GrammarBuilder, or from a
// JSON schema (json_schema.h); run by GrammarState (grammar_state.h).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace nibble {

namespace grammar {

using StateId = std::uint32_t;
using RuleId = std::uint32_t;

/// A way out of a state: over one byte of [low, high], over nothing, or over a text of another rule.
struct Edge {
  enum class Kind : std::uint8_t { kBytes, kEmpty, kCall };
  Kind kind = Kind::kEmpty;
  std::uint8_t low = 0;
  std::uint8_t high = 0;
  StateId target = 0;
  RuleId rule = 0;  ///< of kCall
};

/// Every state can be reached from the root's start and can reach its rule's end; no rule calls itself before it has
/// consumed a byte.
struct Automaton {
  std::vector<std::uint32_t> first_edge;  ///< per state, and one more
  std::vector<Edge> edges;
  std::vector<std::uint8_t> accepting;  ///< per state: its rule may end here
  std::vector<std::uint8_t> last;       ///< per state: accepting, and nothing can follow within the rule
  std::vector<std::uint8_t> reads;      ///< per state: has an edge over bytes
  std::vector<std::uint8_t> goes_on;    ///< per state: something can be read before its rule ends
  std::vector<StateId> rule_start;
  std::vector<std::uint8_t> nullable;     ///< per rule: the empty text is one of its texts
  std::vector<std::uint32_t> call_order;  ///< per rule: smaller than that of rules it calls before consuming a byte
  std::uint32_t max_call_depth = 0;       ///< the most rules that call each other before consuming a byte
  RuleId root = 0;
  std::array<std::uint8_t, 256> byte_class{};  ///< bytes of one class are on the same edges
  std::vector<std::uint8_t> class_byte;        ///< one byte of each class

  std::span<const Edge> edges_of(StateId state) const {
    return {edges.data() + first_edge[state], edges.data() + first_edge[state + 1]};
  }
  std::size_t states() const { return accepting.size(); }
  std::size_t classes() const { return class_byte.size(); }
};

}  // namespace grammar

struct GrammarLimits {
  std::size_t max_states = 1 << 17;
  std::size_t max_rules = 1 << 14;
  std::size_t max_expressions = 1 << 17;
  int max_expression_depth = 400;
  /// How many rules may wait for the end of another one while a text is read. Texts that need more are refused. In
  /// grammars of JSON it is the nesting of arrays and objects; 62 keeps them within JsonLimits::max_depth.
  std::uint32_t max_stack_depth = 62;
};

/// Constant after it is built; any number of threads may share one.
class Grammar {
 public:
  const grammar::Automaton& automaton() const { return automaton_; }
  std::uint32_t max_stack_depth() const { return max_stack_depth_; }

 private:
  friend class GrammarBuilder;
  Grammar(grammar::Automaton automaton, std::uint32_t max_stack_depth)
      : automaton_(std::move(automaton)), max_stack_depth_(max_stack_depth) {}

  grammar::Automaton automaton_;
  std::uint32_t max_stack_depth_;
};

}  // namespace nibble
