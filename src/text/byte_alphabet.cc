// Both directions from one rule; nothing is stored but two small tables.
#include "text/byte_alphabet.h"
#include "base/utf8.h"

#include <array>

namespace nibble {
namespace {

struct Tables {
  std::array<char32_t, 256> character{};
  std::array<std::int16_t, 0x144> byte{};  // by code point; -1 where no byte is
  std::array<std::array<char, 2>, 256> utf8{};
  std::array<std::uint8_t, 256> utf8_bytes{};

  Tables() {
    byte.fill(-1);
    char32_t next = 0x100;
    for (unsigned value = 0; value < 256; ++value) {
      const bool itself = (value >= 0x21 && value <= 0x7E) || (value >= 0xA1 && value <= 0xAC) || value >= 0xAE;
      character[value] = itself ? value : next++;
      byte[character[value]] = static_cast<std::int16_t>(value);
      std::string text;
      append_utf8(text, character[value]);
      utf8_bytes[value] = static_cast<std::uint8_t>(text.size());
      for (std::size_t i = 0; i < text.size(); ++i) utf8[value][i] = text[i];
    }
  }
};

const Tables& tables() {
  static const Tables instance;
  return instance;
}

}  // namespace

char32_t byte_to_alphabet(std::uint8_t byte) noexcept { return tables().character[byte]; }

int alphabet_to_byte(char32_t code) noexcept { return code < 0x144 ? tables().byte[code] : -1; }

std::string to_byte_alphabet(std::string_view text) {
  const Tables& table = tables();
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out.append(table.utf8[byte].data(), table.utf8_bytes[byte]);
  }
  return out;
}

bool from_byte_alphabet(std::string_view mapped, std::string& out) {
  const std::size_t before = out.size();
  for (std::size_t at = 0; at < mapped.size();) {
    const Utf8Step step = utf8_at(mapped, at);
    const int byte = step.valid ? alphabet_to_byte(step.code) : -1;
    if (byte < 0) {
      out.resize(before);
      return false;
    }
    out.push_back(static_cast<char>(byte));
    at += step.bytes;
  }
  return true;
}

}  // namespace nibble
