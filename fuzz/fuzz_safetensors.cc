// Fuzzes the safetensors reader; what it accepts must be readable and lie within the file.
#include <cstdlib>

#include "fuzz_file.h"
#include "io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const nibble::FuzzFile file(data, size);
  nibble::TensorSet tensors;
  const auto opened = nibble::open_safetensors(file.path(), tensors);
  if (!opened.ok()) return 0;
  std::size_t covered = 0;
  for (const nibble::StoredTensor& tensor : tensors.all()) {
    if (tensor.file_offset + tensor.bytes.size() > size) std::abort();
    if (tensors.find(tensor.name) != &tensor) std::abort();
    covered += tensor.bytes.size();
    (void)nibble::read_floats(tensor);
  }
  if (covered > size) std::abort();
  return 0;
}
