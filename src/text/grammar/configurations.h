// Configurations: what a grammar's automaton may be doing, as far as can be told without knowing who called the rule
// that is being read. Found when first needed, then a table from configuration and byte to configuration.
//
// A configuration is a set of (state, node): the states that read the next byte, also those of rules that are called
// here. Its kernel is what it was made of before those calls: whatever begins here can be found again from it. A node
// stands for the rules that wait: it is a set of frames (state to return to, node below), shared by all that were
// called at the same byte, so that their number stays small however many ways lead to a text. Node 0 is unknown: what
// was below when the configuration was made. Where a way ends in it the configuration "returns", and whoever knows what
// is below goes on there.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_set>
#include <vector>

#include "text/grammar/grammar.h"

namespace nibble::grammar {

using ConfigurationId = std::uint32_t;
using NodeId = std::uint32_t;

struct Frame {
  StateId state = 0;  ///< where to go on; kReturn: in what is below node 0
  NodeId node = 0;
  friend bool operator==(const Frame& a, const Frame& b) { return a.state == b.state && a.node == b.node; }
  friend bool operator<(const Frame& a, const Frame& b) {
    return a.state != b.state ? a.state < b.state : a.node < b.node;
  }
};

/// Not safe for several threads at once.
class Configurations {
 public:
  static constexpr StateId kReturn = UINT32_MAX;
  static constexpr NodeId kBelow = 0;
  static constexpr ConfigurationId kDead = 0;
  /// The most states of a configuration and frames of a node; texts that need more are refused.
  static constexpr std::size_t kMaxWidth = 1024;

  /// `automaton` must outlive it.
  explicit Configurations(const Automaton& automaton);
  Configurations(const Configurations&) = delete;
  Configurations& operator=(const Configurations&) = delete;

  /// A step over one byte. The result may be kDead; `returns` is set when the byte ends a rule below which nothing is
  /// known.
  struct Step {
    std::uint32_t packed;
    ConfigurationId configuration() const { return packed & ~kReturns; }
    bool returns() const { return (packed & kReturns) != 0; }
  };
  Step next(ConfigurationId from, std::uint8_t byte) {
    const std::uint8_t byte_class = automaton_.byte_class[byte];
    const std::uint32_t known = steps_[from * classes_ + byte_class];
    return known != kUnknown ? Step{known} : find_step(from, byte_class);
  }

  /// Where a rule goes on when the one that it called has ended.
  Step after(StateId state);
  /// Of a kernel without anything known below. That a state's rule may end here is not told again.
  ConfigurationId of_states(std::span<const StateId> states);

  std::span<const Frame> entries(ConfigurationId id) const {
    return {entries_.data() + entry_begin_[id], entries_.data() + entry_begin_[id + 1]};
  }
  std::span<const Frame> kernel(ConfigurationId id) const {
    return {kernels_.data() + kernel_begin_[id], kernels_.data() + kernel_begin_[id + 1]};
  }
  std::span<const Frame> frames(NodeId id) const {
    return {frames_.data() + frame_begin_[id], frames_.data() + frame_begin_[id + 1]};
  }
  std::uint32_t node_depth(NodeId id) const { return depth_[id]; }
  /// The smallest depth of the nodes of a configuration's kernel: what it needs of the stack.
  std::uint32_t depth(ConfigurationId id) const { return configuration_depth_[id]; }

  std::size_t size() const { return configuration_depth_.size(); }
  std::size_t memory_bytes() const;
  /// Forgets everything; ids given out before are void.
  void clear();

 private:
  static constexpr std::uint32_t kReturns = 0x80000000U;
  static constexpr std::uint32_t kUnknown = UINT32_MAX;
  static constexpr NodeId kPlaceholder =
      0x80000000U;  ///< kPlaceholder + rule: the node of those who called it just now

  struct IdHash {
    const Configurations* self;
    bool nodes;
    std::size_t operator()(std::uint32_t id) const;
  };
  struct IdEqual {
    const Configurations* self;
    bool nodes;
    bool operator()(std::uint32_t a, std::uint32_t b) const;
  };
  using IdSet = std::unordered_set<std::uint32_t, IdHash, IdEqual>;

  Step find_step(ConfigurationId from, std::uint8_t byte_class);
  void enter(StateId state, NodeId node);
  void enter_kernel(StateId state, NodeId node);
  Step close();
  bool resolve_calls();
  NodeId intern_node(std::vector<Frame>& frames);
  ConfigurationId intern(std::vector<Frame>& entries, std::vector<Frame>& kernel);

  const Automaton& automaton_;
  std::size_t classes_;
  std::vector<std::uint32_t> steps_;  ///< [configuration, byte class]

  std::vector<Frame> entries_;
  std::vector<std::uint32_t> entry_begin_;
  std::vector<Frame> kernels_;
  std::vector<std::uint32_t> kernel_begin_;
  std::vector<std::uint32_t> configuration_depth_;
  std::vector<Frame> frames_;
  std::vector<std::uint32_t> frame_begin_;
  std::vector<std::uint32_t> depth_;
  IdSet known_configurations_;
  IdSet known_nodes_;
  std::vector<std::uint32_t> after_;  ///< per state; kUnknown or a packed Step

  // Scratch of close().
  struct FrameHash {
    std::size_t operator()(const Frame& frame) const;
  };
  std::unordered_set<Frame, FrameHash> seen_;
  std::vector<Frame> work_;
  std::vector<Frame> reading_;
  std::vector<Frame> kernel_;
  std::vector<RuleId> called_;
  std::vector<std::vector<Frame>> callers_;  ///< per rule
  std::vector<NodeId> resolved_;             ///< per rule
  bool returns_ = false;
};

}  // namespace nibble::grammar
