// Fuzzes the reader of Hugging Face tokenizers and what it reads. The input is tokenizer.json, then, each after a zero
// byte, a text, tokenizer_config.json, special_tokens_map.json and generation_config.json.
#include <array>

#include "tokenizer_uses.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::array<std::string_view, 5> parts;
  for (std::string_view& part : parts) {
    const std::size_t end = std::min(rest.find('\0'), rest.size());
    part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  auto spec = nibble::from_hugging_face({parts[0], parts[2], parts[3], parts[4]}, "fuzz");
  if (spec.ok()) nibble::use_description(std::move(spec).value(), parts[1]);
  return 0;
}
