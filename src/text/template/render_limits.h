// What a chat template, or a request that it renders, may use up. Both come from strangers: a template is a program.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nibble {

struct RenderLimits {
  /// Evaluated nodes and loop iterations; long strings count one step per 64 bytes read or written.
  std::int64_t max_steps = 10'000'000;
  /// Rendered text, including text captured by open macros and set blocks.
  std::size_t max_output_bytes = std::size_t{16} << 20;
  /// Strings, lists and dictionaries alive at the same time, the variables included.
  std::size_t max_memory_bytes = std::size_t{256} << 20;
  /// Nested evaluations: calls of macros count with every expression and statement that is open.
  int max_depth = 1000;
};

/// Limits of the template's text, checked by ChatTemplate::parse.
struct TemplateLimits {
  std::size_t max_source_bytes = std::size_t{512} << 10;
  /// Nesting of statements and brackets, and the height of an expression (`a + b + c` has height 3).
  int max_nesting = 200;
};

}  // namespace nibble
