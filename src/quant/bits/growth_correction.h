// Predicted growths of the KL divergence beside measured ones, and what that makes of the predictions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "quant/bits/bit_units.h"
#include "tensor/quant_scheme.h"

namespace nibble {

/// What a unit may become.
struct UnitChoice {
  QuantScheme scheme;
  double bits = 0;        ///< per weight
  std::int64_t size = 0;  ///< in whatever the budget counts
  double growth = 0;      ///< of the divergence, nats per token
};
using UnitChoices = std::vector<UnitChoice>;  ///< by ascending bits

/// Units rounded together: unit -> choice.
using Substitution = std::map<std::size_t, std::size_t>;

/// Gives the model's divergence under a substitution.
using MeasureSubstitution = std::function<Result<double>(const Substitution&)>;

struct MeasuredSubstitution {
  std::string what;      ///< "down of blocks 0 to 9"
  double bits = 0;       ///< per weight, of the first unit
  double predicted = 0;  ///< nats, before any correction
  double measured = 0;
};

/// Corrects the growths. Measured are, at the choice nearest to `bits` per weight, every kind of unit in each third of
/// the blocks, and the embedding and the head: a factor for each of them. Then each kind over all blocks, and the
/// embedding and the head, at the next choice of clearly fewer bits: an exponent that says how much more (or less) than
/// predicted the growth rises from there, between 1/2 and 2. At most 20 measurements.
Result<std::vector<MeasuredSubstitution>> correct_growth(const std::vector<BitUnit>& units, double bits,
                                                         const MeasureSubstitution& measure,
                                                         std::vector<UnitChoices>& choices);

}  // namespace nibble
