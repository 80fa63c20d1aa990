// UTF-8 from outside: is it well-formed, and how it goes into a message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace nibble {

/// Well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing past U+10FFFF.
bool is_utf8(std::string_view text) noexcept;

/// `text` fit for a message: at most `max_bytes` (then "..."), bytes that are not UTF-8 and control characters as '?'.
std::string printable(std::string_view text, std::size_t max_bytes = 160);

}  // namespace nibble
