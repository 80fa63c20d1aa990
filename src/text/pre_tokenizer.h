// Pre-tokenizers: the steps that cut normalized text into the pieces that the model sees one by one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/splitter.h"
#include "text/tokenizer_spec.h"

namespace nibble {

/// A text cut into pieces: piece i is text[ends[i - 1], ends[i]); none is empty.
struct Pieces {
  std::string text;
  std::vector<std::size_t> ends;
};

/// A compiled list of pre-tokenizer steps. Immutable.
class PreTokenizer {
 public:
  static Result<PreTokenizer> build(const std::vector<PreTokenizerStep>& steps, std::string_view what);

  /// Cuts `text` (valid UTF-8, not empty). `at_start`: it stands at the beginning of the whole input.
  Result<Pieces> apply(std::string text, bool at_start) const;

  /// The last step maps bytes to the byte alphabet. apply() leaves that mapping to the model: its pieces are raw bytes.
  bool ends_in_bytes() const { return ends_in_bytes_; }

 private:
  struct Step {
    PreTokenizerStep spec;
    std::optional<Splitter> splitter;
  };
  static Status run(const Step& step, bool map_bytes, bool at_start, Pieces& pieces);
  std::vector<Step> steps_;
  bool ends_in_bytes_ = false;
};

}  // namespace nibble
