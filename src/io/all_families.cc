// The one list of checkpoint families. To add one: its `extern const` line and its place in the list.
#include <array>

#include "io/family.h"

namespace nibble {

extern const Family kGgmlFamily;

// In order of detection: the first whose detect() says yes reads the checkpoint.
namespace {
constexpr std::array<const Family*, 1> kFamilies{&kGgmlFamily};
}  // namespace

std::span<const Family* const> all_families() { return kFamilies; }

const Family* find_family(std::string_view name) {
  for (const Family* family : all_families())
    if (family->name == name) return family;
  return nullptr;
}

}  // namespace nibble
