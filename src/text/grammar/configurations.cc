#include "text/grammar/configurations.h"

#include <algorithm>

namespace nibble::grammar {
namespace {

constexpr std::size_t kFewSeen = 64;

std::size_t mix(std::size_t hash, std::uint32_t value) {
  hash = (hash ^ value) * std::size_t{0x9E3779B97F4A7C15};
  return hash ^ (hash >> 29);
}

void sort_distinct(std::vector<Frame>& frames) {
  std::sort(frames.begin(), frames.end());
  frames.erase(std::unique(frames.begin(), frames.end()), frames.end());
}

}  // namespace

std::size_t Configurations::FrameHash::operator()(const Frame& frame) const {
  return mix(mix(0, frame.state), frame.node);
}

std::size_t Configurations::IdHash::operator()(std::uint32_t id) const {
  std::size_t hash = 0;
  for (const Frame& frame : nodes ? self->frames(id) : self->kernel(id)) hash = mix(mix(hash, frame.state), frame.node);
  return hash;
}

bool Configurations::IdEqual::operator()(std::uint32_t a, std::uint32_t b) const {
  const auto left = nodes ? self->frames(a) : self->kernel(a);
  const auto right = nodes ? self->frames(b) : self->kernel(b);
  return std::equal(left.begin(), left.end(), right.begin(), right.end());
}

Configurations::Configurations(const Automaton& automaton)
    : automaton_(automaton),
      classes_(automaton.classes()),
      known_configurations_(16, IdHash{this, false}, IdEqual{this, false}),
      known_nodes_(16, IdHash{this, true}, IdEqual{this, true}),
      callers_(automaton.rule_start.size()),
      resolved_(automaton.rule_start.size()) {
  clear();
}

void Configurations::clear() {
  known_configurations_.clear();
  known_nodes_.clear();
  steps_.clear();
  entries_.clear();
  entry_begin_ = {0};
  kernels_.clear();
  kernel_begin_ = {0};
  configuration_depth_.clear();
  frames_.clear();
  frame_begin_ = {0};
  depth_.clear();
  after_.assign(automaton_.states(), kUnknown);
  std::vector<Frame> frames = {{kReturn, kBelow}};
  intern_node(frames);  // kBelow
  std::vector<Frame> none;
  intern(none, none);  // kDead
}

std::size_t Configurations::memory_bytes() const {
  // What a hash set keeps per member besides its id: link, hash, a bucket.
  constexpr std::size_t kOfMember = 40;
  return steps_.size() * sizeof(std::uint32_t) + (entries_.size() + kernels_.size() + frames_.size()) * sizeof(Frame) +
         (size() + depth_.size()) * (3 * sizeof(std::uint32_t) + kOfMember);
}

// The candidate is put behind the others first; the sets hash and compare by id. A known one is taken back.
NodeId Configurations::intern_node(std::vector<Frame>& frames) {
  sort_distinct(frames);
  const auto id = static_cast<NodeId>(depth_.size());
  std::uint32_t depth = 0;
  for (const Frame& frame : frames)
    if (frame.state != kReturn) depth = std::max(depth, depth_[frame.node] + 1);
  frames_.insert(frames_.end(), frames.begin(), frames.end());
  frame_begin_.push_back(static_cast<std::uint32_t>(frames_.size()));
  const auto [known, is_new] = known_nodes_.insert(id);
  if (is_new) {
    depth_.push_back(depth);
    return id;
  }
  frame_begin_.pop_back();
  frames_.resize(frame_begin_.back());
  return *known;
}

/// The kernel is what tells configurations apart: entries follow from it.
ConfigurationId Configurations::intern(std::vector<Frame>& entries, std::vector<Frame>& kernel) {
  sort_distinct(kernel);
  const auto id = static_cast<ConfigurationId>(configuration_depth_.size());
  kernels_.insert(kernels_.end(), kernel.begin(), kernel.end());
  kernel_begin_.push_back(static_cast<std::uint32_t>(kernels_.size()));
  const auto [known, is_new] = known_configurations_.insert(id);
  if (!is_new) {
    kernel_begin_.pop_back();
    kernels_.resize(kernel_begin_.back());
    return *known;
  }
  std::uint32_t depth = kernel.empty() ? 0 : UINT32_MAX;
  for (const Frame& item : kernel) depth = std::min(depth, depth_[item.node]);
  configuration_depth_.push_back(depth);
  sort_distinct(entries);
  entries_.insert(entries_.end(), entries.begin(), entries.end());
  entry_begin_.push_back(static_cast<std::uint32_t>(entries_.size()));
  steps_.insert(steps_.end(), classes_, kUnknown);
  return id;
}

ConfigurationId Configurations::of_states(std::span<const StateId> states) {
  for (const StateId state : states) enter_kernel(state, kBelow);
  return close().configuration();
}

Configurations::Step Configurations::after(StateId state) {
  if (after_[state] == kUnknown) {
    enter_kernel(state, kBelow);
    after_[state] = close().packed;
  }
  return Step{after_[state]};
}

Configurations::Step Configurations::find_step(ConfigurationId from, std::uint8_t byte_class) {
  const std::uint8_t byte = automaton_.class_byte[byte_class];
  const auto first = entry_begin_[from];
  const auto last = entry_begin_[from + 1];
  for (auto i = first; i < last; ++i) {
    const Frame entry = entries_[i];
    for (const Edge& edge : automaton_.edges_of(entry.state))
      if (edge.kind == Edge::Kind::kBytes && edge.low <= byte && byte <= edge.high)
        enter_kernel(edge.target, entry.node);
  }
  const Step step = close();
  steps_[from * classes_ + byte_class] = step.packed;
  return step;
}

void Configurations::enter(StateId state, NodeId node) {
  if (seen_.insert({state, node}).second) work_.push_back({state, node});
}

void Configurations::enter_kernel(StateId state, NodeId node) {
  if (automaton_.goes_on[state]) kernel_.push_back({state, node});
  enter(state, node);
}

// Follows edges that consume nothing. A rule that is called gets a placeholder as node until all of its callers are
// known; as it is already known whether it may be empty, nothing returns to a placeholder here.
Configurations::Step Configurations::close() {
  bool too_wide = false;
  while (!work_.empty() && !too_wide) {
    const Frame at = work_.back();
    work_.pop_back();
    if (automaton_.reads[at.state]) reading_.push_back(at);
    if (automaton_.accepting[at.state] && at.node < kPlaceholder) {
      for (const Frame& frame : frames(at.node)) {
        if (frame.state == kReturn) {
          returns_ = true;
        } else {
          enter_kernel(frame.state, frame.node);
        }
      }
    }
    for (const Edge& edge : automaton_.edges_of(at.state)) {
      if (edge.kind == Edge::Kind::kEmpty) enter(edge.target, at.node);
      if (edge.kind != Edge::Kind::kCall) continue;
      if (callers_[edge.rule].empty()) {
        called_.push_back(edge.rule);
        enter(automaton_.rule_start[edge.rule], kPlaceholder + edge.rule);
      }
      callers_[edge.rule].push_back({edge.target, at.node});
      if (automaton_.nullable[edge.rule]) enter(edge.target, at.node);
    }
    too_wide = seen_.size() > 8 * kMaxWidth || reading_.size() > kMaxWidth;
  }
  const bool whole = !too_wide && resolve_calls();
  for (Frame& entry : reading_)
    if (whole && entry.node >= kPlaceholder) entry.node = resolved_[entry.node - kPlaceholder];
  if (!whole) {
    reading_.clear();
    kernel_.clear();
    returns_ = false;
  }
  const std::uint32_t packed = intern(reading_, kernel_) | (returns_ ? kReturns : 0);
  for (const RuleId rule : called_) callers_[rule].clear();
  called_.clear();
  if (seen_.size() > kFewSeen) {
    seen_ = {};  // clearing costs the buckets that it once needed
  } else {
    seen_.clear();
  }
  work_.clear();
  reading_.clear();
  kernel_.clear();
  returns_ = false;
  return Step{packed};
}

/// Gives each called rule its node, callers first. False when one has too many frames.
bool Configurations::resolve_calls() {
  std::sort(called_.begin(), called_.end(),
            [&](RuleId a, RuleId b) { return automaton_.call_order[a] < automaton_.call_order[b]; });
  std::vector<Frame> resolved;
  for (const RuleId rule : called_) {
    resolved.clear();
    for (Frame frame : callers_[rule]) {
      if (frame.node >= kPlaceholder) frame.node = resolved_[frame.node - kPlaceholder];
      if (automaton_.last[frame.state]) {  // nothing is left to do there: return to its callers at once
        const auto below = frames(frame.node);
        resolved.insert(resolved.end(), below.begin(), below.end());
      } else {
        resolved.push_back(frame);
      }
      if (resolved.size() > 4 * kMaxWidth) return false;
    }
    resolved_[rule] = intern_node(resolved);
    if (frames(resolved_[rule]).size() > kMaxWidth) return false;
  }
  return true;
}

}  // namespace nibble::grammar
