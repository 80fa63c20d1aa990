// What a generated text must keep to, token by token: the hook for constrained decoding.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/result.h"

namespace nibble {

/// The state of one text under a grammar or another rule. Called by one thread at a time, not always the same; may
/// share what was compiled with others only if that is safe from several threads.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  /// The tokens that may come next: id's bit is bit id % 64 of word id / 64. Ids past the end may not come. A token
  /// that ends generation is allowed where the text may end; when none is allowed, generation fails. Valid until
  /// accept().
  virtual Result<std::span<const std::uint64_t>> allowed() = 0;

  /// The text goes on with a token that was allowed. Not called for a token that ends generation.
  virtual Status accept(std::int32_t id) = 0;
};

}  // namespace nibble
