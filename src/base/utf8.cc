// Strict UTF-8 decoding: one table-free step function that everything else uses.
#include "base/utf8.h"

#include <algorithm>

namespace nibble {
namespace {

/// How many bytes from `at` form a correct, perhaps unfinished character; `need` is the length of the whole one.
struct Prefix {
  std::uint32_t have = 0;
  std::uint32_t need = 0;  // 0: the first byte begins no character
};

Prefix character_prefix(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  if (lead < 0x80) return {1, 1};
  if (lead < 0xC2 || lead > 0xF4) return {0, 0};
  const std::uint32_t need = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  std::uint32_t have = 1;
  while (have < need && at + have < text.size()) {
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    if (have == 1) {  // the second byte rules out overlong forms, surrogates and values past U+10FFFF
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    }
    const unsigned char next = byte(at + have);
    if (next < low || next > high) break;
    ++have;
  }
  return {have, need};
}

}  // namespace

Utf8Step utf8_at(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  if (byte(0) < 0x80) return {byte(0), 1, true};
  const Prefix prefix = character_prefix(text, at);
  if (prefix.have == 0 || prefix.have < prefix.need) return {kReplacementCharacter, 1, false};
  char32_t code = prefix.need == 2 ? byte(0) & 0x1FU : prefix.need == 3 ? byte(0) & 0x0FU : byte(0) & 0x07U;
  for (std::uint32_t i = 1; i < prefix.need; ++i) code = (code << 6) | (byte(i) & 0x3FU);
  return {code, prefix.need, true};
}

std::size_t utf8_length_by_lead(std::string_view text, std::size_t at) noexcept {
  const auto lead = static_cast<unsigned char>(text[at]);
  const std::size_t length = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  return std::min(length, text.size() - at);
}

void append_utf8(std::string& out, char32_t code) {
  if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) code = kReplacementCharacter;
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6));
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3F));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

bool is_utf8(std::string_view text) noexcept {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_at(text, at);
    if (!step.valid) return false;
    at += step.bytes;
  }
  return true;
}

std::string repair_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_at(text, at);
    if (step.valid) {
      out.append(text, at, step.bytes);
    } else {
      append_utf8(out, kReplacementCharacter);
    }
    at += step.bytes;
  }
  return out;
}

std::size_t incomplete_utf8_tail(std::string_view text) noexcept {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const std::size_t at = text.size() - back;
    if ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80)
      continue;  // a continuation byte: its lead is further back
    const Prefix prefix = character_prefix(text, at);
    return prefix.have == back && prefix.need > back ? back : 0;
  }
  return 0;
}

std::string replace_malformed_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Prefix prefix = character_prefix(text, at);
    if (prefix.have != 0 && prefix.have == prefix.need) {
      out.append(text, at, prefix.need);
    } else {
      append_utf8(out, kReplacementCharacter);
    }
    at += std::max<std::uint32_t>(prefix.have, 1);
  }
  return out;
}

std::string printable(std::string_view text, std::size_t max_bytes) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_at(text, at);
    if (out.size() + step.bytes > max_bytes) return out + "...";
    if (!step.valid || step.code < 0x20 || step.code == 0x7F) {
      out += '?';
    } else {
      out.append(text, at, step.bytes);
    }
    at += step.bytes;
  }
  return out;
}

}  // namespace nibble
