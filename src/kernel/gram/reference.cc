// Tiles of the Gram matrix in portable code: the definition.
#include <cmath>

#include "kernel/gram/gram.h"

namespace nibble::kernel::reference {
namespace {

void tile(const float* a, const float* b, std::int64_t tokens, float* out) {
  for (std::int64_t i = 0; i < kGramPanel; ++i) {
    for (std::int64_t j = 0; j < kGramPanel; ++j) {
      float sum = 0;
      for (std::int64_t t = 0; t < tokens; ++t) sum = std::fma(a[t * kGramPanel + i], b[t * kGramPanel + j], sum);
      out[i * kGramPanel + j] = sum;
    }
  }
}

}  // namespace

extern const GramKernel kGram;
const GramKernel kGram = {{"gram", "gram_reference", 0}, tile};

}  // namespace nibble::kernel::reference
