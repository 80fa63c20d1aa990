#include "text/grammar/stacks.h"

#include <algorithm>

namespace nibble::grammar {

Stacks::Stacks() {
  std::vector<Frame> end = {{kEnd, kRoot}};
  add(end);
}

NodeId Stacks::add(std::vector<Frame>& frames) {
  std::sort(frames.begin(), frames.end());
  frames.erase(std::unique(frames.begin(), frames.end()), frames.end());
  for (NodeId node = 0; node < depth_.size(); ++node) {
    const auto known = this->frames(node);
    if (std::equal(known.begin(), known.end(), frames.begin(), frames.end())) return node;
  }
  std::uint32_t depth = 0;
  for (const Frame& frame : frames)
    if (frame.state != kEnd) depth = std::max(depth, depth_[frame.node] + 1);
  frames_.insert(frames_.end(), frames.begin(), frames.end());
  begin_.push_back(static_cast<std::uint32_t>(frames_.size()));
  depth_.push_back(depth);
  return static_cast<NodeId>(depth_.size() - 1);
}

void Runs::start(std::span<const Group> groups) {
  for (const Group& group : groups) runs_.push_back({group.node, configurations_.of_states(group.states)});
}

void Runs::start_at(StateId state) { add(Stacks::kRoot, configurations_.after(state)); }

bool Runs::step(std::uint8_t byte) {
  before_.swap(runs_);
  runs_.clear();
  returned_.clear();
  at_end_ = false;
  for (const Run& run : before_) add(run.node, configurations_.next(run.configuration, byte));
  return !runs_.empty() || at_end_;
}

void Runs::add(NodeId node, Configurations::Step step) {
  if (step.configuration() != Configurations::kDead && runs_.size() < kMaxRuns) {
    const bool known = std::any_of(runs_.begin(), runs_.end(), [&](const Run& run) {
      return run.node == node && run.configuration == step.configuration();
    });
    if (!known) runs_.push_back({node, step.configuration()});
  }
  if (!step.returns() || std::find(returned_.begin(), returned_.end(), node) != returned_.end()) return;
  returned_.push_back(node);
  for (const Frame& frame : stacks_.frames(node)) {
    if (frame.state == Stacks::kEnd) {
      at_end_ = true;
    } else {
      add(frame.node, configurations_.after(frame.state));
    }
  }
}

namespace {

/// Copies nodes into new stacks: those of the old ones, and those of configurations on top of them.
class Settler {
 public:
  Settler(const Stacks& from, const Configurations& configurations, Stacks& to)
      : from_(from), configurations_(configurations), to_(to) {}

  NodeId kept(NodeId node) {
    if (node == Stacks::kRoot) return node;
    const auto known = kept_.find(node);
    if (known != kept_.end()) return known->second;
    std::vector<Frame> frames;
    for (const Frame& frame : from_.frames(node))
      frames.push_back(frame.state == Stacks::kEnd ? frame : Frame{frame.state, kept(frame.node)});
    return kept_[node] = to_.add(frames);
  }

  /// `local`, a node of configurations, where `below` is what they know nothing of.
  NodeId made(NodeId local, NodeId below) {
    if (local == Configurations::kBelow) return kept(below);
    const std::uint64_t key = (std::uint64_t{below} << 32) | local;
    const auto known = made_.find(key);
    if (known != made_.end()) return known->second;
    std::vector<Frame> frames;
    for (const Frame& frame : configurations_.frames(local)) {
      if (frame.state != Configurations::kReturn) {
        frames.push_back({frame.state, made(frame.node, below)});
        continue;
      }
      const auto under = to_.frames(kept(below));
      frames.insert(frames.end(), under.begin(), under.end());
    }
    return made_[key] = to_.add(frames);
  }

 private:
  const Stacks& from_;
  const Configurations& configurations_;
  Stacks& to_;
  std::unordered_map<NodeId, NodeId> kept_;
  std::unordered_map<std::uint64_t, NodeId> made_;
};

}  // namespace

void Runs::settle(std::uint32_t max_depth, Stacks& stacks, std::vector<Group>& groups) const {
  Settler settler(stacks_, configurations_, stacks);
  groups.clear();
  for (const Run& run : runs_) {
    for (const Frame& item : configurations_.kernel(run.configuration)) {
      if (stacks_.depth(run.node) + configurations_.node_depth(item.node) > max_depth) continue;
      const NodeId node = settler.made(item.node, run.node);
      auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.node == node; });
      if (group == groups.end()) group = groups.insert(group, Group{node, {}});
      group->states.push_back(item.state);
    }
  }
  for (Group& group : groups) {
    std::sort(group.states.begin(), group.states.end());
    group.states.erase(std::unique(group.states.begin(), group.states.end()), group.states.end());
  }
}

}  // namespace nibble::grammar
