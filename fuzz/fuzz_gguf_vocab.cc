// Fuzzes tokenizers in GGUF metadata and what they do. The input is a GGUF file; everything behind its last zero byte
// is a text to tokenize as well.
#include "fuzz_file.h"
#include "model/text_assets.h"
#include "tokenizer_uses.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const nibble::FuzzFile file(data, size);
  const auto checkpoint = nibble::Checkpoint::open(file.path());
  if (!checkpoint.ok()) return 0;
  auto assets = nibble::read_text_assets(**checkpoint);
  if (!assets.ok()) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  nibble::use_description(std::move(assets->tokenizer), bytes.substr(bytes.rfind('\0') + 1));
  return 0;
}
