// Categories come from utf8proc; White_Space is a list of 25 code points.
#include "text/unicode_class.h"

#include <utf8proc.h>

namespace nibble {
namespace {

bool is_white_space(char32_t code) noexcept {
  return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
         code == 0x3000;
}

}  // namespace

std::uint8_t char_class_of(char32_t code) noexcept {
  std::uint8_t bits = is_white_space(code) ? std::uint8_t{kSpace} : std::uint8_t{0};
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return bits | kLetter;
    case UTF8PROC_CATEGORY_ND:
      return bits | kNumber | kDigit;
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return bits | kNumber;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return bits | kMark;
    case UTF8PROC_CATEGORY_PC:
      return bits | kPunctuation | kUnderscoreLike;
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return bits | kPunctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      return bits | kSymbol;
    default:
      return bits;
  }
}

bool is_word_character(char32_t code) noexcept {
  const std::uint8_t bits = char_class(code);
  if ((bits & (kLetter | kMark | kDigit | kUnderscoreLike)) != 0) return true;
  if (code < 128) return false;
  // Letter numbers and circled or squared letters are alphabetic too.
  if (utf8proc_category(static_cast<utf8proc_int32_t>(code)) == UTF8PROC_CATEGORY_NL) return true;
  return (code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F149) ||
         (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189);
}

}  // namespace nibble
