// What every fuzzed tokenizer must be able to do, whatever file it came from.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "text/gguf_vocab.h"
#include "text/hugging_face.h"
#include "text/tokenizer.h"

namespace nibble {

inline void require(bool holds) {
  if (!holds) std::abort();
}

/// Tokenizes and detokenizes one text: ids are in range, decoded text is UTF-8, a stream loses nothing.
inline void use_tokenizer(const std::shared_ptr<const Tokenizer>& tokenizer, std::string_view text) {
  for (const bool special : {true, false}) {
    const auto ids = tokenizer->encode(text, {special, special});
    if (!ids.ok()) continue;
    for (const std::int32_t id : *ids) require(id >= 0 && id < tokenizer->vocab_size());
    require(is_utf8(tokenizer->decode(*ids, {special})));
    TokenDecoder stream(tokenizer, {special, special});
    std::string bytes;
    std::string joined;
    for (const std::int32_t id : *ids) {
      const std::string part = stream.feed(id);
      require(is_utf8(part));
      joined += part;
      bytes += tokenizer->piece(id);
    }
    joined += stream.finish();
    require(is_utf8(joined));
    if (!special) require(joined == replace_malformed_utf8(bytes));  // nothing was skipped or stripped
  }
}

/// Makes a tokenizer of a description and uses it on texts that hold its own tokens, Unicode and broken bytes.
inline void use_description(TokenizerSpec spec, std::string_view text) {
  if (text.size() % 8 == 1) {  // not always: it is much slower than reading
    (void)to_hugging_face(spec);
    (void)to_gguf(spec);
  }
  const auto tokenizer = Tokenizer::create(std::move(spec));
  if (!tokenizer.ok()) return;
  std::string fixed =
      " Hello's  world\r\n\n 12345 Gr\xC3\xBC\xC3\x9F"
      "e e\xCC\x81 \xE4\xB8\x96\xF0\x9F\x8C\x8D \xE2\x96\x81 \xFF\xE2\x82 ";
  for (std::int32_t id = 0; id < std::min((*tokenizer)->vocab_size(), 8); ++id)
    fixed.append((*tokenizer)->token_text(id), 0, 64);
  use_tokenizer(*tokenizer, fixed);
  use_tokenizer(*tokenizer, text.substr(0, 4096));
  use_tokenizer(*tokenizer, "");
  (void)(*tokenizer)->decode(std::vector<std::int32_t>{-1, 0, 1, 2, 3, (*tokenizer)->vocab_size(), INT32_MAX});
}

}  // namespace nibble
