// Stacks: the rules that wait, as a GrammarState knows them down to the root. Nodes as in configurations.h.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "text/grammar/configurations.h"

namespace nibble::grammar {

/// States of the automaton that share what is below them: part of a kernel.
struct Group {
  NodeId node = 0;  ///< of a Stacks
  std::vector<StateId> states;
};

/// Nodes of whole stacks. Node 0 is the root: returning to it ends the text.
class Stacks {
 public:
  static constexpr StateId kEnd = UINT32_MAX;  ///< the root's only frame
  static constexpr NodeId kRoot = 0;

  Stacks();
  std::span<const Frame> frames(NodeId node) const {
    return {frames_.data() + begin_[node], frames_.data() + begin_[node + 1]};
  }
  std::uint32_t depth(NodeId node) const { return depth_[node]; }
  NodeId add(std::vector<Frame>& frames);

 private:
  std::vector<Frame> frames_;
  std::vector<std::uint32_t> begin_ = {0};
  std::vector<std::uint32_t> depth_;
};

/// A way through a text: a configuration, and the node that stands for what is below it.
struct Run {
  NodeId node = 0;
  ConfigurationId configuration = 0;
};

/// All ways through a text that begins where `groups` are.
class Runs {
 public:
  /// The most ways at once; texts that need more are refused.
  static constexpr std::size_t kMaxRuns = 256;

  Runs(const Stacks& stacks, Configurations& configurations) : stacks_(stacks), configurations_(configurations) {}
  void start(std::span<const Group> groups);
  /// A run of the root's beginning.
  void start_at(StateId state);
  /// One byte further. False when no way is left.
  bool step(std::uint8_t byte);
  /// Whether the text may end here.
  bool at_end() const { return at_end_; }
  /// The runs as groups on stacks of their own, without those deeper than `max_depth`.
  void settle(std::uint32_t max_depth, Stacks& stacks, std::vector<Group>& groups) const;

 private:
  void add(NodeId node, Configurations::Step step);

  const Stacks& stacks_;
  Configurations& configurations_;
  std::vector<Run> runs_;
  std::vector<Run> before_;
  std::vector<NodeId> returned_;
  bool at_end_ = false;
};

}  // namespace nibble::grammar
