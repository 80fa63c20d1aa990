// Thompson's construction, rule by rule; then everything is dropped from which no end can be reached, so that a text
// that got through so far can always be finished.
#include "text/grammar/automaton_builder.h"

#include <algorithm>

#include "base/check.h"
#include "base/utf8.h"

namespace nibble {

using grammar::Automaton;

namespace {

constexpr std::size_t kMaxEdgesPerState = 4;  // on average

}  // namespace

AutomatonBuilder::StateId AutomatonBuilder::add_state() {
  if (edges_.size() >= builder_.limits_.max_states) {
    too_large_ = true;
    return 0;
  }
  edges_.emplace_back();
  return static_cast<StateId>(edges_.size() - 1);
}

void AutomatonBuilder::add_edge(StateId from, Edge edge) {
  too_large_ = too_large_ || ++edge_count_ > kMaxEdgesPerState * builder_.limits_.max_states;
  if (!too_large_) edges_[from].push_back(edge);
}

void AutomatonBuilder::emit(GrammarBuilder::Expression expression, StateId from, StateId to) {
  using Kind = GrammarBuilder::Kind;
  if (too_large_) return;
  const GrammarBuilder::Node& node = builder_.nodes_[expression];
  switch (node.kind) {
    case Kind::kEmpty:
      return add_empty(from, to);
    case Kind::kNothing:
      return;
    case Kind::kText:
      return emit_text(node.text, from, to);
    case Kind::kBytes:
      return add_bytes(from, node.low, node.high, to);
    case Kind::kSequence:
      for (std::size_t i = 0; i < node.parts.size(); ++i) {
        const StateId next = i + 1 == node.parts.size() ? to : add_state();
        emit(node.parts[i], from, next);
        from = next;
      }
      return;
    case Kind::kChoice:
      return emit_choice(node.parts, from, to);
    case Kind::kRepeat:
      return emit_repeat(node, from, to);
    case Kind::kSeparated:
      return emit_separated(node, from, to);
    case Kind::kCall:
      return add_edge(from, {Edge::Kind::kCall, 0, 0, to, node.rule});
  }
}

void AutomatonBuilder::emit_text(std::string_view text, StateId from, StateId to) {
  for (std::size_t i = 0; i < text.size() && !too_large_; ++i) {
    const StateId next = i + 1 == text.size() ? to : add_state();
    const auto byte = static_cast<std::uint8_t>(text[i]);
    add_bytes(from, byte, byte, next);
    from = next;
  }
}

// Literals of a choice become a tree, so that hundreds of values of an enum cost one state at a time.
void AutomatonBuilder::emit_choice(const std::vector<GrammarBuilder::Expression>& parts, StateId from, StateId to) {
  std::vector<std::string_view> texts;
  for (const GrammarBuilder::Expression part : parts) {
    const GrammarBuilder::Node& node = builder_.nodes_[part];
    if (node.kind == GrammarBuilder::Kind::kText) {
      texts.push_back(node.text);
    } else {
      emit(part, from, to);
    }
  }
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  if (!texts.empty()) emit_texts(texts, from, to);
}

/// `texts` are sorted and distinct.
void AutomatonBuilder::emit_texts(const std::vector<std::string_view>& texts, StateId from, StateId to) {
  struct Task {
    std::size_t begin, end, at;
    StateId from;
  };
  std::vector<Task> tasks = {{0, texts.size(), 0, from}};
  while (!tasks.empty() && !too_large_) {
    Task task = tasks.back();
    tasks.pop_back();
    while (task.begin < task.end) {
      const std::string_view first = texts[task.begin];
      if (first.size() == task.at) {  // possible for the first of the range only
        add_empty(task.from, to);
        ++task.begin;
        continue;
      }
      const char byte = first[task.at];
      std::size_t end = task.begin + 1;
      while (end < task.end && texts[end][task.at] == byte) ++end;
      if (end == task.begin + 1) {
        emit_text(first.substr(task.at), task.from, to);
      } else {
        const StateId next = add_state();
        add_bytes(task.from, static_cast<std::uint8_t>(byte), static_cast<std::uint8_t>(byte), next);
        tasks.push_back({task.begin, end, task.at + 1, next});
      }
      task.begin = end;
    }
  }
}

void AutomatonBuilder::emit_repeat(const GrammarBuilder::Node& node, StateId from, StateId to) {
  const GrammarBuilder::Expression part = node.parts.front();
  for (std::uint64_t i = 0; i < node.min && !too_large_; ++i) {
    const bool is_last = node.max == node.min && i + 1 == node.min;
    const StateId next = is_last ? to : add_state();
    emit(part, from, next);
    from = next;
  }
  if (node.max == node.min) return;
  if (node.max == GrammarBuilder::kUnbounded) {
    const StateId loop = add_state();
    add_empty(from, loop);
    emit(part, loop, loop);
    add_empty(loop, to);
    return;
  }
  // A state of its own, as `from` may be within a loop.
  const StateId first = add_state();
  add_empty(from, first);
  from = first;
  for (std::uint64_t i = node.min; i < node.max && !too_large_; ++i) {
    add_empty(from, to);
    const StateId next = i + 1 == node.max ? to : add_state();
    emit(part, from, next);
    from = next;
  }
}

// Before each item the automaton is in one of two states: nothing was there so far, or a separator was. After an item a
// separator leads to the next one, or the end does if none of the rest is required. Each item is made once.
void AutomatonBuilder::emit_separated(const GrammarBuilder::Node& node, StateId from, StateId to) {
  const GrammarBuilder::Expression separator = node.parts[0];
  const auto& items = node.items;
  std::size_t last_required = items.size();  // none
  for (std::size_t i = 0; i < items.size(); ++i)
    if (items[i].required) last_required = i;
  const bool any_required = last_required < items.size();
  const StateId after = add_state();
  emit(node.parts[1], after, to);
  StateId none = add_state();  // nothing so far
  add_empty(from, none);
  StateId next = add_state();  // behind a separator
  for (std::size_t i = 0; i < items.size() && !too_large_; ++i) {
    const StateId entry = add_state();
    const StateId some = add_state();
    add_empty(none, entry);
    add_empty(next, entry);
    emit(items[i].expression, entry, some);
    if (!any_required || i >= last_required) add_empty(some, after);
    const StateId next_none = add_state();
    const StateId next_next = add_state();
    if (!items[i].required) {
      add_empty(none, next_none);
      add_empty(next, next_next);
    }
    emit(separator, some, items[i].repeated ? next : next_next);
    none = next_none;
    next = next_next;
  }
  add_empty(none, to);  // not reached when an item is required
}

void AutomatonBuilder::skip_chains_of_empty_edges() {
  std::vector<std::uint8_t> is_end(edges_.size());
  for (const StateId end : end_) is_end[end] = 1;
  // skipped[s]: where a way that enters s may enter instead. Loops of empty edges end at the step limit.
  const auto skipped = [&](StateId state) {
    for (int steps = 0; steps < 64; ++steps) {
      if (is_end[state] || edges_[state].size() != 1 || edges_[state][0].kind != Edge::Kind::kEmpty) break;
      state = edges_[state][0].target;
    }
    return state;
  };
  for (auto& edges : edges_)
    for (Edge& edge : edges) edge.target = skipped(edge.target);
  for (StateId& start : start_) start = skipped(start);
}

std::vector<std::uint8_t> AutomatonBuilder::reaches_end(bool over_bytes) const {
  struct Use {
    StateId from;
    StateId target;
    RuleId rule;
    bool is_call;
  };
  std::vector<std::vector<Use>> into(edges_.size());       // edges by target
  std::vector<std::vector<Use>> calls_of(start_.size());   // calls by rule
  std::vector<std::vector<RuleId>> starts(edges_.size());  // rules by start
  for (StateId state = 0; state < edges_.size(); ++state) {
    for (const Edge& edge : edges_[state]) {
      if (edge.kind == Edge::Kind::kBytes && !over_bytes) continue;
      const bool is_call = edge.kind == Edge::Kind::kCall;
      into[edge.target].push_back({state, edge.target, edge.rule, is_call});
      if (is_call) calls_of[edge.rule].push_back({state, edge.target, edge.rule, true});
    }
  }
  for (RuleId rule = 0; rule < start_.size(); ++rule) starts[start_[rule]].push_back(rule);

  std::vector<std::uint8_t> reaches(edges_.size());
  std::vector<StateId> work;
  const auto mark = [&](StateId state) {
    if (reaches[state]) return;
    reaches[state] = 1;
    work.push_back(state);
  };
  for (const StateId end : end_) mark(end);
  while (!work.empty()) {
    const StateId state = work.back();
    work.pop_back();
    for (const Use& use : into[state])
      if (!use.is_call || reaches[start_[use.rule]]) mark(use.from);
    for (const RuleId rule : starts[state])
      for (const Use& use : calls_of[rule])
        if (reaches[use.target]) mark(use.from);
  }
  return reaches;
}

Result<Automaton> AutomatonBuilder::build(RuleId root) {
  for (const GrammarBuilder::Rule& rule : builder_.rules_) {
    NIBBLE_CHECK(rule.expression.has_value());
    start_.push_back(add_state());
    end_.push_back(add_state());
    emit(*rule.expression, start_.back(), end_.back());
    if (too_large_)
      return fail(ErrorCode::kUnsupported, "the grammar needs more than {} states", builder_.limits_.max_states);
  }
  skip_chains_of_empty_edges();
  const std::vector<std::uint8_t> useful = reaches_end(true);
  if (!useful[start_[root]]) return fail(ErrorCode::kInvalidArgument, "no text can satisfy this grammar");
  return assemble(root, useful);
}

Result<Automaton> AutomatonBuilder::assemble(RuleId root, const std::vector<std::uint8_t>& useful) const {
  constexpr std::uint32_t kNone = UINT32_MAX;
  const std::vector<std::uint8_t> ends_here = reaches_end(false);
  // New numbers for what the root reaches.
  std::vector<std::uint32_t> state_number(edges_.size(), kNone);
  std::vector<std::uint32_t> rule_number(start_.size(), kNone);
  std::vector<StateId> states;
  std::vector<RuleId> rules;
  const auto visit_state = [&](StateId state) {
    if (state_number[state] != kNone) return;
    state_number[state] = static_cast<std::uint32_t>(states.size());
    states.push_back(state);
  };
  const auto visit_rule = [&](RuleId rule) {
    if (rule_number[rule] != kNone) return;
    rule_number[rule] = static_cast<std::uint32_t>(rules.size());
    rules.push_back(rule);
    visit_state(start_[rule]);
  };
  const auto is_useful = [&](const Edge& edge) {
    return useful[edge.target] && (edge.kind != Edge::Kind::kCall || useful[start_[edge.rule]]);
  };
  visit_rule(root);
  for (std::size_t i = 0; i < states.size(); ++i) {
    for (const Edge& edge : edges_[states[i]]) {
      if (!is_useful(edge)) continue;
      visit_state(edge.target);
      if (edge.kind == Edge::Kind::kCall) visit_rule(edge.rule);
    }
  }

  Automaton out;
  std::vector<std::uint8_t> is_end(edges_.size());
  for (const StateId end : end_) is_end[end] = 1;
  std::array<bool, 257> cuts{};
  cuts[0] = true;
  for (const StateId state : states) {
    out.first_edge.push_back(static_cast<std::uint32_t>(out.edges.size()));
    bool reads = false;
    for (Edge edge : edges_[state]) {
      if (!is_useful(edge)) continue;
      edge.target = state_number[edge.target];
      if (edge.kind == Edge::Kind::kCall) edge.rule = rule_number[edge.rule];
      if (edge.kind == Edge::Kind::kBytes) {
        reads = true;
        cuts[edge.low] = cuts[edge.high + 1] = true;
      }
      out.edges.push_back(edge);
    }
    out.accepting.push_back(is_end[state]);
    out.last.push_back(is_end[state] && out.edges.size() == out.first_edge.back());
    out.reads.push_back(reads);
  }
  out.first_edge.push_back(static_cast<std::uint32_t>(out.edges.size()));
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if (cuts[byte]) out.class_byte.push_back(static_cast<std::uint8_t>(byte));
    out.byte_class[byte] = static_cast<std::uint8_t>(out.class_byte.size() - 1);
  }
  for (const RuleId rule : rules) {
    out.rule_start.push_back(state_number[start_[rule]]);
    out.nullable.push_back(ends_here[start_[rule]]);
  }
  find_what_goes_on(out);
  NIBBLE_TRY_STATUS(order_calls(out, rules));
  return out;
}

/// States that read, and those that lead to one over edges that consume nothing.
void AutomatonBuilder::find_what_goes_on(Automaton& automaton) {
  std::vector<std::vector<StateId>> into(automaton.states());
  for (StateId state = 0; state < automaton.states(); ++state) {
    for (const Edge& edge : automaton.edges_of(state)) {
      const bool passes =
          edge.kind == Edge::Kind::kEmpty || (edge.kind == Edge::Kind::kCall && automaton.nullable[edge.rule]);
      if (passes) into[edge.target].push_back(state);
      if (edge.kind == Edge::Kind::kCall) into[automaton.rule_start[edge.rule]].push_back(state);
    }
  }
  automaton.goes_on = automaton.reads;
  std::vector<StateId> work;
  for (StateId state = 0; state < automaton.states(); ++state)
    if (automaton.goes_on[state]) work.push_back(state);
  while (!work.empty()) {
    const StateId state = work.back();
    work.pop_back();
    for (const StateId before : into[state]) {
      if (automaton.goes_on[before]) continue;
      automaton.goes_on[before] = 1;
      work.push_back(before);
    }
  }
}

/// Orders rules by who calls whom before consuming a byte; a circle there would call for ever.
Status AutomatonBuilder::order_calls(Automaton& automaton, const std::vector<RuleId>& names) const {
  const std::size_t count = automaton.rule_start.size();
  std::vector<std::vector<RuleId>> calls(count);
  std::vector<std::uint32_t> seen(automaton.states(), UINT32_MAX);
  std::vector<StateId> work;
  for (RuleId rule = 0; rule < count; ++rule) {
    work = {automaton.rule_start[rule]};
    seen[work.front()] = rule;
    while (!work.empty()) {
      const StateId state = work.back();
      work.pop_back();
      for (const Edge& edge : automaton.edges_of(state)) {
        if (edge.kind == Edge::Kind::kBytes) continue;
        if (edge.kind == Edge::Kind::kCall) {
          calls[rule].push_back(edge.rule);
          if (!automaton.nullable[edge.rule]) continue;
        }
        if (seen[edge.target] == rule) continue;
        seen[edge.target] = rule;
        work.push_back(edge.target);
      }
    }
  }
  // Depth first; a rule is numbered when all that it calls are.
  enum class Mark : std::uint8_t { kNew, kOpen, kDone };
  std::vector<Mark> marks(count, Mark::kNew);
  std::vector<std::uint32_t> depth(count, 1);
  automaton.call_order.resize(count);
  auto number = static_cast<std::uint32_t>(count);
  std::vector<std::pair<RuleId, std::size_t>> open;
  for (RuleId root = 0; root < count; ++root) {
    if (marks[root] != Mark::kNew) continue;
    open.push_back({root, 0});
    marks[root] = Mark::kOpen;
    while (!open.empty()) {
      const RuleId rule = open.back().first;
      if (open.back().second < calls[rule].size()) {
        const RuleId called = calls[rule][open.back().second++];
        if (marks[called] == Mark::kOpen)
          return fail(ErrorCode::kInvalidArgument, "\"{}\" refers to itself with nothing in between",
                      printable(builder_.rules_[names[called]].name));
        if (marks[called] == Mark::kNew) {
          marks[called] = Mark::kOpen;
          open.push_back({called, 0});
        }
        continue;
      }
      for (const RuleId called : calls[rule]) depth[rule] = std::max(depth[rule], depth[called] + 1);
      automaton.max_call_depth = std::max(automaton.max_call_depth, depth[rule]);
      automaton.call_order[rule] = --number;
      marks[rule] = Mark::kDone;
      open.pop_back();
    }
  }
  return {};
}

}  // namespace nibble
