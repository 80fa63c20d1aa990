// Which scheme every linear of a model gets: one for all, or each its own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "model/model_layout.h"
#include "model/ops.h"
#include "tensor/quant_scheme.h"

namespace nibble {

class LinearSchemes {
 public:
  /// One for all.
  LinearSchemes(QuantScheme all) : schemes_{std::move(all)} {}  // NOLINT: a scheme is the plain case of this
  /// By linear; not empty.
  explicit LinearSchemes(std::vector<QuantScheme> by_linear) : schemes_(std::move(by_linear)) {}

  const QuantScheme& of(LinearId id) const { return schemes_[schemes_.size() == 1 ? 0 : static_cast<std::size_t>(id)]; }
  /// Of linears that share an input, and so their scheme.
  const QuantScheme& of(std::span<const LinearId> linears) const { return of(linears.front()); }

  /// Of block linears, each scheme once.
  std::vector<QuantScheme> of_blocks(const ModelLayout& layout) const {
    if (schemes_.size() == 1) return schemes_;
    std::vector<QuantScheme> blocks;
    for (std::size_t i = 0; i < layout.linears.size(); ++i)
      if (layout.linears[i].role == LinearInfo::Role::kBlock) blocks.push_back(schemes_[i]);
    return LinearSchemes(std::move(blocks)).distinct();
  }

  /// Each scheme once.
  std::vector<QuantScheme> distinct() const {
    std::vector<QuantScheme> out;
    for (const QuantScheme& scheme : schemes_)
      if (std::find(out.begin(), out.end(), scheme) == out.end()) out.push_back(scheme);
    return out;
  }

 private:
  std::vector<QuantScheme> schemes_;
};

/// `scheme` for the linears of blocks; for embedding and head, which nothing is fitted to, what it says of codes.
inline LinearSchemes plain_outside_blocks(const ModelLayout& layout, const QuantScheme& scheme) {
  if (scheme.supplement.empty()) return scheme;
  std::vector<QuantScheme> schemes;
  for (const LinearInfo& info : layout.linears)
    schemes.push_back(info.role == LinearInfo::Role::kBlock ? scheme : scheme.codes_alone());
  return LinearSchemes(std::move(schemes));
}

}  // namespace nibble
