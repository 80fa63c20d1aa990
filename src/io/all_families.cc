// The one list of checkpoint families. To add one: its `extern const` line and its place in the list.
#include <array>

#include "io/family.h"

namespace nibble {

extern const Family kAutoRoundFamily;
extern const Family kAwqFamily;
extern const Family kBitsandbytesFamily;
extern const Family kCompressedTensorsFamily;
extern const Family kFp8Family;
extern const Family kGgmlFamily;
extern const Family kGptqFamily;
extern const Family kHqqFamily;
extern const Family kModelOptFamily;
extern const Family kMxfp4Family;
extern const Family kNibbleFamily;
extern const Family kQuantoFamily;

// In order of detection: the first whose detect() says yes reads the checkpoint. Where no configuration names a method,
// tensors do: GPTQ looks at shapes that AWQ does not.
namespace {
constexpr std::array<const Family*, 12> kFamilies{&kGgmlFamily,         &kCompressedTensorsFamily,
                                                  &kNibbleFamily,       &kAutoRoundFamily,
                                                  &kGptqFamily,         &kAwqFamily,
                                                  &kBitsandbytesFamily, &kFp8Family,
                                                  &kMxfp4Family,        &kModelOptFamily,
                                                  &kHqqFamily,          &kQuantoFamily};
}  // namespace

std::span<const Family* const> all_families() { return kFamilies; }

Status Family::expresses(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols) const {
  if (!scheme.supplement.empty() && !holds_supplements)
    return fail(ErrorCode::kUnsupported, "{} has no place for kept columns and products of low rank; nibble has", name);
  return can_express(scheme, rows, cols);
}

const Family* find_family(std::string_view name) {
  for (const Family* family : all_families())
    if (family->name == name) return family;
  return nullptr;
}

}  // namespace nibble
