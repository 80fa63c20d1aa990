// What storing does to the scales that a method chose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "format/element_type.h"

namespace nibble {

/// A scale after storing, never 0 or infinite: a scale too small for its type becomes the smallest that is not zero, so
/// that its group keeps the right signs.
float stored_scale(ElementType type, float scale);

/// The same of many scales at once.
void store_scales(ElementType type, std::span<float> scales);

/// Entries of a plane from `entries` on: values as stored.
void store_entries(ElementType type, std::span<const float> values, std::byte* entries);

/// Entry number `index` of a plane.
void store_entry(ElementType type, float value, std::vector<std::byte>& bytes, std::int64_t index);

}  // namespace nibble
