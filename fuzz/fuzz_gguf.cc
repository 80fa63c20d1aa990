// Fuzzes the GGUF reader; what it accepts must be readable, lie within the file, and can be asked for every key.
#include <cstdlib>

#include "fuzz_file.h"
#include "io/gguf.h"

namespace {

void ask_for_every_key(const nibble::GgufMetadata& metadata) {
  for (const auto& entry : metadata.all()) {
    (void)metadata.integer(entry.first);
    (void)metadata.number(entry.first);
    (void)metadata.boolean(entry.first);
    (void)metadata.string(entry.first);
    (void)metadata.strings(entry.first);
    (void)metadata.integers(entry.first);
    (void)metadata.numbers(entry.first);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const nibble::FuzzFile input(data, size);
  const auto opened = nibble::open_gguf(input.path());
  if (!opened.ok()) return 0;
  ask_for_every_key(*opened->metadata);
  for (const nibble::StoredTensor& tensor : opened->tensors.all()) {
    if (tensor.file_offset + tensor.bytes.size() > size) std::abort();
    if (opened->tensors.find(tensor.name) != &tensor) std::abort();
    (void)nibble::read_floats(tensor);
  }
  return 0;
}
