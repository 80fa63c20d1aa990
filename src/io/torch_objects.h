// What torch.save() puts into the pickle of a state dict, and nothing else: OrderedDict, storages, tensors, parameters.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "format/element_type.h"
#include "io/pickle.h"

namespace nibble {

/// A tensor as the pickle describes it: a view of a storage.
struct TorchTensor {
  std::string storage;              ///< its key; the bytes are the record data/KEY
  std::uint64_t storage_bytes = 0;  ///< of the whole storage
  ElementType element = ElementType::kF32;
  std::uint64_t offset = 0;           ///< of the first element in the storage, in elements
  std::vector<std::int64_t> shape;    ///< the product fits in 63 bits
  std::vector<std::int64_t> strides;  ///< in elements, as many as there are sizes; none is negative
};

/// The host of such pickles. Any other global is refused by its name.
class TorchObjects final : public PickleHost {
 public:
  Result<PickleValue> global(const Pickle& pickle, std::string_view module, std::string_view name) override;
  Result<PickleValue> persistent(const Pickle& pickle, const PickleValue& id) override;
  Result<PickleValue> call(const Pickle& pickle, const PickleValue& callable, const PickleValue& arguments) override;
};

bool is_torch_tensor(const PickleValue& value);

/// Checks and reads what the pickle says of a tensor; `where` names it in messages.
Result<TorchTensor> read_torch_tensor(const Pickle& pickle, const PickleValue& tensor, const std::string& where);

}  // namespace nibble
