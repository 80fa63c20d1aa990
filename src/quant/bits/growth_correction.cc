#include "quant/bits/growth_correction.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace nibble {
namespace {

constexpr int kParts = 3;  ///< of the blocks, each with its own factors

/// The choice nearest to `bits`; the smaller of two.
std::size_t nearest_choice(const UnitChoices& choices, double bits) {
  std::size_t best = 0;
  for (std::size_t c = 1; c < choices.size(); ++c)
    if (std::fabs(std::log(choices[c].bits / bits)) < std::fabs(std::log(choices[best].bits / bits))) best = c;
  return best;
}

/// The next choice that is clearly smaller than `from`, else clearly larger, else `from` itself.
std::size_t other_choice(const UnitChoices& choices, std::size_t from) {
  constexpr double kClearly = 0.85;
  for (std::size_t c = from; c-- > 0;)
    if (choices[c].bits < kClearly * choices[from].bits) return c;
  for (std::size_t c = from + 1; c < choices.size(); ++c)
    if (kClearly * choices[c].bits > choices[from].bits) return c;
  return from;
}

/// Units of one kind that have a factor in common.
struct Group {
  std::vector<std::size_t> units;
  std::string name;
  double factor = 1;
};

/// All groups of a kind, which have an exponent in common.
struct KindGroups {
  std::string name;
  std::vector<Group> groups;
};

std::vector<KindGroups> groups_of(const std::vector<BitUnit>& units) {
  int layers = 0;
  for (const BitUnit& unit : units) layers = std::max(layers, unit.layer + 1);
  const int parts = std::min(kParts, std::max(layers, 1));
  std::map<BitUnit::Kind, KindGroups> kinds;
  for (std::size_t u = 0; u < units.size(); ++u) {
    KindGroups& kind = kinds[units[u].kind];
    kind.name = std::string(kind_name(units[u].kind));
    const bool of_block = units[u].layer >= 0;
    if (kind.groups.empty()) kind.groups.resize(of_block ? static_cast<std::size_t>(parts) : 1);
    const int part = of_block ? units[u].layer * parts / layers : 0;
    Group& group = kind.groups[static_cast<std::size_t>(part)];
    if (of_block && group.units.empty())
      group.name = fmt::format("{} of blocks {} to {}", kind.name, units[u].layer,
                               ((part + 1) * layers + parts - 1) / parts - 1);
    if (!of_block) group.name = kind.name;
    group.units.push_back(u);
  }
  std::vector<KindGroups> out;
  for (auto& [kind, groups] : kinds) out.push_back(std::move(groups));
  return out;
}

class Correction {
 public:
  Correction(double bits, const MeasureSubstitution& measure, std::vector<UnitChoices>& choices)
      : measure_(measure), choices_(choices) {
    for (const UnitChoices& each : choices) {
      near_.push_back(nearest_choice(each, bits));
      other_.push_back(other_choice(each, near_.back()));
    }
  }

  Result<std::vector<MeasuredSubstitution>> run(std::vector<KindGroups> kinds) {
    for (KindGroups& kind : kinds) NIBBLE_TRY_STATUS(correct(kind));
    return std::move(measured_);
  }

 private:
  double growth(std::size_t unit, std::size_t choice) const { return choices_[unit][choice].growth; }

  Result<MeasuredSubstitution> measure(const std::string& what, const std::vector<std::size_t>& units,
                                       const std::vector<std::size_t>& which) {
    Substitution substitution;
    MeasuredSubstitution out{what, choices_[units.front()][which[units.front()]].bits, 0, 0};
    for (const std::size_t u : units) {
      substitution[u] = which[u];
      out.predicted += growth(u, which[u]);
    }
    NIBBLE_TRY(out.measured, measure_(substitution));
    measured_.push_back(out);
    return out;
  }

  Status correct(KindGroups& kind) {
    std::vector<std::size_t> all;
    for (Group& group : kind.groups) {
      NIBBLE_TRY(const MeasuredSubstitution near, measure(group.name, group.units, near_));
      if (near.predicted > 0 && near.measured > 0) group.factor = near.measured / near.predicted;
      all.insert(all.end(), group.units.begin(), group.units.end());
    }
    double exponent = 1;
    const bool differ = std::any_of(all.begin(), all.end(), [&](std::size_t u) { return near_[u] != other_[u]; });
    if (differ) {
      NIBBLE_TRY(const MeasuredSubstitution other, measure(kind.name, all, other_));
      exponent = exponent_for(kind, other.measured);
    }
    for (const Group& group : kind.groups)
      for (const std::size_t u : group.units) {
        const double near = growth(u, near_[u]);
        for (UnitChoice& choice : choices_[u]) choice.growth = corrected(group.factor, near, choice.growth, exponent);
      }
    return {};
  }

  static double corrected(double factor, double near, double growth, double exponent) {
    return near > 0 && growth > 0 ? factor * near * std::pow(growth / near, exponent) : factor * growth;
  }

  /// Where the corrected growths of the other choices add up to what was measured.
  double exponent_for(const KindGroups& kind, double measured) const {
    const auto sum = [&](double exponent) {
      double out = 0;
      for (const Group& group : kind.groups)
        for (const std::size_t u : group.units)
          out += corrected(group.factor, growth(u, near_[u]), growth(u, other_[u]), exponent);
      return out;
    };
    double low = 0.5;
    double high = 2.0;
    const bool rises = sum(high) > sum(low);
    for (int i = 0; i < 40; ++i) {
      const double middle = 0.5 * (low + high);
      ((sum(middle) < measured) == rises ? low : high) = middle;
    }
    return 0.5 * (low + high);
  }

  const MeasureSubstitution& measure_;
  std::vector<UnitChoices>& choices_;
  std::vector<std::size_t> near_;   ///< by unit
  std::vector<std::size_t> other_;  ///< by unit
  std::vector<MeasuredSubstitution> measured_;
};

}  // namespace

Result<std::vector<MeasuredSubstitution>> correct_growth(const std::vector<BitUnit>& units, double bits,
                                                         const MeasureSubstitution& measure,
                                                         std::vector<UnitChoices>& choices) {
  return Correction(bits, measure, choices).run(groups_of(units));
}

}  // namespace nibble
