// Fuzzes the reader of PyTorch files. An input that begins as a zip archive is a file; any other is a pickle, whose
// tensors are described, since mutations rarely keep an archive whole.
#include <cstdlib>

#include "fuzz_file.h"
#include "io/pytorch.h"
#include "io/torch_objects.h"
#include "io/zip_index.h"

namespace {

void read_file(const std::uint8_t* data, std::size_t size) {
  const nibble::FuzzFile file(data, size);
  nibble::TensorSet tensors;
  const auto opened = nibble::open_pytorch(file.path(), tensors);
  if (!opened.ok()) return;
  for (const nibble::StoredTensor& tensor : tensors.all()) {
    if (tensor.bytes.size() > size || tensor.file_offset > size) std::abort();
    if (tensors.find(tensor.name) != &tensor) std::abort();
    (void)nibble::read_floats(tensor);
  }
}

void read_bare_pickle(std::string_view bytes) {
  nibble::TorchObjects objects;
  nibble::Pickle pickle{"pickle", {}};
  const auto root = nibble::read_pickle(bytes, objects, pickle);
  for (const nibble::PickleValue& value : pickle.values) {
    for (const nibble::PickleRef item : value.items)
      if (item >= pickle.values.size()) std::abort();
    if (nibble::is_torch_tensor(value)) (void)nibble::read_torch_tensor(pickle, value, "tensor");
  }
  if (root.ok() && *root >= pickle.values.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (nibble::has_zip_magic(std::as_bytes(std::span(data, size)))) {
    read_file(data, size);
  } else {
    read_bare_pickle({reinterpret_cast<const char*>(data), size});
  }
  return 0;
}
